"""Bodies, frames and attachments beyond their size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.bad_input.conftest import MAX_PAYLOAD, PLACEHOLDER
from tests.clients.wire import Polling, open_socket
from tests.live import LiveServer


async def in_chunks(size: int) -> AsyncIterator[bytes]:
    """Give a body in pieces, so that no header tells its length."""
    yield b"4"
    for _ in range(size // 10_000):
        yield b"x" * 10_000


@pytest.mark.parametrize("size", [MAX_PAYLOAD, 5 * MAX_PAYLOAD])
@pytest.mark.parametrize("make", [lambda size: b"4" + b"x" * size, in_chunks])
async def test_oversize_body(
    http: httpx.AsyncClient, make: Callable[[int], Any], size: int
) -> None:
    polling = await Polling.open(http)
    assert (await polling.post(make(size))).status_code == 413


async def test_body_of_just_the_size(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    head, tail = '42/lab,1["nothing","', '"]'
    text = "x" * (MAX_PAYLOAD - len(head) - len(tail))
    await polling.send(head + text + tail)
    assert await polling.receive() == "43/lab,1[]"


@pytest.mark.parametrize("size", [MAX_PAYLOAD, 20 * MAX_PAYLOAD])
@pytest.mark.parametrize("kind_of_frame", ["text", "binary"])
async def test_oversize_frame(server: LiveServer, size: int, kind_of_frame: str) -> None:
    async with open_socket(server) as (wire, sid):
        frame = "4" + "x" * size
        with suppress(ConnectionClosed):
            await wire.send(frame if kind_of_frame == "text" else frame.encode())
        code, _ = await wire.closed()
        # A server that resets the connection can lose its own close frame.
        assert code in ((1009,) if size == MAX_PAYLOAD else (1009, 1006))
        await server.logged(rf"disconnect .*{sid}")


async def test_attachments_beyond_the_size_of_a_packet(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        with suppress(ConnectionClosed):
            await wire.send(f'4550-/lab,["echo",{PLACEHOLDER}]', *[bytes(MAX_PAYLOAD)] * 50)
        await wire.closed()
        await server.logged(rf"disconnect .*{sid}")
