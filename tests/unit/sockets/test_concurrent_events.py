"""`@event(concurrent=True)`: handlers beside others, bounded, and ended with their socket."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime import EventError, NamespaceConsumer, event
from realtime.exceptions import InvalidConsumer
from realtime.sockets import socket as sockets

from ..conftest import Connect, Serve
from ..probes import DEADLINE, Probe, Wire

here: ContextVar[int] = ContextVar("here", default=0)


class Asking(NamespaceConsumer):
    """Its handlers wait for a later event."""

    probe: Probe

    async def connect(self, auth: dict[str, Any]) -> None:
        self.data["answer"] = asyncio.get_running_loop().create_future()

    @event(concurrent=True)
    async def ask(self, n: int) -> list[Any]:
        self.probe.note(("asks", n))
        return [n, await asyncio.shield(self.data["answer"])]

    @event
    async def answer(self, what: str) -> str:
        self.data["answer"].set_result(what)
        return what

    @event
    async def plain(self, n: int) -> int:
        self.probe.note(("plain", n))
        return n

    async def disconnect(self, reason: str) -> None:
        self.probe.note("disconnect")


@pytest.fixture
def asking(serve: Serve, probe: Probe) -> Serve:
    Asking.probe = probe
    serve(Asking)
    return serve


async def test_a_handler_waits_for_the_next_event(
    asking: Serve, probe: Probe, connect: Connect
) -> None:
    client = await connect()
    asked = asyncio.create_task(client.call("ask", 1))
    assert await probe.next() == ("asks", 1)
    assert await client.call("plain", 2) == 2
    assert await client.call("answer", "yes") == "yes"
    assert await asked == [1, "yes"]


async def test_they_begin_in_order_after_those_before_them(
    serve: Serve, probe: Probe, new_wire: Any
) -> None:
    class Main(Asking):
        @event
        async def slow(self) -> None:
            probe.note("slow")
            await probe.gate.wait()
            probe.note("slow ended")

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('42["slow"]', '42["ask",1]', '42["plain",2]', '42["ask",3]', '420["answer","x"]')
    assert await probe.next() == "slow"
    assert await probe.empty()
    probe.gate.set()
    notes = [await probe.next() for _ in range(4)]
    assert notes == ["slow ended", ("asks", 1), ("plain", 2), ("asks", 3)]
    assert await wire.next() == '430["x"]'


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_than_may_run_at_a_time(
    asking: Serve, probe: Probe, new_wire: Any, limit: int
) -> None:
    asking(Asking, CONCURRENT_EVENTS=limit)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(*(f'42{n}["ask",{n}]' for n in range(6)), '427["plain",7]')
    for n in range(limit):
        assert await probe.next() == ("asks", n)
    assert await probe.next() == ("plain", 7), "those that wait hold up no others"
    assert await wire.next() == "437[7]"
    assert await probe.empty()
    wire.feed('428["answer","x"]')
    answers = {str(await wire.next()) for _ in range(7)}
    assert answers == {*(f'43{n}[[{n},"x"]]' for n in range(6)), '438["x"]'}
    assert [await probe.next() for _ in range(6 - limit)] == [("asks", n) for n in range(limit, 6)]


async def test_those_that_wait_fill_the_inbox(asking: Serve, probe: Probe, new_wire: Any) -> None:
    asking(Asking, CONCURRENT_EVENTS=1, INBOX_EVENTS=8)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(*(f'42["ask",{n}]' for n in range(30)))
    async with asyncio.timeout(DEADLINE):
        while not wire.session.throttled:
            await asyncio.sleep(0)
    assert wire.unread() > 0, "nothing more is read"
    wire.session.sockets["/"].consumer.data["answer"].set_result("x")
    assert [await probe.next() for _ in range(30)] == [("asks", n) for n in range(30)]


async def test_limits_and_errors_hold_for_them(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        rate_limits = {"limited": "1/h"}

        @event(concurrent=True)
        async def limited(self) -> str:
            return "once"

        @event(concurrent=True)
        async def typed(self, n: int) -> int:
            await asyncio.sleep(0)
            return n

        @event(concurrent=True)
        async def fails(self) -> None:
            await asyncio.sleep(0)
            raise EventError("no", {"why": "test"})

        @event(concurrent=True)
        async def breaks(self) -> None:
            await asyncio.sleep(0)
            raise SystemExit

    serve(Main)
    client = await connect()
    assert await client.call("limited") == "once"
    codes = [
        (await client.call(*call))["error"]["code"]
        for call in (("limited",), ("typed", "x"), ("fails",), ("breaks",))
    ]
    assert codes == ["rate_limited", "invalid_arguments", "error", "server_error"]
    assert await client.call("typed", 1) == 1


async def test_contexts_and_threads_of_their_own(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    both = threading.Barrier(2)

    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            here.set(1)

        @event(concurrent=True)
        async def in_loop(self) -> int:
            seen = here.get()
            here.set(2)
            await sync_to_async(both.wait)(DEADLINE)
            return seen

        @event(concurrent=True)
        def in_thread(self) -> int:
            both.wait(DEADLINE)
            return here.get()

    serve(Main)
    client = await connect()
    assert await asyncio.gather(client.call("in_loop"), client.call("in_thread")) == [1, 1]
    both.reset()
    assert await asyncio.gather(client.call("in_thread"), client.call("in_thread")) == [1, 1]


@pytest.mark.parametrize("how", ["ends", "is cancelled", "swallows it"])
async def test_disconnect_comes_after_them(
    serve: Serve, probe: Probe, connect: Connect, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", DEADLINE / 2 if how == "ends" else 0.05)

    class Main(Asking):
        @event(concurrent=True)
        async def wait(self) -> None:
            probe.note("waits")
            try:
                await probe.gate.wait()
            except asyncio.CancelledError:
                probe.note("cancelled")
                if how == "is cancelled":
                    raise
            probe.note("ended")

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("wait")
    assert await probe.next() == "waits"
    leaving = asyncio.create_task(client.disconnect())
    if how == "ends":
        await asyncio.sleep(0)
        probe.gate.set()
    await leaving
    expected = {
        "ends": ["ended", "disconnect"],
        "is cancelled": ["cancelled", "disconnect"],
        "swallows it": ["cancelled", "ended", "disconnect"],
    }
    assert [await probe.next() for _ in expected[how]] == expected[how]


async def test_an_unclaimed_event_beside_one(serve: Serve, new_wire: Any, probe: Probe) -> None:
    class Main(Asking):
        async def handle(self, event: str, args: list[Any]) -> Any:
            result = await super().handle(event, args)
            if event == "unknown":
                probe.note("unknown")
                await probe.gate.wait()
            return result

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('421["ask",1]', '422["unknown"]')
    assert await probe.next() == ("asks", 1)
    assert await probe.next() == "unknown"
    wire.session.sockets["/"].consumer.data["answer"].set_result("x")
    assert await wire.next() == '431[[1,"x"]]'
    probe.gate.set()
    wire.feed('423["plain",3]')
    assert await wire.next() == "433[3]", "nobody acknowledges the other"


async def test_only_the_handler_of_a_room_is_concurrent(
    serve: Serve, new_wire: Any, probe: Probe
) -> None:
    class Main(NamespaceConsumer):
        @event("go", room="fast", concurrent=True)
        async def in_room(self) -> str:
            await probe.gate.wait()
            return "room"

        @event("go")
        async def outside(self) -> str:
            return "outside"

        @event
        async def enter(self) -> None:
            self.join("fast")

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('420["go"]', '421["enter"]', '422["go"]', '423["go"]', '424["enter"]')
    assert [await wire.next() for _ in range(3)] == ['430["outside"]', "431[]", "434[]"]
    probe.gate.set()
    assert {await wire.next(), await wire.next()} == {'432["room"]', '433["room"]'}


async def test_an_override_without_the_decorator_stays_concurrent(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(Asking):
        async def ask(self, n: int) -> list[Any]:
            return [*await super().ask(n), "too"]

    Main.probe = probe
    serve(Main)
    client = await connect()
    asked = asyncio.create_task(client.call("ask", 1))
    assert await probe.next() == ("asks", 1)
    await client.call("answer", "yes")
    assert await asked == [1, "yes", "too"]


@pytest.mark.parametrize("value", [1, "yes", None, 0])
def test_concurrent_is_a_bool(value: Any) -> None:
    with pytest.raises(InvalidConsumer, match="CONCURRENT_EVENTS"):

        class Main(NamespaceConsumer):
            @event("go", concurrent=value)
            async def go(self) -> None: ...
