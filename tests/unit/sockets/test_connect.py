"""Connecting: what a consumer knows of its client, whom it turns away, and its initkwargs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from realtime import ConnectionRefused, EventError, NamespaceConsumer, event
from realtime.hub.hub import Hub

from ..conftest import Connect, Serve
from ..consumers import Noting
from ..probes import DEADLINE, Probe, Wire


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
    assert consumer.scope["namespace"] == consumer.namespace == "/items/7/lid"
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


class Banned(ConnectionRefused):
    """A site's own."""

    default_message = default_code = "banned"


@pytest.mark.parametrize(
    ("error", "message", "data"),
    [
        (ConnectionRefused(), "Connection refused", None),
        (ConnectionRefused("log in first", {"code": 401}), "log in first", {"code": 401}),
        (ConnectionRefused("no", object()), "no", None),
        (ConnectionRefused("no", code=401), "no", {"code": 401}),
        (ConnectionRefused(code="banned"), "Connection refused", {"code": "banned"}),
        (ConnectionRefused("no", {"n": 1, "code": 2}, code=3), "no", {"n": 1, "code": 3}),
        (ConnectionRefused("no", [1], code="x"), "no", {"data": [1], "code": "x"}),
        (ConnectionRefused("no", 0), "no", 0),
        (ConnectionRefused("no", object(), code="x"), "no", {"code": "x"}),
        (ConnectionRefused("no", {"n": object()}, code=0), "no", {"code": 0}),
        (Banned(), "banned", {"code": "banned"}),
        (EventError("no", {"n": 1}), "no", {"n": 1}),
        (EventError("no", code="busy"), "no", {"code": "busy"}),
        (ConnectionRefused("no", b"bytes"), "no", None),
        (RuntimeError("secret"), "server error", None),
        (asyncio.CancelledError("secret"), "server error", None),
    ],
    ids=lambda value: type(value).__name__,
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


async def test_an_unknown_namespace(new_wire: Any, records: list[Any]) -> None:
    wire: Wire = new_wire()
    assert await wire.connect("/nowhere") == '44/nowhere,{"message":"Invalid namespace"}'
    (record,) = records
    assert record.args[0] == "refused"
    assert record.realtime["namespace"] == "/nowhere"
    assert record.realtime["message"] == "Invalid namespace"
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
        self.everyone.to("room").emit("to the room")
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


async def test_a_client_that_leaves_before_it_is_refused(
    serve: Serve, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            await probe.gate.wait()
            raise ConnectionRefused

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == "connecting"
    wire.close()
    probe.gate.set()
    async with asyncio.timeout(DEADLINE):
        while hub.stats()["tasks"]:
            await asyncio.sleep(0)
    assert await probe.empty(), "who was never in does not leave"


async def test_a_connect_that_is_read_when_the_connection_has_ended(
    new_wire: Any, hub: Hub
) -> None:
    wire: Wire = new_wire()
    await wire.connect("/users")
    wire.feed("40")
    wire.session.close("ping timeout")
    while wire.unread():
        await asyncio.sleep(0)
    await wire.next()
    async with asyncio.timeout(DEADLINE):
        while hub.stats()["tasks"]:
            await asyncio.sleep(0)
    assert not hub.stats()["sockets"]


async def test_connect_that_emits_more_than_may_wait(
    serve: Serve, probe: Probe, new_wire: Any
) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            for _ in range(3):
                self.emit("much", "x" * 5000)

    Main.probe = probe
    serve(Main, OUTBOX_BYTES=10_000)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await wire.next() is None
    assert await probe.next() == "transport error"


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


async def test_no_session_is_explained(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> Any:
            return self.session["cart"]

    serve(Main)
    client = await connect()
    (socket,) = client._session.sockets.values()
    del socket.connection.scope["session"]
    with pytest.raises(ImproperlyConfigured, match=r"scope\['session'\]"):
        _ = socket.consumer.session
    assert (await client.call("ask"))["error"]["code"] == "server_error"
    socket.connection.scope["session"] = {"cart": 3}
    assert await client.call("ask") == 3
