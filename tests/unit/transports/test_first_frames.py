"""How much anybody may send before the first namespace, on each server and transport."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.frames import Opcode

from realtime import NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub
from realtime.webservers.direct import MOST_PASSED
from realtime.webservers.readers import MAX_FIRST

from ..conftest import Serve
from ..peers import ENGINE_PATH, PEERS, Peer, WsprotoPeer, frame, handshake, new_peer, wire
from ..probes import Probe

BIG = 5 * MAX_FIRST
TOO_BIG = struct.pack(">H", 1009)


class Main(NamespaceConsumer):
    """Tells how long a text is."""

    @event
    async def measure(self, text: str) -> int:
        return len(text)


@pytest.fixture(params=PEERS)
async def peer(request: pytest.FixtureRequest, serve: Serve, hub: Hub) -> AsyncIterator[Peer]:
    """A client of each server in turn, with nothing sent yet."""
    serve(Main)
    async with new_peer(request.param, hub) as peer:
        yield peer


async def open_session(peer: Peer) -> None:
    await give(peer, handshake(ENGINE_PATH))
    await peer.until_sent('0{"sid"')


async def refused(peer: Peer, hub: Hub) -> None:
    """Wait until the client is closed for the size of what it sends."""
    await peer.until(lambda: TOO_BIG in peer.transport.written)
    await peer.until(lambda: not hub.connections)


async def give(peer: Peer, *parts: bytes) -> None:
    """Let the server receive bytes, one part after the other, as it reads."""
    for part in parts:
        await peer.until(lambda: peer.transport.reading)
        peer.receive(part)


async def pour(peer: Peer, hub: Hub, first: bytes, rest: bytes) -> int:
    """Send until the server closes, or for long; return how much that was."""
    await give(peer, first)
    sent = len(first)
    while hub.connections and sent < 3 * MOST_PASSED and peer.transport.reading:
        peer.receive(rest)
        sent += len(rest)
    return sent


def begin(size: int) -> bytes:
    """Return the first bytes of a text frame that announces so many."""
    return b"\x81\xff" + struct.pack(">Q", size) + bytes(4) + b"40"


@pytest.mark.parametrize("before", [(), (wire("40/nowhere,"), wire("40/nowhere2,"))])
async def test_nothing_of_a_large_frame_is_kept(
    peer: Peer, hub: Hub, before: tuple[bytes, ...]
) -> None:
    await open_session(peer)
    await give(peer, *before)
    sent = await pour(peer, hub, begin(900_000), bytes(1000))
    # uvicorn with wsproto parses itself.
    assert sent <= (MOST_PASSED + 1000 if isinstance(peer, WsprotoPeer) else 16)
    await refused(peer, hub)


@pytest.mark.parametrize("size", [MAX_FIRST, MAX_FIRST + 1])
async def test_the_largest_frame(peer: Peer, hub: Hub, size: int) -> None:
    await open_session(peer)
    await give(peer, wire("40" + json.dumps({"token": "x" * (size - 15)})))
    if size > MAX_FIRST:
        await refused(peer, hub)
    else:
        await peer.until_sent('40{"sid"')


@pytest.mark.parametrize("part", [1000, MAX_FIRST, MOST_PASSED])
async def test_nothing_of_a_large_message_in_fragments_is_kept(
    peer: Peer, hub: Hub, part: int
) -> None:
    await open_session(peer)
    first, rest = (frame(Opcode.TEXT, b"40", fin=False), frame(Opcode.CONT, b"x" * part, fin=False))
    assert await pour(peer, hub, first, rest) <= MOST_PASSED + len(rest)
    await refused(peer, hub)


async def test_a_token_in_one_piece_and_in_fragments(peer: Peer, hub: Hub) -> None:
    await open_session(peer)
    token = "40" + json.dumps({"token": "x" * (MAX_FIRST - 20)})
    await give(peer, wire(token))
    await peer.until_sent('40{"sid"')
    peer.transport.written = b""
    await give(peer, wire("41"), frame(Opcode.TEXT, token[:9].encode(), fin=False))
    await give(peer, frame(Opcode.CONT, token[9:].encode()))
    await peer.until_sent('40{"sid"')


@pytest.mark.parametrize("at_once", [True, False])
async def test_after_connect_a_frame_may_be_large(peer: Peer, hub: Hub, at_once: bool) -> None:
    await open_session(peer)
    large = wire(f'421["measure","{"x" * BIG}"]')
    if at_once:
        await give(peer, wire("40"), large)
    else:
        await give(peer, wire("40"))
        await peer.until_sent('40{"sid"')
        for start in range(0, len(large), 10_000):
            await give(peer, large[start : start + 10_000])
    await peer.until_sent(f"431[{BIG}]")


async def test_after_connect_fragments_may_be_large(peer: Peer, hub: Hub) -> None:
    await peer.connect()
    large = f'421["measure","{"x" * BIG}"]'.encode()
    await give(peer, frame(Opcode.TEXT, large[:9], fin=False))
    await give(peer, frame(Opcode.CONT, large[9:]))
    await peer.until_sent(f"431[{BIG}]")
    for number in range(2, 5):
        await give(peer, wire(f'42{number}["measure","{"x" * BIG}"]'))
        await peer.until_sent(f"43{number}[{BIG}]")


async def test_a_plain_websocket_has_its_namespace_from_the_start(peer: Peer, hub: Hub) -> None:
    await peer.connect_plain()
    await give(peer, wire(json.dumps({"event": "measure", "args": ["x" * BIG], "id": 1})))
    await peer.until_sent(f'"args":[{BIG}]')


@pytest.mark.parametrize("kind", PEERS)
async def test_a_site_whose_frames_are_smaller_anyway(kind: str, serve: Serve) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    serve(Main, MAX_PAYLOAD=2000)
    peer = PEERS[kind](Realtime(nothing))
    await peer.connect()
    for number in range(100 + MOST_PASSED // 2000):
        await give(peer, wire(f'42{number}["measure","{"x" * 1900}"]'))
        await peer.until_sent(f"43{number}[1900]")
    await give(peer, wire("3" * 2001))
    await refused(peer, ensure_hub())
    peer.transport.fail(ConnectionResetError())


@pytest.mark.parametrize("joined", [False, True])
async def test_what_a_session_may_post(
    serve: Serve, hub: Hub, new_wire: Any, joined: bool, probe: Probe
) -> None:
    serve(Main)
    wire = new_wire()
    assert wire.session.frame_limit == MAX_FIRST
    if joined:
        await wire.connect()
        assert wire.session.frame_limit == hub.settings.MAX_PAYLOAD
        wire.feed("41")
        assert wire.session.frame_limit == hub.settings.MAX_PAYLOAD
