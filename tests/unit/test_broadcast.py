"""Sending and asking from anywhere: realtime.emit, to and of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import realtime
from realtime import (
    AckTimeout,
    NamespaceConsumer,
    UnknownNamespace,
    event,
)
from realtime.exceptions import InvalidEventName, WouldDeadlock
from realtime.testing import Client

from .conftest import Connect, Serve
from .consumers import OrderConsumer
from .probes import DEADLINE, Probe, Wire

Crowd = dict[str, Client]


async def got(crowd: Crowd) -> str:
    """Return the names of those who have got something, and forget what it was."""
    names = [name for name, client in crowd.items() if client.pending()]
    for client in crowd.values():
        while client.pending():
            await client.receive()
    return " ".join(names)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in another thread."""
    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(function, *args)


# Whom


@pytest.mark.parametrize(
    ("emit", "receivers"),
    [
        (lambda sids: realtime.emit("said", 1), "ann bob cleo dan"),
        (lambda sids: realtime.of().emit("said", 1), "ann bob cleo dan"),
        (lambda sids: realtime.to("a").emit("said", 1), "ann cleo"),
        (lambda sids: realtime.to("a", "b").emit("said", 1), "ann bob cleo"),
        (lambda sids: realtime.to("a").to("b").emit("said", 1), "ann bob cleo"),
        (lambda sids: realtime.to(sids["dan"], "b").emit("said", 1), "ann bob dan"),
        (lambda sids: realtime.of("/").excluding("a").emit("said", 1), "bob dan"),
        (lambda sids: realtime.to("a", "b").excluding("b", sids["cleo"]).emit("said", 1), ""),
        (lambda sids: realtime.to("b").volatile().emit("said", 1), "ann bob"),
        (lambda sids: realtime.of("/users").emit("said", 1), ""),
    ],
)
async def test_who_gets_a_message(
    crowd: Crowd, emit: Callable[[dict[str, str]], Any], receivers: str
) -> None:
    sids = {name: client.sid for name, client in crowd.items()}
    emit(sids)
    assert {name: client.pending() for name, client in crowd.items()} == {
        name: int(name in receivers.split()) for name in crowd
    }
    await in_thread(emit, sids)
    assert await got(crowd) == receivers, "the same from another thread"


async def test_a_broadcaster_is_not_changed_by_what_is_made_of_it(crowd: Crowd) -> None:
    room = realtime.to("a")
    room.to("b")
    room.excluding("a")
    room.emit("said")
    assert await got(crowd) == "ann cleo"


async def test_of_a_consumers_class(connect: Connect) -> None:
    seven, eight = await connect("/orders/7"), await connect("/orders/8")
    realtime.of(OrderConsumer, pk=7).emit("shipped", {"n": 7}, b"bytes")
    assert await seven.receive() == ("shipped", {"n": 7}, b"bytes")
    assert eight.pending() == 0
    with pytest.raises(UnknownNamespace):
        realtime.of(OrderConsumer, pk="x")
    with pytest.raises(UnknownNamespace, match="'/orders/x'"):
        realtime.of("/orders/x")


async def test_messages_of_one_thread_keep_their_order(connect: Connect) -> None:
    client = await connect()

    def send() -> None:
        for number in range(100):
            realtime.to(client.sid).emit("number", number)
            realtime.emit("number", number + 0.5)

    await in_thread(send)
    numbers = [(await client.receive())[1] for _ in range(200)]
    assert numbers == [half / 2 for half in range(200)]


async def test_what_cannot_be_sent_is_said_at_once(connect: Connect) -> None:
    client = await connect()
    for args in ((object(),), ({1j},)):
        with pytest.raises(TypeError):
            realtime.emit("x", *args)
    with pytest.raises(InvalidEventName):
        realtime.emit("disconnect")
    with pytest.raises(TypeError, match="text, not int"):
        realtime.to(5)  # type: ignore[arg-type]
    assert client.pending() == 0


async def test_a_message_is_what_it_was_when_it_was_sent(connect: Connect) -> None:
    client = await connect()
    value = {"n": 1}
    realtime.emit("value", value)
    value["n"] = 2
    assert await client.receive() == ("value", {"n": 1})


# Slow clients


async def test_volatile_messages_are_dropped_first(new_wire: Any) -> None:
    slow, quick = new_wire(), new_wire()
    for wire in (slow, quick):
        await wire.connect()
    slow.writer.buffered = 100_000
    realtime.of().volatile().emit("dropped")
    realtime.emit("kept")
    assert await quick.next() == '42["dropped"]'
    assert await quick.next() == await slow.next() == '42["kept"]'
    assert slow.session.hub.counters.dropped == 1


async def test_a_client_too_far_behind_is_cut(serve: Serve, new_wire: Any, probe: Probe) -> None:
    class Main(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Main, OUTBOX_BYTES=100_000)
    slow, quick = new_wire(), new_wire()
    for wire in (slow, quick):
        await wire.connect()
    slow.writer.buffered = 99_990
    realtime.emit("x", "y" * 20)
    assert await probe.next() == "transport error"
    assert slow.writer.aborted
    assert slow.session.hub.counters.cut == 1
    assert await quick.next() == f'42["x","{"y" * 20}"]'


async def test_awaiting_an_emit_waits_for_the_client(serve: Serve, new_wire: Any) -> None:
    class Main(NamespaceConsumer):
        @event
        async def feed(self) -> str:
            await self.emit("one")
            return "fed"

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.writer.buffered = 100_000
    wire.feed('421["feed"]')
    assert await wire.next() == '42["one"]'
    await asyncio.sleep(0.02)
    assert wire.pending() == 0
    wire.writer.buffered = 0
    assert await wire.next() == '431["fed"]'


# Moving them


async def test_join_and_leave(crowd: Crowd) -> None:
    await realtime.to("a").join("c", "d")
    realtime.to("c").emit("said")
    assert await got(crowd) == "ann cleo"
    assert await crowd["ann"].call("join") == ["a", "b", "c", "d"], "its consumer knows"
    await realtime.to("b").leave("c", "nothing")
    realtime.to("c").emit("said")
    assert await got(crowd) == "cleo"


async def test_disconnect(crowd: Crowd) -> None:
    realtime.to("b").close()
    for name in ("ann", "bob"):
        await crowd[name].closed(DEADLINE)
    realtime.emit("said")
    assert await got(crowd) == "cleo dan"


async def test_moving_them_from_a_thread(crowd: Crowd) -> None:
    def move() -> None:
        realtime.to("a").join("c")
        realtime.to("c").emit("said")
        realtime.to("c").leave("c")
        realtime.to("c").emit("never")
        realtime.to(crowd["dan"].sid).close()

    await in_thread(move)
    await crowd["dan"].closed(DEADLINE)
    assert [crowd[name].pending() for name in ("ann", "bob", "cleo")] == [1, 0, 1]


# Questions


async def test_answers_of_many(crowd: Crowd) -> None:
    crowd["ann"].answer("ready?", True)
    crowd["bob"].answer("ready?")
    crowd["cleo"].answer("ready?", 1, b"2")
    answers = await realtime.of().acall("ready?", timeout=0.1)
    assert answers == {
        crowd["ann"].sid: True,
        crowd["bob"].sid: None,
        crowd["cleo"].sid: (1, b"2"),
    }
    assert answers.missing == [crowd["dan"].sid]
    assert await in_thread(lambda: realtime.to("b").call("ready?")) == {
        crowd["ann"].sid: True,
        crowd["bob"].sid: None,
    }
    assert await realtime.to("nobody").acall("ready?") == {}


async def test_raise_for_missing(crowd: Crowd) -> None:
    for name in ("ann", "bob"):
        crowd[name].answer("ready?", name)
    answers = await realtime.to("b").acall("ready?")
    answers.raise_for_missing()
    answers = await realtime.of().acall("ready?", timeout=0.1)
    with pytest.raises(AckTimeout, match=r"^2 of 4 clients did not acknowledge: ") as caught:
        answers.raise_for_missing()
    for name in ("cleo", "dan"):
        assert crowd[name].sid in str(caught.value)
    gone = realtime.to(crowd["dan"].sid)
    await crowd["dan"].disconnect()
    answers = await gone.acall("ready?", timeout=None)
    with pytest.raises(AckTimeout, match=rf"^1 of 1 clients .*: {crowd['dan'].sid}$"):
        answers.raise_for_missing()
    (await realtime.to("nobody").acall("ready?")).raise_for_missing()


async def test_an_answer_of_who_leaves_is_missing(crowd: Crowd) -> None:
    asked = asyncio.create_task(realtime.to("b").acall("ready?", timeout=DEADLINE))
    await crowd["bob"].receive()
    crowd["ann"].answer("ready?", 1)
    await crowd["bob"].disconnect()
    await crowd["ann"].disconnect()
    answers = await asked
    assert answers == {}
    assert sorted(answers.missing) == sorted(crowd[name].sid for name in ("ann", "bob"))


async def test_a_blocking_question_on_the_loop_is_refused(crowd: Crowd) -> None:
    with pytest.raises(WouldDeadlock, match="starts with a"):
        realtime.of().call("ready?")
