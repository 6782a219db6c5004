"""The servers of these tests, each with a witness on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from tests.clients.wire import Wire, http_client, open_socket
from tests.conftest import ServerFactory
from tests.live import LiveServer

MEBIBYTE = 1024 * 1024
MAX_PAYLOAD = 1_000_000
MAX_FIRST = 65_536
FRIEND = "https://friend.example"
FOREIGN = "https://foreign.example"
PLACEHOLDER = '{"_placeholder":true,"num":0}'

# How long the witness may wait for an answer while the server is busy with somebody else.
PATIENCE = 5.0


def fill(head: str, unit: str, tail: str, size: int = MAX_PAYLOAD) -> str:
    """Return a payload of that many characters, or a few less."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


@asynccontextmanager
async def witnessed(server: LiveServer) -> AsyncIterator[LiveServer]:
    """Keep a client echoing on a server; at the end, assert that it missed nothing."""
    since = len(server.log)
    done = asyncio.Event()

    async def echo(wire: Wire) -> int:
        number = 0
        while not done.is_set():
            async with asyncio.timeout(PATIENCE):
                assert await wire.call("/lab", "echo", number) == number
            number += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.05)
        return number

    async with open_socket(server) as (wire, _):
        echoing = asyncio.create_task(echo(wire))
        try:
            yield server
        finally:
            done.set()
            assert await echoing > 0
    assert "Traceback" not in server.log[since:]


async def grows_little(
    server: LiveServer, work: Callable[[], Awaitable[Any]], most: int = 24 * MEBIBYTE
) -> None:
    """Assert that the server's memory stays within bounds while something happens."""
    before = highest = server.rss()
    task = asyncio.ensure_future(work())
    while not task.done():
        await asyncio.wait([task], timeout=0.05)
        highest = max(highest, server.rss())
    await task
    assert highest - before < most, f"grew by {(highest - before) / MEBIBYTE:.1f} MiB"


@pytest.fixture
async def server(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, small limits and one foreign site that it lets in."""
    limits = {"CORS_ORIGINS": [FRIEND], "OUTBOX_BYTES": MEBIBYTE, "INBOX_EVENTS": 10_000}
    async with witnessed(shared_server(kind, **limits)) as server:
        yield server


@pytest.fixture
async def hasty(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, and little patience, but enough for those who do answer."""
    times = {"PING_INTERVAL": 0.5, "PING_TIMEOUT": 2, "CONNECT_TIMEOUT": 2.5}
    async with witnessed(shared_server(kind, **times)) as server:
        yield server


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(server) as client:
        yield client
