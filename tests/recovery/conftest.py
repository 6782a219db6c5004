"""Servers with recovery, clients that drop, and who sends to them meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from tests.clients.javascript import Node
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.recovery.travellers import Driver, Travels, driver_at

KINDS = ("daphne", "uvicorn")
RECOVERY = {"SECONDS": 120}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn."""
    return str(request.param)


@pytest.fixture
def server(kind: str, shared_server: ServerFactory) -> LiveServer:
    """A running server with recovery, shared with other tests."""
    return shared_server(kind, RECOVERY=RECOVERY)


@pytest.fixture
async def driver(server: LiveServer) -> AsyncIterator[Driver]:
    """Who sends to others, at the server."""
    async with driver_at(server) as driver:
        yield driver


@pytest.fixture
async def travel(node: Node) -> AsyncIterator[Travels]:
    """A function ``(server, *rooms, way="websocket")`` that returns a new traveller."""
    async with AsyncExitStack() as stack:
        yield Travels(node, stack)


@pytest.fixture
def room() -> str:
    """A room that no other test is in."""
    return f"Room №1 {uuid4().hex}"
