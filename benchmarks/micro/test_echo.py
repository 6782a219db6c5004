"""What an acknowledged event costs from its bytes to its answer's, on uvicorn without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from benchmarks.peers.realtime.asgi import application
from realtime.webservers.frame_parser import FrameSplitter

HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EVENTS = 100
DEADLINE = 10.0


def wire(text: str) -> bytes:
    """Return a client's text frame."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=True)


PAYLOAD = b"x" * 100
ECHOES = [wire(f"42{number}" + json.dumps(["echo", PAYLOAD.decode()])) for number in range(EVENTS)]


class SilentTransport(asyncio.Transport):
    """An asyncio transport that sends nothing, and keeps what it would have sent."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.written: list[bytes] = []

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def write(self, data: Any) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


async def connect(transport: SilentTransport) -> None:
    """Let a client become a WebSocket, and connect to the namespace "/"."""
    for data, answer in ((HANDSHAKE, b'0{"sid"'), (wire("40"), b'40{"sid"')):
        transport.protocol.data_received(data)
        async with asyncio.timeout(DEADLINE):
            while not any(answer in each for each in transport.written):
                await asyncio.sleep(0)


def end(loop: asyncio.AbstractEventLoop) -> None:
    """End an event loop, and what still runs on it."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()


class Server:
    """An event loop with one client of the site that all benchmarks use."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        config = Config(application, lifespan="off", ws_ping_interval=None, log_level="critical")
        config.load()
        protocol = WebSocketsSansIOProtocol(config, ServerState(), {}, self.loop)
        self.transport = SilentTransport(protocol)
        protocol.connection_made(self.transport)
        self.loop.run_until_complete(connect(self.transport))

    async def echo(self) -> None:
        """Let the server answer all events, each received on its own, and send its answers."""
        self.transport.written.clear()
        for data in ECHOES:
            self.transport.protocol.data_received(data)
            await asyncio.sleep(0)
        answers = 0
        async with asyncio.timeout(DEADLINE):
            while answers < EVENTS:
                await asyncio.sleep(0)
                answers = b"".join(self.transport.written).count(PAYLOAD)
        assert answers == EVENTS

    def close(self) -> None:
        """Let the client go."""
        self.transport.protocol.connection_lost(None)
        end(self.loop)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with a client that is connected."""
    server = Server()
    yield server
    server.close()


def test_echo(benchmark: BenchmarkFixture, server: Server) -> None:
    benchmark(lambda: server.loop.run_until_complete(server.echo()))


def test_split_frames(benchmark: BenchmarkFixture) -> None:
    splitter = FrameSplitter(1_000_000)

    def split() -> None:
        for data in ECHOES:
            splitter.add(data)
            assert splitter.next()

    benchmark(split)
