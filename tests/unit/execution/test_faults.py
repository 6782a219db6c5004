"""What a site's code may raise: it is answered and logged, and stops nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import path, register_converter

from realtime import ConnectionRefused, EventError, NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.execution.calls import raise_if_signalled, raise_if_stopping
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub
from realtime.testing import MemoryWriter
from realtime.transports.plain import PlainConnection

from ..conftest import Connect, Serve
from ..peers import ENGINE_PATH, PEERS, handshake
from ..probes import DEADLINE, Probe, Wire


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


# What cannot be sent


@pytest.mark.parametrize(
    "result",
    [object(), endless(), Unsendable(), (1, Unsendable()), {1j: 1}, "\ud800"],
    ids=["object", "endless", "own", "several", "key", "surrogate"],
)
@pytest.mark.parametrize("where", ["result", "data", "message", "code"])
async def test_an_answer_that_cannot_be_sent(
    serve: Serve, new_wire: Any, records: list[Any], result: Any, where: str
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def get(self) -> Any:
            if where == "result":
                return result
            if where == "data":
                raise EventError("no", result, code="refused")
            if where == "message":
                raise EventError(result)
            raise EventError("no", code=result)

    serve(Main, routes=[path("well/", Well.as_asgi())])
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('421["get"]')
    answer = str(await wire.next())
    assert answer.startswith("431")
    refusal = {"error": {"code": "refused", "message": "no", "data": None}}
    assert json.loads(answer[3:]) == [refusal if where == "data" else SERVER_ERROR]
    assert await is_well(wire)
    assert errors(records)[0]["event"] == "get"


@pytest.mark.parametrize(
    "message", [object(), Unsendable(), endless()], ids=["object", "own", "endless"]
)
@pytest.mark.parametrize("data", [None, object(), Unsendable()], ids=["none", "object", "own"])
async def test_a_refusal_that_cannot_be_sent(
    serve: Serve, new_wire: Any, message: Any, data: Any
) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            raise ConnectionRefused(message, data)

    serve(Main, routes=[path("well/", Well.as_asgi())])
    wire: Wire = new_wire()
    assert await wire.connect() == '44{"message":"server error"}'
    assert await is_well(wire)


@pytest.mark.parametrize(
    "message", [object(), Unsendable(), 5, "\ud800"], ids=["object", "own", "number", "surrogate"]
)
async def test_a_refusal_on_the_plain_websocket(serve: Serve, hub: Hub, message: Any) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            raise ConnectionRefused(message)

    serve(Main)
    closes: list[Any] = []

    class Writer(MemoryWriter):
        def close(self, code: int, reason: str) -> None:
            closes.append((code, reason))

    scope = {"type": "websocket", "headers": [], "user": None, "session": {}}
    connection = PlainConnection(hub, scope, Writer(closes.append))
    hub.entrance.enter(connection, "/", {}, "")
    assert closes[0] == (4403, "server error")


# What cannot be made


class Converter:
    """Takes anything, and fails."""

    regex = "[^/]+"
    fault: Any = RuntimeError("converter")

    def to_python(self, value: str) -> Any:
        raise self.fault

    def to_url(self, value: Any) -> str:
        return str(value)


register_converter(Converter, "failing")


@pytest.mark.parametrize("where", ["init", "route", "rate_limits", "handlers"])
@pytest.mark.parametrize("fault", [*FAULTS, NameError("x")], ids=[*NAMES, "NameError"])
async def test_a_consumer_that_cannot_be_made(
    serve: Serve,
    new_wire: Any,
    records: list[Any],
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    fault: Any,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise fault

    class Main(NamespaceConsumer):
        """Fails before its first hook."""

    monkeypatch.setattr(Converter, "fault", fault)
    if where == "init":
        Main.__init__ = fail  # type: ignore[method-assign]
    elif where == "handlers":
        find = sys.modules["realtime.consumers"]._handlers
        monkeypatch.setattr(
            "realtime.consumers._handlers", lambda each: fail() if each is Main else find(each)
        )
    main = path("<failing:x>/", Main.as_asgi()) if where == "route" else path("x/", Main.as_asgi())
    if where == "rate_limits":
        Main.rate_limits = property(fail)  # type: ignore[assignment]
    serve(routes=[path("well/", Well.as_asgi()), main])
    wire: Wire = new_wire()
    assert await is_well(wire)
    for _ in range(3):
        assert await wire.connect("/x") == '44/x,{"message":"server error"}'
    assert await is_well(wire), "its connection lives on"
    assert hub.stats()["sockets"] == 1
    error = errors(records)[0]  # one each second, at most
    name = "-" if where == "route" else f"{__name__}.{Main.__qualname__}"
    assert (error["namespace"], error["event"], error["consumer"]) == ("/x", "connect", name)


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
@pytest.mark.parametrize("kind", PEERS)
async def test_a_route_or_a_user_that_fails_before_there_is_a_connection(
    serve: Serve, kind: str, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """The loop goes on, and so does everybody else."""

    class User:
        is_authenticated = True

        @property
        def pk(self) -> Any:
            raise fault

    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if b"failing" in scope["query_string"]:
            scope["user"] = User()
        await application(scope, receive, send)

    application = Realtime(nothing)
    monkeypatch.setattr(Converter, "fault", fault)
    serve(routes=[path("well/", Well.as_asgi()), path("<failing:x>/", Well.as_asgi())])
    hub = ensure_hub()
    for where in ("/ws/x", "/ws/well?failing", f"{ENGINE_PATH}&failing"):
        peer = PEERS[kind](middleware)
        peer.receive(handshake(where))
        for _ in range(20):
            await asyncio.sleep(0)
        if not peer.transport.lost:
            peer.transport.fail(ConnectionResetError())
        await peer.until(lambda: not hub.connections)
    well = PEERS[kind](middleware)
    well.receive(handshake("/ws/well"))
    await well.until_sent('{"connected"')
    well.transport.fail(ConnectionResetError())
    await well.until(lambda: not hub.connections and not hub.stats()["tasks"])


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_in_a_task_of_ours(hub: Hub, records: list[Any], fault: Any) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise fault

    with contextlib.suppress(BaseException):
        await hub.spawn(work())
    logged = [record.args[0] for record in records]
    assert logged == ([] if isinstance(fault, asyncio.CancelledError) else ["task-failed"])


async def test_a_task_that_is_cancelled_before_its_start(hub: Hub, recwarn: Any) -> None:
    async def work() -> None:
        raise AssertionError

    task = hub.spawn(work())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert not [each for each in recwarn if "never awaited" in str(each.message)]


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_in_a_lookup(hub: Hub, fault: Any) -> None:
    """Whoever waits for it learns that it has failed."""

    def look_up(items: list[Any]) -> None:
        raise fault

    for _ in range(2):
        waiting = [asyncio.create_task(_wait(hub.lookups.share(look_up, n))) for n in "abc"]
        async with asyncio.timeout(DEADLINE):  # who comes first may share with nobody
            assert (await asyncio.gather(*waiting))[1:] == ["failed", "failed"]


async def _wait(answer: Any) -> str:
    try:
        await answer
    except BaseException:
        return "failed"
    return "answered"


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
