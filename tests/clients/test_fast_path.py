"""Every supported server has the shape that frames are written straight to, and read from."""

from __future__ import annotations

import pytest

from tests.clients.test_plain_websocket import connected
from tests.live import INDIRECT_KINDS, KINDS, LiveServer

ADAPTERS = {
    "daphne": "DaphneAdapter",
    "uvicorn": "UvicornAdapter",
    "uvicorn-wsproto": "WsprotoAdapter",
}

READERS = {
    "daphne": "DaphneReader",
    "uvicorn": "UvicornReader",
    "uvicorn-wsproto": "UvicornReader",  # which passes all on: frames come through ASGI
}


@pytest.mark.parametrize("kind", [*KINDS, *INDIRECT_KINDS], indirect=True)
async def test_frames_are_written_straight_to_the_transport(server: LiveServer, kind: str) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("writer") == [ADAPTERS.get(kind, "AsgiWriter")]


@pytest.mark.parametrize("kind", KINDS, indirect=True)
async def test_frames_are_read_straight_from_the_transport(server: LiveServer, kind: str) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("reader") == [READERS[kind]]
