"""Answers of an error, as the strictest of clients needs them."""

from __future__ import annotations

import asyncio

import pytest

from tests.clients.wire import DEADLINE, PATH
from tests.live import INDIRECT_KINDS, LOOP_KINDS, LiveServer
from tests.ports import HOST

REQUEST = f"GET {PATH}?EIO=4&transport=none HTTP/1.1\r\nHost: {HOST}\r\n\r\n"


@pytest.mark.parametrize("kind", [*LOOP_KINDS, *INDIRECT_KINDS], indirect=True)
async def test_a_refusal_comes_in_one_piece(server: LiveServer) -> None:
    """python-socketio's client gives up coming back where an error's body is not there yet."""
    for _ in range(30):
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(REQUEST.encode())
        first = await asyncio.wait_for(reader.read(65_536), DEADLINE)
        writer.close()
        assert first.startswith(b"HTTP/1.1 400")
        assert first.endswith(b'{"code":0,"message":"Transport unknown"}')
