"""How frames leave on a WebSocket, with servers that do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from channels.sessions import InstanceSessionWrapper

from realtime.hub import Hub
from realtime.transports import writers
from realtime.transports.frames import Frames
from realtime.transports.writers import (
    GOING_AWAY,
    HIGH_WATER,
    AsgiWriter,
    DaphneWriter,
    UvicornWriter,
    choose_writer,
)

from .probes import DEADLINE


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
    writer = choose_writer(server.send, hub.spawn)
    assert isinstance(writer, AsgiWriter)
    writer.write(Frames("one", b"two", b""))
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
    writer.write(Frames("x" * HIGH_WATER, "y" * HIGH_WATER))
    await asyncio.sleep(0)
    writer.abort()
    server.gate.set()
    await asyncio.wait_for(writer.drain(), DEADLINE)
    await writer.closed()
    assert server.sent == []


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
async def uvicorn(monkeypatch: pytest.MonkeyPatch) -> WSProtocol:
    monkeypatch.setattr(WSProtocol, "__module__", "uvicorn.protocols.websockets.wsproto_impl")
    return WSProtocol()


async def test_frames_of_one_turn_leave_in_one_write(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = choose_writer(uvicorn.send, hub.spawn)
    assert isinstance(writer, UvicornWriter)
    writer.write(Frames("a"))
    writer.write(Frames("b", b""))
    assert writer.buffered == 3 + 3 + 2
    await asyncio.sleep(0)
    assert uvicorn.transport.written == [b"\x81\x01a\x81\x01b\x82\x00"]
    uvicorn.transport.unread = 7
    assert writer.buffered == 7


async def test_a_close_leaves_after_what_was_written(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = UvicornWriter(uvicorn.send, hub.spawn)
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
    monkeypatch.setattr(writers, "CLOSE_TIMEOUT", 0.01)
    if not sends:
        uvicorn.gate.clear()
    UvicornWriter(uvicorn.send, hub.spawn).close(GOING_AWAY, "bye")
    await until(lambda: uvicorn.transport.aborted)
    assert len(uvicorn.sent) == sends


async def test_nothing_is_written_to_a_transport_that_closes(hub: Hub, uvicorn: WSProtocol) -> None:
    writer = UvicornWriter(uvicorn.send, hub.spawn)
    writer.write(Frames("late"))
    uvicorn.transport.closing = True
    await asyncio.sleep(0)
    assert uvicorn.transport.written == []
    assert writer.buffered == 0


# Which one


def protocol_of(module: str, **attributes: Any) -> Any:
    """Return an object of a class of that module, as a server's protocol."""
    return type("WebSocketProtocol", (), {"__module__": module, **attributes})()


async def test_a_changed_server_is_served_through_asgi(hub: Hub, uvicorn: WSProtocol) -> None:
    del uvicorn.transport
    assert isinstance(choose_writer(uvicorn.send, hub.spawn), AsgiWriter)
    for protocol in (
        protocol_of("daphne.ws_protocol"),
        protocol_of("daphne.ws_protocol", transport=Transport()),
        protocol_of("somebody.elses", transport=Transport()),
    ):
        send = partial(Server.send, protocol)
        assert not DaphneWriter.fits(send)
        assert isinstance(choose_writer(send, hub.spawn), AsgiWriter)
    assert not DaphneWriter.fits(partial(Server.send))


async def test_a_server_is_found_behind_session_middleware(hub: Hub, uvicorn: WSProtocol) -> None:
    scope = {"type": "websocket", "cookies": {}}
    wrapper = InstanceSessionWrapper(scope, uvicorn.send)
    assert isinstance(choose_writer(wrapper.send, hub.spawn), UvicornWriter)
