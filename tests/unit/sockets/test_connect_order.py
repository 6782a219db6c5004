"""`disconnect` comes after `connect` or not at all, and what `connect` says before all others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.urls import path

import realtime
from realtime import ConnectionRefused, NamespaceConsumer
from realtime.cluster.targets import Target
from realtime.hub.hub import Hub
from realtime.sockets import socket as sockets
from realtime.sockets.messages import Message

from ..conftest import Connect, Serve
from ..probes import DEADLINE, Probe, Wire


class Slow(NamespaceConsumer):
    """Its first hook passes through the gate, in the way that `auth` names."""

    probe: Probe

    async def connect(self, auth: dict[str, Any]) -> None:
        how = auth.get("how", "returns")
        self.probe.note("connecting")
        try:
            await self.probe.gate.wait()
        except asyncio.CancelledError:
            self.probe.note("cancelled")
            if how != "swallows":
                raise
        finally:
            self.probe.note("connected")
        if how == "raises":
            raise RuntimeError("broken")
        if how == "refuses":
            raise ConnectionRefused("no")
        if how == "closes":
            self.close()

    async def disconnect(self, reason: str) -> None:
        self.probe.note("disconnect")


class InThread(NamespaceConsumer):
    """The same in a thread, which nobody can cancel."""

    probe: Probe
    gate: threading.Event

    def connect(self, auth: dict[str, Any]) -> None:
        self.probe.note("connecting")
        assert self.gate.wait(DEADLINE)
        self.probe.note("connected")
        if auth.get("how") == "raises":
            raise RuntimeError("broken")

    def disconnect(self, reason: str) -> None:
        self.probe.note("disconnect")


LATE = 0.02


@pytest.fixture
def slow(serve: Serve, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both consumers, "/" and "/thread", beside a grace that is soon over."""
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", LATE)
    Slow.probe = InThread.probe = probe
    InThread.gate = threading.Event()
    serve(Slow, routes=[path("thread/", InThread.as_asgi())])


async def is_late(records: list[Any]) -> None:
    """Wait until the last hook has waited for longer than its grace."""
    async with asyncio.timeout(DEADLINE):
        while not any(record.args[0] == "connect-outlives-client" for record in records):
            await asyncio.sleep(LATE / 4)


def end(wire: Wire, how: str) -> None:
    """Let a client leave."""
    if how == "leaves":
        wire.feed("41" if "/" in wire.session.sockets else "41/thread,")
    elif how == "connects again":
        wire.feed("40" if "/" in wire.session.sockets else "40/thread,")
    else:
        wire.close()


@pytest.mark.parametrize("ending", ["hangs up", "leaves", "connects again"])
@pytest.mark.parametrize(
    ("how", "follows"),
    [("returns", True), ("closes", True), ("raises", False), ("refuses", False)],
)
async def test_disconnect_waits_for_a_late_connect(
    slow: None,
    probe: Probe,
    new_wire: Any,
    hub: Hub,
    records: list[Any],
    how: str,
    follows: bool,
    ending: str,
) -> None:
    wire: Wire = new_wire()
    wire.feed(f'40{{"how":"{how}"}}')
    assert await probe.next() == "connecting"
    end(wire, ending)
    if ending == "connects again":
        assert await probe.next() == "connecting"
    await is_late(records)
    assert await probe.empty()
    probe.gate.set()
    assert await probe.next() == "connected"
    if ending == "connects again":
        assert await probe.next() == "connected"
        assert str(await wire.next()).startswith("40{")
    if follows:
        assert await probe.next() == "disconnect"
    async with asyncio.timeout(DEADLINE):
        while len(hub.tasks) > len(hub.connections):
            await asyncio.sleep(0)
    assert await probe.empty()


@pytest.mark.parametrize("how", ["returns", "raises"])
@pytest.mark.parametrize("ending", ["hangs up", "leaves"])
async def test_a_late_connect_in_a_thread(
    slow: None, probe: Probe, new_wire: Any, hub: Hub, records: list[Any], how: str, ending: str
) -> None:
    wire: Wire = new_wire()
    wire.feed(f'40/thread,{{"how":"{how}"}}')
    assert await probe.next() == "connecting"
    end(wire, ending)
    await is_late(records)
    assert await probe.empty()
    InThread.gate.set()
    assert await probe.next() == "connected"
    if how == "returns":
        assert await probe.next() == "disconnect"
    async with asyncio.timeout(DEADLINE):
        while len(hub.tasks) > len(hub.connections):
            await asyncio.sleep(0)
    assert await probe.empty()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["returns", "swallows"])
async def test_a_connect_that_outlives_the_hub_is_cancelled(
    slow: None, probe: Probe, new_wire: Any, hub: Hub, how: str
) -> None:
    wire: Wire = new_wire()
    wire.feed(f'40{{"how":"{how}"}}')
    assert await probe.next() == "connecting"
    await hub.close(grace=LATE)
    assert [await probe.next(), await probe.next()] == ["cancelled", "connected"]
    assert await probe.empty(), "no disconnect without a connect that has returned in time"


@pytest.mark.slow
async def test_a_connect_that_ends_while_the_hub_closes(
    slow: None, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == "connecting"
    closing = asyncio.create_task(hub.close(grace=DEADLINE))
    async with asyncio.timeout(DEADLINE):
        while not wire.session.closed.happened:
            await asyncio.sleep(0)
    wire.close()  # its end of the line, for which the hub would wait
    probe.gate.set()
    await closing
    assert [await probe.next(), await probe.next()] == ["connected", "disconnect"]


class Greeting(NamespaceConsumer):
    """Joins a room, reads a snapshot, and says what it has read."""

    probe: Probe
    log: list[int]

    async def connect(self, auth: dict[str, Any]) -> None:
        await self.join("room")
        self.emit("first")
        snapshot = list(self.log)
        self.probe.note("read")
        await self.probe.gate.wait()
        self.everyone.to("room").emit("to the room")
        self.volatile().emit("volatile")
        self.emit("snapshot", snapshot)
        if auth.get("refuse"):
            raise ConnectionRefused("no")


class GreetingInThread(Greeting):
    """The same in a thread."""

    in_thread: threading.Event

    def connect(self, auth: dict[str, Any]) -> None:  # type: ignore[override]
        self.join("room")
        self.emit("first")
        snapshot = list(self.log)
        self.probe.note("read")
        assert self.in_thread.wait(DEADLINE)
        self.everyone.to("room").emit("to the room")
        self.volatile().emit("volatile")
        self.emit("snapshot", snapshot)


def broadcast(hub: Hub, *rooms: str, event: str = "new", n: int = 1) -> None:
    """Send to rooms, or to all, as another client or another server does."""
    hub.deliver(Target("/", rooms), Message("/", event, (n,)))


@pytest.mark.parametrize("consumer_class", [Greeting, GreetingInThread])
async def test_nothing_is_lost_between_a_snapshot_and_the_first_broadcast(
    serve: Serve, probe: Probe, connect: Connect, hub: Hub, consumer_class: type[Greeting]
) -> None:
    Greeting.probe, Greeting.log = probe, [0]
    GreetingInThread.in_thread = threading.Event()
    serve(consumer_class)
    connecting = asyncio.create_task(connect())
    assert await probe.next() == "read"
    for n, rooms in enumerate([("room",), (), ("room", "other")], start=1):
        Greeting.log.append(n)
        broadcast(hub, *rooms, n=n)
    realtime.to(*hub.registry.sockets).emit("to the client", 4)
    probe.gate.set()
    GreetingInThread.in_thread.set()
    client = await connecting
    broadcast(hub, "room", n=5)
    assert [await client.receive() for _ in range(9)] == [
        ("first",),
        ("to the room",),
        ("volatile",),
        ("snapshot", [0]),
        ("new", 1),
        ("new", 2),
        ("new", 3),
        ("to the client", 4),
        ("new", 5),
    ]


async def test_a_question_of_another_waits_too(
    serve: Serve, probe: Probe, connect: Connect, hub: Hub
) -> None:
    Greeting.probe, Greeting.log = probe, []
    serve(Greeting)
    connecting = asyncio.create_task(connect())
    assert await probe.next() == "read"
    asking = asyncio.create_task(realtime.to("room").acall("question", timeout=DEADLINE))
    await asyncio.sleep(0)
    probe.gate.set()
    client = await connecting
    client.answer("question", "yes")
    names = [(await client.receive())[0] for _ in range(5)]
    assert names == ["first", "to the room", "volatile", "snapshot", "question"]
    client.emit("anything")
    asking.cancel()


async def test_who_is_refused_gets_no_broadcast(
    serve: Serve, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    Greeting.probe, Greeting.log = probe, []
    serve(Greeting)
    wire: Wire = new_wire()
    wire.feed('40{"refuse":true}')
    assert await probe.next() == "read"
    broadcast(hub, "room")
    probe.gate.set()
    assert await wire.next() == '44{"message":"no"}'
    broadcast(hub, "room")
    assert wire.pending() == 0


async def test_broadcasts_during_connect_are_bounded(
    serve: Serve, probe: Probe, new_wire: Any
) -> None:
    Greeting.probe, Greeting.log = probe, []
    serve(Greeting, OUTBOX_BYTES=10_000)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == "read"
    for _ in range(200):
        broadcast(wire.session.hub, "room", event="x" * 100)
    assert wire.session.closed.happened
    probe.gate.set()
