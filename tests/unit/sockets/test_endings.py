"""A connection's end is complete, whatever raises in it; and what a client sends after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.frames import Opcode

from realtime import NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.execution.pacing import FRAMES_PER_SLICE
from realtime.hub.hub import Hub
from realtime.sockets.acks import Acks
from realtime.transports.connection import Connection
from realtime.transports.heartbeats import TimerWheel

from ..conftest import Serve
from ..peers import PEERS, Peer, frame, handshake, new_peer, wire
from ..transports.test_heartbeats import Clock

PING, PONG = frame(Opcode.PING), frame(Opcode.PONG)
BEGIN, END = frame(Opcode.TEXT, b'{"ev', fin=False), frame(Opcode.CONT, b'ent":"note"}')
NOTE = wire('{"event":"note"}')


class Main(NamespaceConsumer):
    """Notes what comes."""

    notes: list[str] = []

    async def connect(self, auth: Any) -> None:
        self.join("room")

    async def disconnect(self, reason: str) -> None:
        self.notes.append(reason)

    @event
    async def note(self) -> None:
        self.notes.append("event")


@pytest.fixture(params=PEERS)
async def peer(request: pytest.FixtureRequest, serve: Serve, hub: Hub) -> AsyncIterator[Peer]:
    """A plain WebSocket on each server in turn."""
    serve(Main)
    Main.notes = []
    async with new_peer(request.param, hub) as peer:
        await peer.connect_plain()
        yield peer


@pytest.fixture
def connection(peer: Peer, hub: Hub) -> Connection:
    """That client's connection."""
    [connection] = hub.connections.values()
    return connection


async def gone(peer: Peer, hub: Hub, reason: str) -> None:
    """Wait until nothing is left of the client, and its hook has run."""
    await peer.until(lambda: reason in Main.notes)
    stats = hub.stats()
    assert (stats["connections"], stats["sockets"], stats["rooms"]) == (0, 0, 0)


def fault(*args: Any) -> Any:
    raise RuntimeError("the test broke this")


# Faults


@pytest.mark.parametrize("step", ["close", "abort"])
async def test_a_transport_that_cannot_be_closed(
    peer: Peer, connection: Connection, hub: Hub, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(connection.writer), "close", fault)
    monkeypatch.setattr(type(connection.writer), step, fault)
    connection.close("server shutting down")
    await gone(peer, hub, "server shutting down")
    if step == "close":
        await peer.until(lambda: peer.transport.lost)


# What a connection's end does, one after the other, and where a test can break it.
STEPS = {
    "limits": lambda connection: (connection, "_leave"),
    "heartbeats": lambda connection: (connection.hub.timers, "remove"),
    "transport": lambda connection: (type(connection), "close_transport"),
    "close frame": lambda connection: (type(connection.writer), "close"),
    "cut": lambda connection: (type(connection.writer), "abort"),
    "registry": lambda connection: (connection.hub.registry, "remove"),
    "rooms": lambda connection: (connection.hub.registry, "_emptied"),
    "acknowledgements": lambda connection: (Acks, "give_up"),
    "observers": lambda connection: (connection.hub.observers, "closed"),
    "hook": lambda connection: (Main, "disconnect"),
}


@pytest.mark.parametrize(
    "broken",
    [
        *([step] for step in STEPS if step != "cut"),
        ["close frame", "cut"],
        [*STEPS][::-1],
        ["rooms", "observers"],
    ],
    ids=" and ".join,
)
async def test_an_end_in_which_steps_raise(
    peer: Peer,
    connection: Connection,
    hub: Hub,
    broken: list[str],
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    """Whatever raises, all other steps happen: the hook runs, and nothing of the client is left."""
    for room in "abc":
        next(iter(connection.sockets.values())).join(room)
    left: list[str] = []
    leave, closed = connection._leave, hub.observers.closed
    connection._leave = lambda: [left.append("limits"), leave()]
    monkeypatch.setattr(hub.observers, "closed", lambda *_: [left.append("observers"), closed(*_)])
    with monkeypatch.context() as patch:
        for step in broken:
            place, name = STEPS[step](connection)
            if step == "hook":
                patch.setattr(Main, name, noted_fault)
            else:
                patch.setattr(place, name, fault)
        connection.close("transport close")
        await peer.until(lambda: "transport close" in Main.notes)
    assert set(left) == {"limits", "observers"} - set(broken)
    assert not hub.connections
    assert not connection.sockets
    if "registry" in broken:
        for socket in list(hub.registry.sockets.values()):
            hub.registry.remove(socket)
    stats = hub.stats()
    assert (stats["sockets"], stats["rooms"], stats["namespaces"]) == (0, 0, 0)
    assert [each for each in records if each.exc_info and each.levelname == "ERROR"]


async def noted_fault(consumer: Main, reason: str) -> None:
    Main.notes.append(reason)
    fault()


async def test_a_write_that_fails(peer: Peer, connection: Connection, hub: Hub) -> None:
    hub.loop.set_exception_handler(lambda loop, context: None)
    peer.transport.broken = "raise"
    for socket in connection.sockets.values():
        socket.consumer.emit("news")
    await gone(peer, hub, "transport close")
    assert peer.transport.lost


@pytest.mark.parametrize("broken", ["error", "raise"])
async def test_pings_that_wait_when_the_client_is_gone(
    peer: Peer, hub: Hub, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """Its turn of frames is over, and its transport too when it is looked at again."""
    hub.loop.set_exception_handler(lambda loop, context: None)
    peer.transport.broken = broken
    peer.receive((NOTE + PING) * (FRAMES_PER_SLICE + 8))
    if not peer.transport.lost:
        peer.transport.fail(ConnectionResetError())
    await peer.until(lambda: not hub.connections)
    await peer.until(lambda: Main.notes and Main.notes[-1] != "event")
    assert not peer.transport.misused
    assert not [each for each in caplog.records if "task-failed" in each.getMessage()]


async def test_a_heartbeat_that_fails(
    peer: Peer, connection: Connection, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(connection), "ping", fault)
    connection.on_timer(hub.timers.after(1000))  # type: ignore[attr-defined]
    await gone(peer, hub, "transport error")


class Faulty(NamespaceConsumer):
    """Cannot be made."""

    def __init__(self, **options: Any) -> None:
        raise RuntimeError("a fault of the site's")


@pytest.mark.parametrize("kind", PEERS)
async def test_a_consumer_that_cannot_be_made(
    kind: str, serve: Serve, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    serve(Faulty)
    peer = PEERS[kind](Realtime(nothing))
    peer.receive(handshake("/ws/"))
    await peer.until(lambda: b"server error" in peer.transport.written or peer.transport.lost)
    assert not hub.connections
    assert "a fault of the site's" in caplog.text
    peer.transport.fail(ConnectionResetError())
    await peer.until(lambda: not hub.stats()["tasks"])


# The end of a client that does not read


async def test_a_client_that_ends_and_reads_nothing(
    peer: Peer, connection: Connection, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("adapters", "uvicorn"):
        monkeypatch.setattr(f"realtime.webservers.{module}.CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr("realtime.webservers.direct.DISCONNECT_GRACE", 0.01)
    peer.transport.reads = False
    for socket in connection.sockets.values():
        socket.consumer.emit("news", "x" * 1000)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    peer.transport.end()
    peer.transport.deliver()
    await gone(peer, hub, "transport close")
    await peer.until(lambda: peer.transport.lost)


# What comes after our own close


WAYS = pytest.mark.parametrize("before", [b"", BEGIN + END], ids=["direct", "through ASGI"])


@WAYS
async def test_nothing_is_kept_of_what_comes_after_the_close_frame(
    peer: Peer, connection: Connection, hub: Hub, before: bytes
) -> None:
    if before:
        peer.receive(before)
        await peer.until(lambda: "event" in Main.notes)
        await peer.until(lambda: peer.transport.reading)
    Main.notes.clear()
    connection.close("server shutting down")
    await peer.until(lambda: b"\x88" in peer.transport.written)
    for _ in range(20):
        peer.transport.send((NOTE + BEGIN + END) * 50)
        peer.transport.deliver()
        await asyncio.sleep(0)
    queue = vars(peer.server).get("queue") or vars(peer.server).get("application_queue")
    assert queue is None or queue.qsize() <= 2, "but for the news that it is over"
    peer.transport.send(frame(Opcode.CLOSE, b"\x03\xe9"))
    peer.transport.deliver()
    await peer.until(lambda: peer.transport.lost)
    assert Main.notes == ["server shutting down"]


@WAYS
async def test_pings_after_the_close_frame_have_their_bounds(
    peer: Peer, connection: Connection, hub: Hub, before: bytes
) -> None:
    hub.settings.OUTBOX_BYTES = 10_000
    if before:
        peer.receive(before)
        await peer.until(lambda: peer.transport.reading)
    connection.close("server shutting down")
    await peer.until(lambda: b"\x88" in peer.transport.written)
    peer.transport.reads, written = False, len(peer.transport.written)
    for _ in range(100):
        peer.transport.send(frame(Opcode.PING, b"x" * 125) * 10)
        peer.transport.deliver()
        await asyncio.sleep(0)
    assert len(peer.transport.written) - written < 20_000
    assert connection.writer.buffered < 20_000


async def test_pongs_that_the_server_writes_have_their_bounds(peer: Peer, hub: Hub) -> None:
    peer.receive(BEGIN + END)
    await peer.until(lambda: "event" in Main.notes)
    await peer.until(lambda: peer.transport.reading)
    peer.transport.reads = False
    hub.settings.OUTBOX_BYTES = 10_000
    burst = frame(Opcode.PING, b"x" * 125) * 10
    sent = 0
    while hub.connections and sent < 100_000:
        peer.transport.send(burst)
        peer.transport.deliver()
        sent += len(burst)
        await asyncio.sleep(0)
    assert sent < 20_000
    await gone(peer, hub, "transport error")


# The heartbeat


@pytest.fixture
def clock(hub: Hub) -> Clock:
    """A clock by which the hub's connections go, those that come from now on."""
    clock = Clock()
    hub.timers = TimerWheel(clock, hub.settings)  # type: ignore[arg-type]
    return clock


@pytest.fixture
def beating(clock: Clock, peer: Peer) -> Peer:
    """A plain WebSocket that goes by that clock."""
    return peer


def pings(peer: Peer) -> int:
    """Return how many pings the client got."""
    return int(peer.transport.written.count(b"\x89\x00"))


SIGNS = {"a pong": PONG, "a ping": PING, "an event": NOTE, "a fragmented one": BEGIN + END}


@pytest.mark.parametrize("sign", SIGNS)
async def test_whoever_gives_a_sign_of_life_stays(
    clock: Clock, beating: Peer, hub: Hub, sign: str
) -> None:
    for count in range(1, 5):
        clock.go(clock.now + 25.5)
        await beating.until(lambda count=count: pings(beating) == count)
        clock.go(clock.now + 19)
        await beating.until(lambda: beating.transport.reading)
        beating.receive(SIGNS[sign])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert hub.connections


async def test_whoever_is_silent_is_gone(clock: Clock, beating: Peer, hub: Hub) -> None:
    clock.go(clock.now + 24.9)
    assert pings(beating) == 0
    clock.go(clock.now + 0.5)
    await beating.until(lambda: pings(beating) == 1)
    clock.go(clock.now + 19.5)
    assert hub.connections
    clock.go(clock.now + 1)
    await gone(beating, hub, "ping timeout")
    assert not any(hub.timers._slots.values())


async def test_who_waits_for_a_busy_handler_is_not_silent(
    clock: Clock, beating: Peer, hub: Hub
) -> None:
    [connection] = hub.connections.values()
    [socket] = connection.sockets.values()
    connection.throttle(socket)
    for count in range(1, 10):
        clock.go(clock.now + (25.5 if count == 1 else 20.5))
        await beating.until(lambda count=count: pings(beating) == count)
    assert hub.connections
    connection.unthrottle(socket)
    clock.go(clock.now + 50)
    await gone(beating, hub, "ping timeout")
