"""How frames leave on a WebSocket, with servers that do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime.hub.hub import Hub
from realtime.protocol.frames import Frames
from realtime.webservers import uvicorn as on_uvicorn
from realtime.webservers.daphne import DaphneAdapter
from realtime.webservers.uvicorn import WsprotoAdapter
from realtime.webservers.writers import GOING_AWAY, HIGH_WATER, AsgiWriter, TransportWriter

from ..probes import DEADLINE


class Server:
    """An unknown server: it keeps what it is sent, and takes a message when its gate is open."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def send(self, message: dict[str, Any]) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(message)


@pytest.fixture
async def server() -> Server:
    return Server()


async def until(check: Callable[[], object]) -> None:
    """Let the loop go on until something is true."""
    async with asyncio.timeout(DEADLINE):
        while not check():
            await asyncio.sleep(0)


# Through ASGI


async def test_frames_leave_in_order(hub: Hub, server: Server) -> None:
    writer = AsgiWriter(server.send, hub.spawn)
    writer.write(Frames("one", (b"two", b"")))
    writer.write(Frames("three"))
    assert writer.buffered == len("onetwothree")
    await writer.drain()
    writer.close(GOING_AWAY, "bye")
    writer.write(Frames("too late"))
    await writer.closed()
    assert server.sent == [
        {"type": "websocket.send", "text": "one"},
        {"type": "websocket.send", "bytes": b"two"},
        {"type": "websocket.send", "bytes": b""},
        {"type": "websocket.send", "text": "three"},
        {"type": "websocket.close", "code": 1000, "reason": "bye"},
    ]
    assert writer.buffered == 0


async def test_a_code_of_ours_is_sent_as_it_is(hub: Hub, server: Server) -> None:
    writer = AsgiWriter(server.send, hub.spawn)
    writer.close(4403, "no")
    await writer.closed()
    assert server.sent == [{"type": "websocket.close", "code": 4403, "reason": "no"}]


async def test_what_a_slow_client_has_not_read_is_counted(hub: Hub, server: Server) -> None:
    server.gate.clear()
    writer = AsgiWriter(server.send, hub.spawn)
    for _ in range(3):
        writer.write(Frames("x" * HIGH_WATER))
    drained = hub.spawn(writer.drain())
    await asyncio.sleep(0)
    assert writer.buffered == 3 * HIGH_WATER
    assert not drained.done()
    server.gate.set()
    await asyncio.wait_for(drained, DEADLINE)
    assert writer.buffered <= HIGH_WATER


async def test_nothing_waits_for_a_client_that_is_gone(hub: Hub, server: Server) -> None:
    server.error = OSError("the client is gone")
    writer = AsgiWriter(server.send, hub.spawn)
    for _ in range(3):
        writer.write(Frames("x" * HIGH_WATER))
    await asyncio.wait_for(writer.drain(), DEADLINE)
    writer.write(Frames("to nobody"))
    assert writer.buffered == 0


async def test_abort_forgets_what_waits(hub: Hub, server: Server) -> None:
    server.gate.clear()
    writer = AsgiWriter(server.send, hub.spawn)
    writer.write(Frames("x" * HIGH_WATER, ("y" * HIGH_WATER,)))
    await asyncio.sleep(0)
    writer.abort()
    server.gate.set()
    await asyncio.wait_for(writer.drain(), DEADLINE)
    await writer.closed()
    assert server.sent == []


async def sent() -> None:
    """Let what was written leave: the loop looks at its sockets once before."""
    for _ in range(2):
        await asyncio.sleep(0)


# uvicorn


class Transport:
    """An asyncio transport that keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unread = 0
        self.closing = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = self.closing = True


class WSProtocol(Server):
    """What uvicorn's protocol of that name looks like to a writer."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = Transport()


@pytest.fixture
async def uvicorn() -> WSProtocol:
    return WSProtocol()


def uvicorn_writer(hub: Hub, protocol: WSProtocol) -> TransportWriter:
    return TransportWriter(WsprotoAdapter(protocol, hub.spawn))


async def test_frames_of_one_turn_leave_in_one_write(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = uvicorn_writer(hub, uvicorn)
    writer.write(Frames("a"))
    writer.write(Frames("b", (b"",)))
    assert writer.buffered == 3 + 3 + 2
    await sent()
    assert uvicorn.transport.written == [b"\x81\x01a\x81\x01b\x82\x00"]
    uvicorn.transport.unread = 7
    assert writer.buffered == 7


async def test_a_close_leaves_after_what_was_written(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = uvicorn_writer(hub, uvicorn)
    writer.write(Frames("last"))
    writer.close(GOING_AWAY, "bye")
    assert uvicorn.transport.written == [b"\x81\x04last"]
    writer.close(GOING_AWAY, "again")
    await writer.closed()
    assert uvicorn.sent == [{"type": "websocket.close", "code": GOING_AWAY, "reason": "bye"}]
    assert not uvicorn.transport.aborted


@pytest.mark.parametrize("sends", [True, False], ids=["after the frame", "before the frame"])
async def test_a_client_that_does_not_answer_the_close_is_cut(
    hub: Hub, uvicorn: WSProtocol, monkeypatch: pytest.MonkeyPatch, sends: bool
) -> None:
    monkeypatch.setattr(on_uvicorn, "CLOSE_TIMEOUT", 0.01)
    if not sends:
        uvicorn.gate.clear()
    uvicorn_writer(hub, uvicorn).close(GOING_AWAY, "bye")
    await until(lambda: uvicorn.transport.aborted)
    assert len(uvicorn.sent) == sends


async def test_nothing_is_written_to_a_transport_that_closes(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = uvicorn_writer(hub, uvicorn)
    writer.write(Frames("late"))
    uvicorn.transport.closing = True
    await sent()
    assert uvicorn.transport.written == []
    assert writer.buffered == 0


async def test_messages_of_a_turn_leave_in_one_write_each(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = uvicorn_writer(hub, uvicorn)
    for turn in ("a", "b"):
        writer.write(Frames(turn))
        writer.write(Frames(turn))
        await sent()
    assert uvicorn.transport.written == [b"\x81\x01a" * 2, b"\x81\x01b" * 2]


async def test_an_abort_forgets_what_was_written_last(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = uvicorn_writer(hub, uvicorn)
    writer.write(Frames("last"))
    writer.abort()
    assert writer.buffered == 0
    await sent()
    assert uvicorn.transport.written == []


async def test_a_transport_that_fails_keeps_no_other_from_sending(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = WSProtocol(), WSProtocol()
    monkeypatch.delattr(broken.transport, "written")
    reported: list[dict[str, Any]] = []
    hub.loop.set_exception_handler(lambda _, context: reported.append(context))
    for protocol in (broken, sound):
        uvicorn_writer(hub, protocol).write(Frames("a"))
    await sent()
    assert sound.transport.written == [b"\x81\x01a"]
    assert isinstance(reported[0]["exception"], AttributeError)


# daphne


class TwistedTransport:
    """A Twisted transport whose socket takes at most `room` bytes, or fails."""

    def __init__(self) -> None:
        self.dataBuffer = b""
        self.offset = self._tempDataLen = 0
        self.connected, self.disconnecting = 1, False
        self.sent = b""
        self.room = 1_000_000
        self.error: Exception | None = None
        self.aborted = False

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.error is not None:
            return self.error
        size = min(len(data), self.room)
        self.sent += data[:size]
        return size

    def write(self, data: bytes) -> None:
        self._tempDataLen += len(data)
        self.dataBuffer += data

    def abortConnection(self) -> None:
        self.aborted = True

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


class DaphneProtocol:
    """What daphne's protocol looks like to a writer."""

    STATE_OPEN = state = 3

    def __init__(self) -> None:
        self.transport = TwistedTransport()
        self.closed_with: list[tuple[int, bytes, bytes]] = []

    def sendCloseFrame(self, code: int, reasonUtf8: bytes) -> None:  # noqa: N803
        self.closed_with.append((code, reasonUtf8, self.transport.sent))


@pytest.fixture
async def daphne() -> DaphneProtocol:
    return DaphneProtocol()


def daphne_writer(hub: Hub, protocol: DaphneProtocol) -> TransportWriter:
    return TransportWriter(DaphneAdapter(protocol, hub.spawn))


async def test_daphne_sends_at_the_end_of_a_turn(hub: Hub, daphne: DaphneProtocol) -> None:
    writer = daphne_writer(hub, daphne)
    writer.write(Frames("a"))
    writer.write(Frames(b""))
    assert writer.buffered == 3 + 2
    await sent()
    assert daphne.transport.sent == b"\x81\x01a\x82\x00"
    assert daphne.transport.dataBuffer == b""
    assert writer.buffered == 0


async def test_twisted_gets_what_the_socket_does_not_take(hub: Hub, daphne: DaphneProtocol) -> None:
    writer = daphne_writer(hub, daphne)
    daphne.transport.room = 2
    writer.write(Frames("abc"))
    await sent()
    writer.write(Frames("d"))
    await sent()
    assert daphne.transport.sent == b"\x81\x03"
    assert daphne.transport.dataBuffer == b"abc\x81\x01d"


async def test_twisted_finds_a_broken_socket_itself(hub: Hub, daphne: DaphneProtocol) -> None:
    writer = daphne_writer(hub, daphne)
    daphne.transport.error = ConnectionError()
    writer.write(Frames("a"))
    await sent()
    assert daphne.transport.dataBuffer == b"\x81\x01a"


async def test_daphne_sends_nothing_after_the_end(hub: Hub, daphne: DaphneProtocol) -> None:
    writer = daphne_writer(hub, daphne)
    writer.write(Frames("a"))
    daphne.state = 0
    await sent()
    writer.write(Frames("b"))
    writer.abort()
    assert writer.buffered == 0
    await sent()
    assert daphne.transport.sent == daphne.transport.dataBuffer == b""
    assert daphne.transport.aborted


async def test_daphne_closes_after_what_was_written(hub: Hub, daphne: DaphneProtocol) -> None:
    writer = daphne_writer(hub, daphne)
    writer.write(Frames("a"))
    writer.close(GOING_AWAY, "bye")
    assert daphne.closed_with == [(GOING_AWAY, b"bye", b"\x81\x01a")]
