"""The objects of servers that keep less, and everything that still has to work with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cached_property

import pytest
from websockets.frames import Opcode

from realtime import NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.webservers import daphne as on_daphne
from realtime.webservers import uvicorn as on_uvicorn
from realtime.webservers.adapters import find_unknown
from realtime.webservers.detect import ADAPTERS
from realtime.webservers.slimming import replaced, slim

from ..conftest import Serve
from ..peers import PEERS, Peer, frame, new_peer, wire

KINDS = {"daphne": on_daphne, "uvicorn": on_uvicorn}


class Main(NamespaceConsumer):
    """Notes what comes."""

    notes: list[str] = []

    async def disconnect(self, reason: str) -> None:
        self.notes.append(reason)

    @event
    async def note(self, value: str) -> None:
        self.notes.append(value)


@pytest.fixture(params=KINDS)
async def peer(request: pytest.FixtureRequest, serve: Serve, hub: Hub) -> AsyncIterator[Peer]:
    """A client of each server that is read from directly."""
    serve(Main)
    Main.notes = []
    async with new_peer(request.param, hub) as peer:
        await peer.connect()
        yield peer


@pytest.fixture
def slim_class(peer: Peer) -> type:
    """The slim class of that server."""
    module = next(module for kind, module in KINDS.items() if type(peer) is PEERS[kind])
    kind: type = module.slim_class()
    return kind


def test_the_installed_versions_are_known() -> None:
    """Where a newer one is not, its connections take two to three times the memory."""
    assert {kind.server: find_unknown(kind.packages) for kind in ADAPTERS} == {
        "daphne": None,
        "uvicorn": None,
    }


# An idle connection


async def test_an_idle_connection_keeps_little_of_the_server(peer: Peer, slim_class: type) -> None:
    """And wakes nothing of it for a ping, a pong or an event."""
    peer.receive(*(frame(opcode, b"x") for opcode in (Opcode.PING, Opcode.PONG)))
    peer.receive(wire('42["note","a"]'))
    await peer.until_sent("\x01x")
    assert type(peer.server) is slim_class
    assert replaced(slim_class).isdisjoint(vars(peer.server))
    assert Main.notes == ["a"]


async def test_it_still_is_what_it_was(peer: Peer, slim_class: type) -> None:
    base = slim_class.__base__
    assert isinstance(peer.server, base)
    named = ("__name__", "__qualname__", "__module__")
    assert [getattr(type(peer.server), each) for each in named] == [
        getattr(base, each) for each in named
    ]
    assert peer.server.transport is peer.transport
    assert repr(peer.server)
    assert peer.server in {peer.server}


# Each part that is made again


def close(peer: Peer) -> None:
    peer.receive(frame(Opcode.CLOSE, b"\x03\xe8"))


def fragments(peer: Peer) -> None:
    peer.receive(frame(Opcode.TEXT, b'42["note",', fin=False), frame(Opcode.CONT, b'"in parts"]'))


def ping_between_fragments(peer: Peer) -> None:
    peer.receive(
        frame(Opcode.TEXT, b'42["note",', fin=False),
        frame(Opcode.PING, b"between"),
        frame(Opcode.CONT, b'"in parts"]'),
    )


def not_utf8(peer: Peer) -> None:
    peer.receive(frame(Opcode.TEXT, b"4\xff"))


def no_frame(peer: Peer) -> None:
    peer.receive(b"\xff" * 20)


def reset(peer: Peer) -> None:
    peer.transport.fail(ConnectionResetError())


def finish(peer: Peer) -> None:
    peer.transport.end()
    peer.transport.deliver()


def stop(peer: Peer) -> None:
    """As a server does when it stops, or finds its application at fault."""
    if hasattr(peer.server, "shutdown"):
        peer.server.shutdown()
    else:
        peer.server.handle_exception(RuntimeError("the test"))
        peer.receive(frame(Opcode.CLOSE, b"\x03\xf3"))


def time_out(peer: Peer) -> None:
    """As daphne does after --websocket_timeout; uvicorn by its own ping."""
    if hasattr(peer.server, "serverClose"):
        peer.server.serverClose()
        peer.receive(frame(Opcode.CLOSE, b"\x03\xe8"))
    else:
        peer.server.keepalive_timeout()


def is_closing(peer: Peer) -> bool:
    """Tell whether the server closes its transport."""
    transport = peer.transport
    return bool(transport.closing if hasattr(transport, "closing") else transport.disconnecting)


def close_frame(code: int) -> bytes:
    return code.to_bytes(2, "big")


ENDS: dict[str, tuple[Callable[[Peer], None], bytes]] = {
    "close": (close, close_frame(1000)),
    "not UTF-8": (not_utf8, close_frame(1007)),
    "no frame": (no_frame, close_frame(1002)),
    "a reset": (reset, b""),
    "an end": (finish, b""),
    "shutdown": (stop, b""),
    "timeout": (time_out, b"\x88"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_end(peer: Peer, slim_class: type, hub: Hub, end: str) -> None:
    act, told = ENDS[end]
    assert type(peer.server) is slim_class
    written = len(peer.transport.written)
    act(peer)
    await peer.until(lambda: "transport close" in Main.notes)
    await peer.until(lambda: peer.transport.lost or is_closing(peer))
    if told and not (peer.transport.lost and hasattr(peer.server, "failByDrop")):  # as daphne does
        await peer.until(lambda: told in peer.transport.written[written:])
    assert not hub.connections


PARTS = {
    "fragments": (fragments, b""),
    "a ping between fragments": (ping_between_fragments, b"\x8a\x07between"),
}


@pytest.mark.parametrize("part", PARTS)
async def test_frames_that_the_server_parses(peer: Peer, slim_class: type, part: str) -> None:
    act, answer = PARTS[part]
    assert type(peer.server) is slim_class
    act(peer)
    await peer.until(lambda: "in parts" in Main.notes)
    assert answer in peer.transport.written
    await peer.until(lambda: peer.transport.reading)
    peer.receive(wire('42["note","after"]'))
    await peer.until(lambda: "after" in Main.notes)
    close(peer)
    await peer.until(lambda: "transport close" in Main.notes)
    assert Main.notes == ["in parts", "after", "transport close"]


async def test_our_own_close(peer: Peer, slim_class: type, hub: Hub) -> None:
    (connection,) = hub.connections.values()
    connection.close("server shutting down")
    await peer.until(lambda: b"\x88" in peer.transport.written)
    close(peer)
    await peer.until(lambda: peer.transport.lost)
    assert Main.notes == ["server shutting down"]


async def test_a_client_that_is_behind_and_reads_again(peer: Peer, hub: Hub) -> None:
    """The server's own flow control is told, which uvicorn keeps in one of its parts."""
    (connection,) = hub.connections.values()
    peer.transport.reads = False
    for socket in connection.sockets.values():
        socket.consumer.emit("news", "x" * 100_000)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert connection.writer.buffered > 64 * 1024
    peer.transport.read_all()
    await connection.drain()
    fragments(peer)
    await peer.until(lambda: "in parts" in Main.notes)


@pytest.mark.parametrize(
    "name",
    sorted(
        (replaced(on_daphne.slim_class()) | replaced(on_uvicorn.slim_class()))
        - {"conn", "http_headers"}
    ),
)
async def test_each_part_is_made_once(peer: Peer, slim_class: type, name: str) -> None:
    if name not in replaced(slim_class):
        assert not isinstance(getattr(slim_class, name, None), cached_property)
        return
    assert name not in vars(peer.server)
    first = getattr(peer.server, name)
    assert getattr(peer.server, name) is first


# Other classes


class Base:
    """A server's class."""

    def __init__(self) -> None:
        self.name, self.queue, self.request = "first", [1], "GET /"


class Slim(Base):
    """Its slim class."""

    request = None  # type: ignore[assignment]

    @cached_property
    def queue(self) -> list[int]:  # type: ignore[override]
        return []


class Sites(Base):
    """A class of a site's own, made from the server's."""


def test_an_object_keeps_what_the_slim_class_does_not_have() -> None:
    thing = Base()
    slim(thing, Slim)
    assert type(thing) is Slim
    assert vars(thing) == {"name": "first"}
    assert (thing.queue, thing.request) == ([], None)


def test_objects_of_other_classes_stay_as_they_are() -> None:
    for thing in (Sites(), Slim()):
        kind, before = type(thing), dict(vars(thing))
        slim(thing, Slim)
        assert (type(thing), vars(thing)) == (kind, before)
