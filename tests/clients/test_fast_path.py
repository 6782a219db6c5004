"""Every supported server has the shape that frames are written straight to, and read from."""

from __future__ import annotations

from tests.clients.test_plain_websocket import connected
from tests.live import LiveServer

WRITERS = {
    "daphne": "DaphneWriter",
    "uvicorn": "UvicornWriter",
    "uvicorn-wsproto": "UvicornWriter",
}

READERS = {
    "daphne": "DaphneReader",
    "uvicorn": "UvicornReader",
    "uvicorn-wsproto": "UvicornReader",  # which passes all on: frames come through ASGI
}


async def test_frames_are_written_straight_to_the_transport(server: LiveServer) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("writer") == [WRITERS[server.kind]]


async def test_frames_are_read_straight_from_the_transport(server: LiveServer) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("reader") == [READERS[server.kind]]
