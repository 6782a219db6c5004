"""Sending: who gets a message, and what cannot be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import path

import realtime
from realtime import NamespaceConsumer, event
from tests.unit.probes import DEADLINE

from ..conftest import Connect, Serve

Choose = Callable[[NamespaceConsumer, dict[str, str]], Any]


@pytest.mark.parametrize(
    ("choose", "receivers"),
    [
        (lambda me, sids: me.everyone, "ann bob cleo dan"),
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
        (lambda me, sids: me.everyone.to("a"), "ann cleo"),
        (lambda me, sids: me.everyone.to("a").to(sids["dan"], me.sid), "ann cleo dan"),
        (lambda me, sids: me.everyone.excluding("a"), "bob dan"),
        (lambda me, sids: me.volatile(), "ann"),
        (lambda me, sids: me.broadcast.volatile(), "bob cleo dan"),
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
            for emit in (self.emit, self.everyone.emit, self.to("a").emit):
                with pytest.raises(error):
                    emit(*event_args)
            with pytest.raises(error):
                self.emit(*event_args, callback=print)
            with pytest.raises(error):
                await self.acall(*event_args)
            return "refused"

    serve(Main)
    assert await (await connect()).call("send") == "refused"


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (("fine", object()), TypeError, "argument 2 of 'x' .* type object cannot be sent"),
        (({(1, 2): 3},), TypeError, "argument 1 of 'x' .* type tuple .* as a dict's key"),
        (({frozenset(): 3},), TypeError, "argument 1 of 'x' .* type frozenset .* dict's key"),
        ((1, {"a": ["\ud83d"]}), ValueError, "argument 2 of 'x' .* half a surrogate pair"),
        (({"\ud83d": 1},), ValueError, "argument 1 of 'x' .* half a surrogate pair"),
        ((b"x", CYCLE), ValueError, "argument 2 of 'x' .* stands in itself"),
        ((10**5000,), ValueError, "argument 1 of 'x' cannot be sent"),
    ],
)
async def test_what_cannot_be_sent_is_named(
    serve: Serve, connect: Connect, args: Any, error: type[Exception], message: str
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def send(self) -> str:
            for emit in (self.emit, self.everyone.emit, realtime.emit):
                with pytest.raises(error, match=message):
                    emit("x", *args)
            with pytest.raises(error, match=message):
                await self.acall("x", *args)
            with pytest.raises(ValueError, match=r"the name of .* half a surrogate pair"):
                self.emit("\ud83d")
            return "refused"

        @event
        async def answer(self) -> Any:
            return args

    serve(Main)
    client = await connect()
    assert await client.call("send") == "refused"
    assert (await client.call("answer"))["error"]["code"] == "server_error"


async def test_plain_calls_may_be_awaited(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            await self.join("room")
            await self.emit("one")
            await self.everyone.to("room").emit("two")
            await self.leave("room")

        @event
        async def bye(self) -> None:
            await self.close()

    serve(Main)
    client = await connect()
    assert [await client.receive(), await client.receive()] == [("one",), ("two",)]
    client.emit("bye")
    await client.closed(DEADLINE)
