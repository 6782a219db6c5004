"""What a client may send for ever, although no frame of it reaches the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from tests.clients.bad_input.conftest import MEBIBYTE, grows_little, witnessed
from tests.clients.wire import DeafClient, engine_path, text_frame
from tests.conftest import ServerFactory
from tests.live import LOOP_KINDS, LiveServer

PING = b"\x89\xfd" + bytes(4 + 125)
FRAGMENTS = b"\x01\x80" + bytes(4) + b"\x80\x80" + bytes(4)  # an empty text, in two
BURST = 256 * 1024
SECONDS, MOST = 2.0, 100 * MEBIBYTE


@pytest.fixture(params=LOOP_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn, on each event loop."""
    return str(request.param)


@pytest.fixture
async def server(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it that keeps little for who does not read."""
    async with witnessed(shared_server(kind, OUTBOX_BYTES=MEBIBYTE)) as server:
        yield server


async def pour(client: DeafClient, frames: bytes) -> int:
    """Send the same frames without reading, as long as the server takes them; return how much."""
    burst, sent = frames * max(1, BURST // len(frames)), 0
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            while sent < MOST:
                client.write(burst)
                await client.writer.drain()
                sent += len(burst)
    return sent


async def flood(server: LiveServer, path: str, first: bytes, frames: bytes) -> None:
    async def attack() -> Any:
        client = await DeafClient.open(server, path)
        client.write(first)
        await pour(client, frames)
        client.abort()

    await grows_little(server, attack)


@pytest.mark.parametrize("size", [1000, 900_000])
@pytest.mark.parametrize("path", ["/ws/lab/", engine_path()], ids=["plain", "Socket.IO"])
async def test_messages_after_our_own_close(server: LiveServer, path: str, size: int) -> None:
    """It is closed for its first frame, and sends on."""
    await flood(server, path, text_frame("?"), text_frame("x" * size))


@pytest.mark.parametrize("size", [1000, 900_000])
async def test_messages_to_nobody(server: LiveServer, size: int) -> None:
    """It is closed for the namespace, before there is a connection."""
    await flood(server, "/ws/nowhere/", b"", text_frame("x" * size))


async def test_fragments_after_our_own_close(server: LiveServer) -> None:
    await flood(server, "/ws/lab/", FRAGMENTS + text_frame("?"), FRAGMENTS + text_frame("x" * 500))


@pytest.mark.parametrize("path", ["/ws/lab/", engine_path()], ids=["plain", "Socket.IO"])
async def test_pings_whose_pongs_nobody_reads(server: LiveServer, path: str) -> None:
    await flood(server, path, b"", PING)


@pytest.mark.parametrize(
    "before", [FRAGMENTS, b"\x01\x80" + bytes(4)], ids=["after a message", "within one"]
)
async def test_pings_past_a_fragmented_message(server: LiveServer, before: bytes) -> None:
    await flood(server, engine_path(), before, PING)


async def test_pings_to_nobody(server: LiveServer) -> None:
    await flood(server, "/ws/nowhere/", b"", PING)
