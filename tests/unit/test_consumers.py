"""NamespaceConsumer: what a site writes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.urls import path

import realtime
from realtime import (
    AckTimeout,
    ClientDisconnected,
    ConnectionRefused,
    EventError,
    NamespaceConsumer,
    event,
    sockets,
)
from realtime.exceptions import WouldDeadlock
from realtime.hub import Hub
from realtime.testing import Client

from .conftest import Connect
from .probes import DEADLINE, Probe, Wire

Serve = Callable[..., None]


class Noting(NamespaceConsumer):
    """Notes its last hook."""

    probe: Probe

    async def disconnect(self, reason: str) -> None:
        self.probe.note(reason)


# Connecting


async def test_a_consumer_knows_its_client(serve: Serve, probe: Probe, connect: Connect) -> None:
    class Item(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.data["auth"] = auth
            self.join("Room №1", "")
            probe.note(self)

    serve(routes=[path("items/<int:pk>/<slug:part>/", Item.as_asgi())])
    user = get_user_model()(username="ann", pk=5)
    client = await connect(
        "/items/7/lid", auth={"token": "x"}, user=user, scope={"session": {"cart": 3}}
    )
    consumer = await probe.next()
    assert consumer.sid == client.sid
    assert consumer.user is user
    assert consumer.session == {"cart": 3}
    assert consumer.kwargs == {"pk": 7, "part": "lid"}
    assert consumer.scope["namespace"] == "/items/7/lid"
    assert consumer.scope["url_route"]["kwargs"] == consumer.kwargs
    assert consumer.data == {"auth": {"token": "x"}}
    assert consumer.rooms == {"Room №1", ""}
    assert consumer.transport == "websocket"
    assert consumer.channel_layer is get_channel_layer()


async def test_what_a_client_does_not_give(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note((auth, self.scope["namespace_query"], self.user))

    serve(Main)
    await new_wire().connect()
    assert await probe.next() == ({}, "", AnonymousUser())


async def test_the_query_of_a_namespace(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Users(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note((self.scope["namespace"], self.scope["namespace_query"]))

    serve(routes=[path("users/", Users.as_asgi())])
    assert (await new_wire().connect("/users?a=1&b=2")).startswith("40/users,")
    assert await probe.next() == ("/users", "a=1&b=2")


@pytest.mark.parametrize(
    ("error", "message", "data"),
    [
        (ConnectionRefused(), "Connection refused", None),
        (ConnectionRefused("log in first", {"code": 401}), "log in first", {"code": 401}),
        (ConnectionRefused("no", object()), "no", None),
        (ConnectionRefused("no", b"bytes"), "no", None),
        (RuntimeError("secret"), "server error", None),
        (asyncio.CancelledError("secret"), "server error", None),
    ],
    ids=["plain", "data", "unsendable data", "bytes", "error", "cancelled"],
)
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_connect_refuses(
    serve: Serve,
    probe: Probe,
    new_wire: Any,
    error: BaseException,
    message: str,
    data: Any,
    kind: str,
) -> None:
    class Async(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("never")
            raise error

    class Sync(Noting):
        def connect(self, auth: dict[str, Any]) -> None:
            self.emit("never")
            raise error

    consumer = Async if kind == "async" else Sync
    consumer.probe = probe
    serve(consumer, routes=[path("other/", NamespaceConsumer.as_asgi())])
    wire: Wire = new_wire()
    answer = await wire.connect()
    expected = {"message": message} if data is None else {"message": message, "data": data}
    assert answer.startswith("44")
    assert json.loads(answer[2:]) == expected
    assert (await wire.connect("/other")).startswith("40/other,"), "its connection lives on"
    assert wire.session.hub.stats()["sockets"] == 1
    wire.close()
    assert await probe.empty(), "who was never in does not leave"


async def test_an_unknown_namespace(new_wire: Any) -> None:
    wire: Wire = new_wire()
    assert await wire.connect("/nowhere") == '44/nowhere,{"message":"Invalid namespace"}'
    assert (await wire.connect("/users")).startswith("40/users,")


async def test_too_many_namespaces(serve: Serve, new_wire: Any) -> None:
    serve(routes=[path("n/<int:n>/", NamespaceConsumer.as_asgi())], MAX_NAMESPACES=2)
    wire: Wire = new_wire()
    for n in range(2):
        assert (await wire.connect(f"/n/{n}")).startswith(f"40/n/{n},")
    assert await wire.connect("/n/2") == '44/n/2,{"message":"Too many namespaces"}'
    wire.feed("41/n/0,")
    assert (await wire.connect("/n/2")).startswith("40/n/2,")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_what_connect_emits_leaves_after_the_answer(
    serve: Serve, new_wire: Any, kind: str
) -> None:
    def greet(self: NamespaceConsumer) -> None:
        self.join("room")
        self.emit("message", "I'm server")
        self.namespace.to("room").emit("to the room")
        self.emit("question", callback=print)

    class Async(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            greet(self)
            await asyncio.sleep(0)

    class Sync(NamespaceConsumer):
        def connect(self, auth: dict[str, Any]) -> None:
            greet(self)

    serve(Async if kind == "async" else Sync)
    wire: Wire = new_wire()
    assert (await wire.connect()).startswith('40{"sid":')
    assert await wire.next() == '42["message","I\'m server"]'
    assert await wire.next() == '42["to the room"]'
    assert await wire.next() == '420["question"]'


async def test_events_wait_for_connect(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            await probe.gate.wait()

        async def receive(self, event: str, *args: Any) -> None:
            self.emit("got", event)

    serve(Main)
    wire: Wire = new_wire()
    wire.feed("40", '42["early"]')
    assert await probe.next() == "connecting"
    assert wire.pending() == 0
    probe.gate.set()
    assert str(await wire.next()).startswith("40")
    assert await wire.next() == '42["got","early"]'


# Events


async def test_events_that_no_handler_claims(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def claimed(self) -> str:
            return "handler"

        async def receive(self, event: str, *args: Any) -> Any:
            return event, *args

    serve(Main)
    client = await connect()
    assert await client.call("claimed") == "handler"
    assert await client.call("any name", 1, b"2") == ["any name", 1, b"2"]


async def test_unclaimed_events_are_acknowledged_without_receive(connect: Connect) -> None:
    assert await (await connect()).call("unknown", 1) is None


@pytest.mark.parametrize(
    ("result", "answer"),
    [(None, []), (1, [1]), ("", [""]), ([1, 2], [[1, 2]]), ((1, 2), [1, 2]), ((), []), (0, [0])],
)
async def test_what_a_handler_returns_is_the_acknowledgement(
    serve: Serve, new_wire: Any, result: Any, answer: list[Any]
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def get(self) -> Any:
            return result

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('427["get"]')
    text = str(await wire.next())
    assert text.startswith("437")
    assert json.loads(text[3:]) == answer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (
            EventError("too late", {"until": 5}, code="closed"),
            {"code": "closed", "message": "too late", "data": {"until": 5}},
        ),
        (EventError(), {"code": "error", "message": "", "data": None}),
        (EventError("no", object()), {"code": "error", "message": "no", "data": None}),
        (ValueError("secret"), {"code": "server_error", "message": "server error", "data": None}),
        (StopIteration("x"), {"code": "server_error", "message": "server error", "data": None}),
        (
            asyncio.CancelledError("secret"),
            {"code": "server_error", "message": "server error", "data": None},
        ),
    ],
    ids=["event error", "empty", "unsendable data", "error", "stop iteration", "cancelled"],
)
@pytest.mark.parametrize("name", ["fail", "fail in a thread"])
async def test_a_failing_handler_answers_an_error(
    serve: Serve,
    connect: Connect,
    records: list[Any],
    name: str,
    error: BaseException,
    answer: dict[str, Any],
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def fail(self) -> None:
            raise error

        @event("fail in a thread")
        def fail_in_a_thread(self) -> None:
            raise error

        @event
        async def ping(self) -> str:
            return "pong"

    serve(Main)
    client = await connect(user=get_user_model()(pk=5))
    assert await client.call(name) == {"error": answer}
    assert await client.call("ping") == "pong", "the connection stays"
    fields = [record.realtime for record in records if record.levelname in ("WARNING", "ERROR")]
    assert [field["event"] for field in fields] == [name] * len(fields)
    assert fields[0]["sid"] == client.sid
    assert (fields[0]["namespace"], fields[0]["user"]) == ("/", 5)


async def test_an_answer_that_cannot_be_sent_is_an_error(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def get(self) -> object:
            return object()

    serve(Main)
    answer = await (await connect()).call("get")
    assert answer["error"]["code"] == "server_error"


async def test_handle_is_around_every_event(serve: Serve, connect: Connect) -> None:
    class Checked(NamespaceConsumer):
        async def handle(self, event: str, args: list[Any]) -> Any:
            if event == "forbidden":
                raise EventError("not you", code="forbidden")
            return "checked", await super().handle(event, args)

    class Main(Checked):
        @event
        async def double(self, n: int) -> int:
            return n * 2

        async def receive(self, event: str, *args: Any) -> str:
            return event

    serve(Main)
    client = await connect()
    assert await client.call("double", 4) == ["checked", 8]
    assert await client.call("other") == ["checked", "other"]
    assert (await client.call("forbidden"))["error"]["code"] == "forbidden"


# Plain functions, in threads


class SyncConsumer(NamespaceConsumer):
    """Every hook and handler is a plain function."""

    loop_thread = threading.get_ident()
    left: Any = None

    def connect(self, auth: dict[str, Any]) -> None:
        assert threading.get_ident() != self.loop_thread
        self.data["auth"] = auth

    @event
    def items(self, n: int) -> str:
        self.join("room")
        for number in range(n):
            self.emit("item", number)
            self.namespace.to("room").emit("item", -number)
        self.leave("room")
        self.namespace.to("room").emit("item", "late")
        return f"{n} items"

    def receive(self, event: str, *args: Any) -> list[Any]:
        return [self.data["auth"], event, *args]

    def disconnect(self, reason: str) -> None:
        assert threading.get_ident() != self.loop_thread
        self.left(reason)


async def test_plain_functions(
    serve: Serve, connect: Connect, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyncConsumer, "loop_thread", threading.get_ident())
    monkeypatch.setattr(SyncConsumer, "left", staticmethod(probe.note))
    serve(SyncConsumer)
    client = await connect(auth={"a": 1})
    assert await client.call("items", 3) == "3 items"
    expected = [n for number in range(3) for n in (number, -number)]
    assert client.pending() == len(expected), "what it emits leaves before its acknowledgement"
    assert [(await client.receive())[1] for _ in expected] == expected
    assert await client.call("other", 1) == [{"a": 1}, "other", 1]
    await client.disconnect()
    assert await probe.next() == "transport close"


async def test_a_slow_plain_handler_stops_nobody(serve: Serve, connect: Connect) -> None:
    both = threading.Barrier(2, timeout=DEADLINE)

    class Main(NamespaceConsumer):
        @event
        def meet(self) -> int:
            both.wait()
            return threading.get_ident()

    serve(Main)
    ann, bob = await connect(), await connect()
    threads = await asyncio.gather(ann.call("meet"), bob.call("meet"))
    assert threads[0] != threads[1]


async def test_no_more_threads_than_the_setting_allows(serve: Serve, connect: Connect) -> None:
    pair = threading.Barrier(2, timeout=DEADLINE)
    lock, running, most = threading.Lock(), 0, 0

    class Main(NamespaceConsumer):
        @event
        def work(self) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            pair.wait()
            with lock:
                running -= 1

    serve(Main, SYNC_HANDLERS=2)
    clients = [await connect() for _ in range(6)]
    await asyncio.gather(*(client.call("work", timeout=DEADLINE) for client in clients))
    assert most <= 3, "one may leave while the next one comes"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["sync", "async"])
async def test_handlers_use_the_orm_and_leave_no_connection(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # A database in memory is never closed, for it would be lost: here another one holds it.
    monkeypatch.setattr(type(connections["default"]), "is_in_memory_db", lambda self: False)
    users = get_user_model().objects
    used: list[Any] = []

    def look() -> None:
        used.append(connections["default"])
        assert used[-1].connection is not None

    class Main(NamespaceConsumer):
        @event("sync")
        def in_a_thread(self, username: str) -> int:
            users.create_user(username)
            look()
            return int(users.count())

        @event("async")
        async def on_the_loop(self, username: str) -> int:
            await users.acreate(username=username)
            await sync_to_async(look)()
            return await users.acount()

    serve(Main)
    client = await connect()
    assert await client.call(name, "ann", timeout=DEADLINE) == 1
    assert [wrapper.connection for wrapper in used] == [None]


# Asking the client


@pytest.mark.parametrize("name", ["ask", "ask from a thread"])
@pytest.mark.parametrize(("args", "answer"), [((), None), ((7,), 7), ((7, b"8"), [7, b"8"])])
async def test_call(
    serve: Serve, connect: Connect, name: str, args: tuple[Any, ...], answer: Any
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> Any:
            return [await self.acall("question", "ready?")]

        @event("ask from a thread")
        def ask_from_a_thread(self) -> Any:
            return [self.call("question", "ready?")]

    serve(Main)
    client = await connect()
    client.answer("question", *args)
    assert await client.call(name) == [answer]
    assert await client.receive() == ("question", "ready?")


@pytest.mark.parametrize("name", ["ask", "ask from a thread"])
async def test_call_without_an_answer(serve: Serve, connect: Connect, name: str) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> str:
            with pytest.raises(AckTimeout, match=r"'question' within 0\.01 seconds"):
                await self.acall("question", timeout=0.01)
            return "asked"

        @event("ask from a thread")
        def ask_from_a_thread(self) -> str:
            with pytest.raises(AckTimeout):
                self.call("question", timeout=0.01)
            return "asked"

    serve(Main)
    assert await (await connect()).call(name) == "asked"


@pytest.mark.parametrize("name", ["ask", "ask from a thread"])
async def test_call_of_a_client_that_leaves(
    serve: Serve, connect: Connect, probe: Probe, name: str
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> None:
            try:
                await self.acall("question", timeout=None)
            except ClientDisconnected as error:
                probe.note(error)
            with pytest.raises(ClientDisconnected):
                await self.acall("another question")

        @event("ask from a thread")
        def ask_from_a_thread(self) -> None:
            try:
                self.call("question", timeout=None)
            except ClientDisconnected as error:
                probe.note(error)

        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Main)
    client = await connect()
    client.emit(name)
    assert await client.receive() == ("question",)
    await client.disconnect()
    assert "'question'" in str(await probe.next())
    assert await probe.next() == "transport close"


async def test_call_blocks_nobody_by_mistake(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> str:
            with pytest.raises(WouldDeadlock):
                self.call("question")
            return "refused"

    serve(Main)
    assert await (await connect()).call("ask") == "refused"


@pytest.mark.parametrize("kind", ["function", "coroutine function", "sync_to_async", "method"])
async def test_callback(serve: Serve, connect: Connect, probe: Probe, kind: str) -> None:
    def function(*args: Any) -> None:
        probe.note(args)

    async def coroutine_function(*args: Any) -> None:
        await asyncio.sleep(0)
        probe.note(args)

    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            callbacks = {
                "function": function,
                "coroutine function": coroutine_function,
                "sync_to_async": sync_to_async(function),
                "method": self.answered,
            }
            self.emit("question", callback=callbacks[kind])

        def answered(self, *args: Any) -> None:
            probe.note(args)

    serve(Main)
    client = Client()
    client.answer("question", 1, b"2")
    async with client:
        assert await probe.next() == (1, b"2")


async def test_callback_of_a_client_that_leaves_is_not_called(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("question", callback=probe.note)

    Main.probe = probe
    serve(Main)
    client = await connect()
    await client.disconnect()
    assert await probe.next() == "transport close"
    assert await probe.empty()


async def test_a_failing_callback_is_logged(
    serve: Serve, hub: Hub, probe: Probe, records: list[Any]
) -> None:
    def callback() -> None:
        probe.note("called")
        raise ValueError("in the callback")

    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("question", callback=callback)

    serve(Main)
    client = Client()
    client.answer("question")
    async with client:
        assert await probe.next() == "called"
    await hub.close(grace=DEADLINE)
    errors = [record.exc_info[1] for record in records if record.levelname == "ERROR"]
    assert [str(error) for error in errors] == ["in the callback"]


# The end


@pytest.mark.parametrize(
    ("frame", "reason"),
    [("41", "client namespace disconnect"), ("1", "transport close"), ("4garbage", "parse error")],
)
async def test_the_reason_of_a_disconnect(
    serve: Serve, probe: Probe, new_wire: Any, frame: str, reason: str
) -> None:
    Noting.probe = probe
    serve(Noting)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(frame)
    assert await probe.next() == reason


async def test_ping_timeout(serve: Serve, probe: Probe, new_wire: Any) -> None:
    Noting.probe = probe
    serve(Noting, PING_INTERVAL=0.01, PING_TIMEOUT=0.01)
    wire: Wire = new_wire()
    await wire.connect()
    assert await wire.next() == "2"
    wire.feed("3")
    assert await wire.next() == "2", "who answers stays"
    assert await probe.next() == "ping timeout"


async def test_shutdown_reason(serve: Serve, probe: Probe, hub: Hub, connect: Connect) -> None:
    Noting.probe = probe
    serve(Noting)
    client = await connect()
    await hub.close(grace=0.1)
    assert await probe.next() == "server shutting down"
    await client.closed()


async def test_close(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(Noting):
        @event
        async def kick(self) -> None:
            self.emit("last")
            self.close()
            self.close()
            self.emit("never")

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('421["kick"]')
    assert [await wire.next(), await wire.next()] == ['42["last"]', "41"]
    assert await probe.next() == "server namespace disconnect"
    assert wire.pending() == 0
    assert (await wire.connect()).startswith("40"), "the same connection may come back"


async def test_close_in_connect_refuses(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.close()

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    assert await wire.connect() == '44{"message":"Connection refused"}'
    assert wire.pending() == 0


async def test_disconnect_runs_after_a_failing_handler(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(Noting):
        async def receive(self, event: str, *args: Any) -> None:
            raise RuntimeError("broken")

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("boom")
    await client.disconnect()
    assert await probe.next() == "transport close"


async def test_disconnect_waits_for_events_that_had_arrived(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(Noting):
        async def receive(self, event: str, *args: Any) -> None:
            if event == "first":
                probe.note("waiting")
                await probe.gate.wait()
            probe.note(event)

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("first")
    assert await probe.next() == "waiting"
    client.emit("second")
    await asyncio.sleep(0)
    await client.disconnect()
    probe.gate.set()
    assert [await probe.next() for _ in range(3)] == ["first", "second", "transport close"]


async def test_disconnect_does_not_wait_for_ever(
    serve: Serve, probe: Probe, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", 0.05)

    class Main(Noting):
        async def receive(self, event: str, *args: Any) -> None:
            probe.note("waiting")
            await probe.gate.wait()
            self.join("too late")
            self.emit("too late")
            probe.note("done")

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("hang")
    assert await probe.next() == "waiting"
    await client.disconnect()
    assert await probe.next() == "transport close"
    probe.gate.set()
    assert await probe.next() == "done"


async def test_a_client_that_leaves_during_connect(
    serve: Serve, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            await probe.gate.wait()
            self.join("room")
            probe.note("connected")

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == "connecting"
    wire.close()
    probe.gate.set()
    assert [await probe.next(), await probe.next()] == ["connected", "transport close"]
    assert hub.stats()["rooms"] == 0
    assert hub.stats()["sockets"] == 0


async def test_disconnect_still_reaches_others(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("room")

        async def disconnect(self, reason: str) -> None:
            self.emit("to nobody")
            self.join("another room")
            self.leave("room")
            self.close()
            self.to("room").emit("left", self.sid, sorted(self.rooms))

    serve(Main)
    ann, bob = await connect(), await connect()
    await ann.disconnect()
    assert await bob.receive() == ("left", ann.sid, ["another room"])


async def test_an_error_in_disconnect_is_logged(
    serve: Serve, connect: Connect, probe: Probe, records: list[Any], hub: Hub
) -> None:
    class Main(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            probe.note(reason)
            raise RuntimeError("broken")

    serve(Main)
    client = await connect()
    await client.disconnect()
    await probe.next()
    errors = [record.realtime["event"] for record in records if record.levelname == "ERROR"]
    assert errors == ["disconnect"]


async def test_a_thread_that_leaves_a_room_while_its_client_goes(
    serve: Serve, connect: Connect, hub: Hub
) -> None:
    """The room's group in the channel layer is left too, however the two meet."""
    ready, left = threading.Event(), threading.Event()
    entered = asyncio.Event()

    class Main(NamespaceConsumer):
        def receive(self, event: str, *args: Any) -> None:
            self.join("room")
            hub.loop.call_soon_threadsafe(entered.set)
            assert ready.wait(DEADLINE)
            self.leave("room")
            left.set()

    serve(Main)
    client = await connect()
    client.emit("go")
    await entered.wait()
    await hub.cluster.settled()
    ready.set()
    assert left.wait(DEADLINE), "the thread has left, and the loop has not heard of it yet"
    await client.disconnect()
    async with asyncio.timeout(DEADLINE):
        while hub.stats()["tasks"] > 2:  # the link to the layer has two
            await asyncio.sleep(0)
    await hub.cluster.settled()
    assert get_channel_layer().groups == {}


# as_asgi


async def test_initkwargs_are_attributes(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        greeting = "hello"

        @event
        async def greet(self) -> str:
            return self.greeting

    serve(
        routes=[
            path("en/", Main.as_asgi()),
            path("de/", Main.as_asgi(greeting="guten Tag")),
        ]
    )
    assert await (await connect("/en")).call("greet") == "hello"
    assert await (await connect("/de")).call("greet") == "guten Tag"


def test_initkwargs_that_the_class_does_not_have() -> None:
    with pytest.raises(TypeError, match="'greetings': Noting has no such attribute"):
        Noting.as_asgi(greetings="hello")


async def test_as_asgi_says_where_it_belongs() -> None:
    app = Noting.as_asgi()
    assert app.__name__ == "Noting"
    with pytest.raises(TypeError, match=r"REALTIME\['NAMESPACES'\]"):
        await app({}, None, None)


# Sending


Choose = Callable[[NamespaceConsumer, dict[str, str]], Any]


@pytest.mark.parametrize(
    ("choose", "receivers"),
    [
        (lambda me, sids: me.namespace, "ann bob cleo dan"),
        (lambda me, sids: me.broadcast, "bob cleo dan"),
        (lambda me, sids: me.to("a"), "cleo"),
        (lambda me, sids: me.to("a").to("b"), "bob cleo"),
        (lambda me, sids: me.to("a", "b", "b"), "bob cleo"),
        (lambda me, sids: me.to("nobody"), ""),
        (lambda me, sids: me.to(sids["bob"]), "bob"),
        (lambda me, sids: me.to(sids["bob"], "b", "a"), "bob cleo"),
        (lambda me, sids: me.to(me.sid), ""),
        (lambda me, sids: me.excluding("b"), "cleo dan"),
        (lambda me, sids: me.excluding("a", sids["dan"]), "bob"),
        (lambda me, sids: me.to("a", "b").excluding("b"), "cleo"),
        (lambda me, sids: me.namespace.to("a"), "ann cleo"),
        (lambda me, sids: me.namespace.to("a").to(sids["dan"], me.sid), "ann cleo dan"),
        (lambda me, sids: me.namespace.excluding("a"), "bob dan"),
        (lambda me, sids: me.volatile, "ann"),
        (lambda me, sids: me.broadcast.volatile, "bob cleo dan"),
        (lambda me, sids: me, "ann"),
    ],
)
@pytest.mark.parametrize("name", ["say", "say from a thread"])
async def test_who_gets_a_message(
    serve: Serve, connect: Connect, choose: Choose, receivers: str, name: str
) -> None:
    sids: dict[str, str] = {}

    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join(*auth["rooms"])

        @event
        async def say(self) -> None:
            choose(self, sids).emit("said", 1, b"2")

        @event("say from a thread")
        def say_from_a_thread(self) -> None:
            choose(self, sids).emit("said", 1, b"2")

    serve(Main, routes=[path("other/", Main.as_asgi())])
    rooms = {"ann": ["a", "b"], "bob": ["b"], "cleo": ["a"], "dan": []}
    clients = {name: await connect(auth={"rooms": names}) for name, names in rooms.items()}
    stranger = await connect("/other", auth={"rooms": ["a", "b"]})
    sids.update({name: client.sid for name, client in clients.items()})
    await clients["ann"].call(name)
    got = {name: client.pending() for name, client in clients.items()}
    assert got == {name: int(name in receivers.split()) for name in clients}
    for receiver in receivers.split():
        assert await clients[receiver].receive() == ("said", 1, b"2")
    assert stranger.pending() == 0


async def test_a_room_named_like_a_sid_does_not_eavesdrop(connect: Connect) -> None:
    ann, eve = await connect(), await connect()
    await eve.call("join", ann.sid)
    realtime.to(ann.sid).emit("private message")
    assert await ann.receive() == ("private message",)
    assert eve.pending() == 0
    await ann.disconnect()
    realtime.to(ann.sid).emit("private message")
    assert eve.pending() == 0, "a message to a client that has left reaches nobody else"


async def test_room_names_are_texts(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def wrong(self) -> int:
            wrong: Any = 5
            calls = [self.join, self.leave, self.to, self.excluding]
            for call in calls:
                with pytest.raises(TypeError, match="text, not int"):
                    call(wrong)
            return len(self.rooms)

    serve(Main)
    assert await (await connect()).call("wrong") == 0


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((object(),), TypeError),
        (("connect",), ValueError),
        ((5,), ValueError),
        (("x", {1j}), TypeError),
    ],
)
async def test_what_cannot_be_sent_is_an_error_where_it_is_sent(
    serve: Serve, connect: Connect, args: tuple[Any, ...], error: type[Exception]
) -> None:
    event_args: Any = ("x", *args) if not isinstance(args[0], (str, int)) else args

    class Main(NamespaceConsumer):
        @event
        async def send(self) -> str:
            for emit in (self.emit, self.namespace.emit, self.to("a").emit):
                with pytest.raises(error):
                    emit(*event_args)
            with pytest.raises(error):
                self.emit(*event_args, callback=print)
            with pytest.raises(error):
                await self.acall(*event_args)
            return "refused"

    serve(Main)
    assert await (await connect()).call("send") == "refused"


async def test_plain_calls_may_be_awaited(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            await self.join("room")
            await self.emit("one")
            await self.namespace.to("room").emit("two")
            await self.leave("room")

        @event
        async def bye(self) -> None:
            await self.close()

    serve(Main)
    client = await connect()
    assert [await client.receive(), await client.receive()] == [("one",), ("two",)]
    client.emit("bye")
    await client.closed()
