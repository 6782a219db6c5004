"""Every supported server has the shape that frames are written straight to."""

from __future__ import annotations

from tests.clients.test_plain_websocket import connected
from tests.live import LiveServer

WRITERS = {
    "daphne": "DaphneWriter",
    "uvicorn": "UvicornWriter",
    "uvicorn-wsproto": "UvicornWriter",
}


async def test_frames_are_written_straight_to_the_transport(server: LiveServer) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("writer") == [WRITERS[server.kind]]
