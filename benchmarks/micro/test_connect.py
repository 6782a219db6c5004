"""What clients cost who connect and leave, on uvicorn without a socket, the handshake included."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from uvicorn.config import Config
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from benchmarks.peers.realtime.asgi import application

from .test_echo import DEADLINE, SilentTransport, connect, end

CLIENTS = 16
CLOSE = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)


class EndingTransport(SilentTransport):
    """One that can be closed, as a socket's."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


async def _visit(config: Config, state: ServerState) -> None:
    transport = EndingTransport(AutoHTTPProtocol(config, state, {}))
    transport.protocol.connection_made(transport)
    await connect(transport)
    transport.protocol.data_received(CLOSE)
    while not transport.closed:
        await asyncio.sleep(0)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop, and what runs on it when the benchmark is over."""
    loop = asyncio.new_event_loop()
    yield loop
    end(loop)


def test_connect(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    config = Config(
        application,
        lifespan="off",
        ws="websockets-sansio",
        ws_ping_interval=None,
        log_level="critical",
    )
    config.load()
    state = ServerState()

    async def connect_all() -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(_visit(config, state) for _ in range(CLIENTS)))

    benchmark(lambda: loop.run_until_complete(connect_all()))
