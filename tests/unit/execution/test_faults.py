"""What a site's code may raise: it is answered and logged, and stops nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import path

from realtime import EventError, NamespaceConsumer, event
from realtime.execution.calls import raise_if_signalled, raise_if_stopping
from realtime.hub.hub import Hub

from ..conftest import Connect, Serve
from ..probes import DEADLINE, Probe, Wire

pytestmark = pytest.mark.slow


class Unspeakable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unsendable:
    """Cannot be encoded, nor shown."""

    def __str__(self) -> str:
        raise Unspeakable

    __repr__ = __str__

    def __iter__(self) -> Iterator[Any]:
        raise MemoryError

    @property
    def __dataclass_fields__(self) -> Any:
        raise SystemExit(2)


def endless() -> list[Any]:
    """Return a list that is in itself."""
    items: list[Any] = []
    items.append(items)
    return items


FAULTS = [
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    BaseExceptionGroup("several", [SystemExit(1), ValueError()]),
    ExceptionGroup("several", [EventError("no")]),
    StopIteration(1),
    StopAsyncIteration(),
    RecursionError(),
    MemoryError(),
    Unspeakable(),
    type("Own", (BaseException,), {})(),
]
NAMES = [type(fault).__name__ for fault in FAULTS]

SERVER_ERROR = {
    "error": {"code": "server_error", "message": "server error", "data": None},
}


class Failing(NamespaceConsumer):
    """Raises `fault` wherever it is asked to."""

    fault: Any = None
    where = ""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.fail("connect")

    async def receive(self, event: str, *args: Any) -> None:
        if event.endswith("later"):
            await asyncio.sleep(0)
        self.fail("receive")

    async def disconnect(self, reason: str) -> None:
        self.fail("disconnect")

    async def handle(self, event: str, args: list[Any]) -> Any:
        self.fail("handle")
        return await super().handle(event, args)

    @event
    async def handler(self) -> None:
        self.fail("handler")

    @event
    async def ask(self) -> None:
        self.emit("question", callback=self.called_back)

    async def called_back(self) -> None:
        self.fail("callback")

    def fail(self, where: str) -> None:
        if where == self.where:
            raise self.fault


class FailingInThreads(Failing):
    """Does so in plain functions."""

    def connect(self, auth: dict[str, Any]) -> None:
        self.fail("connect")

    def receive(self, event: str, *args: Any) -> None:
        self.fail("receive")

    def disconnect(self, reason: str) -> None:
        self.fail("disconnect")

    def handler(self) -> None:
        self.fail("handler")

    def called_back(self) -> None:
        self.fail("callback")


class Well(NamespaceConsumer):
    """Works, whatever others do."""

    @event
    async def ping(self) -> str:
        return "pong"


def serve_failing(serve: Serve, consumer: type[Failing], fault: Any, where: str) -> None:
    failing = consumer.as_asgi(fault=fault, where=where)
    serve(routes=[path("", failing), path("well/", Well.as_asgi())])


@pytest.fixture(params=[Failing, FailingInThreads], ids=["async", "sync"])
def consumer(request: pytest.FixtureRequest) -> Any:
    """A consumer of coroutine functions, and one of plain ones."""
    return request.param


async def is_well(wire: Wire) -> bool:
    """Tell whether another namespace of the connection is served."""
    if "/well" not in wire.session.sockets:
        assert (await wire.connect("/well")).startswith("40/well,")
    wire.feed('42/well,5["ping"]')
    return await wire.next() == '43/well,5["pong"]'


def errors(records: list[Any]) -> list[dict[str, Any]]:
    return [each.realtime for each in records if each.levelname == "ERROR"]


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
@pytest.mark.parametrize(
    ("where", "name"),
    [("handler", "handler"), ("receive", "now"), ("receive", "later"), ("handle", "handler")],
)
async def test_in_a_handler(
    serve: Serve,
    new_wire: Any,
    records: list[Any],
    consumer: Any,
    fault: Any,
    where: str,
    name: str,
) -> None:
    serve_failing(serve, consumer, fault, where)
    wire: Wire = new_wire()
    await wire.connect()
    for number in (1, 2):
        wire.feed(f'42{number}["{name}"]')
        answer = str(await wire.next())
        assert answer.startswith(f"43{number}")
        assert json.loads(answer[3:]) == [SERVER_ERROR]
    assert await is_well(wire)
    assert [each["event"] for each in errors(records)] == [name] * 2


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_in_connect(
    serve: Serve, new_wire: Any, records: list[Any], consumer: Any, fault: Any
) -> None:
    serve_failing(serve, consumer, fault, "connect")
    wire: Wire = new_wire()
    for _ in range(2):
        assert await wire.connect() == '44{"message":"server error"}'
    assert await is_well(wire)
    (first, second) = errors(records)
    assert first["consumer"] == f"{__name__}.{consumer.__name__}"
    assert second["event"] == "connect"


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_in_disconnect(
    serve: Serve, new_wire: Any, records: list[Any], hub: Hub, consumer: Any, fault: Any
) -> None:
    serve_failing(serve, consumer, fault, "disconnect")
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed("41")
    assert await is_well(wire)
    async with asyncio.timeout(DEADLINE):
        while not errors(records):
            await asyncio.sleep(0)
    (error,) = errors(records)
    assert error["event"] == "disconnect"


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_in_a_callback(
    serve: Serve, new_wire: Any, records: list[Any], consumer: Any, fault: Any
) -> None:
    serve_failing(serve, consumer, fault, "callback")
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('42["ask"]')
    assert await wire.next() == '420["question"]'
    wire.feed("430[]")
    async with asyncio.timeout(DEADLINE):
        while not errors(records):
            await asyncio.sleep(0)
    assert await is_well(wire)
    (record,) = [each for each in records if each.levelname == "ERROR"]
    assert (record.args[0], record.realtime["event"]) == ("error", "callback")


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_while_the_server_stops(
    serve: Serve, connect: Connect, hub: Hub, records: list[Any], fault: Any
) -> None:
    serve_failing(serve, Failing, fault, "disconnect")
    await connect("/")
    await connect("/")
    await hub.close(grace=0.5)
    assert [each["event"] for each in errors(records)] == ["disconnect"] * 2


# What is to end the process


@pytest.fixture
def _handlers_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGINT, before[1])


@pytest.mark.usefixtures("_handlers_as_before")
async def test_what_a_signal_raises_goes_on(hub: Hub) -> None:
    def stop(number: int, frame: Any) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    error: BaseException | None = None
    try:
        signal.raise_signal(signal.SIGTERM)
    except SystemExit as raised:
        error = raised
    assert error is not None
    with pytest.raises(SystemExit):
        raise_if_stopping(error, hub)
    raise_if_stopping(SystemExit(0), hub)
    raise_if_signalled(KeyboardInterrupt())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        raise_if_signalled(KeyboardInterrupt())
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            raise_if_signalled(KeyboardInterrupt())
        except KeyboardInterrupt as error:
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(DEADLINE)
    assert raised == []


@pytest.mark.slow
async def test_a_hub_that_closes_cancels_its_handlers(
    serve: Serve, connect: Connect, hub: Hub, probe: Probe
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def linger(self) -> None:
            probe.note("lingers")
            try:
                await asyncio.sleep(DEADLINE)
            except asyncio.CancelledError:
                probe.note("cancelled")
                raise RuntimeError from None

    serve(Main)
    client = await connect()
    client.emit("linger")
    assert await probe.next() == "lingers"
    await hub.close(grace=0)
    assert await probe.next() == "cancelled"
