"""What cannot be sent or made, and tasks of ours that fail."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from typing import Any

import pytest
from django.urls import path, register_converter

from realtime import ConnectionRefused, EventError, NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub
from realtime.testing import MemoryWriter
from realtime.transports.plain import PlainConnection
from tests.unit.execution.test_faults import (
    FAULTS,
    NAMES,
    SERVER_ERROR,
    Unsendable,
    Well,
    endless,
    errors,
    is_well,
)

from ..conftest import Serve
from ..peers import ENGINE_PATH, PEERS, handshake
from ..probes import DEADLINE, Wire


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
