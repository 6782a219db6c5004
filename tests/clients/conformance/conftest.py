"""The servers that the suites ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.wire import Polling, closed, http_client, websocket
from tests.conftest import ServerFactory
from tests.live import LiveServer

# Fast pings as in the suites, but more patience: a machine may stand still for a second. Who never
# connects is closed for that before it could be for its heartbeat.
SUITE = {
    "NAMESPACES": "tests.site.routing.conformance",
    "PING_INTERVAL": 0.3,
    "PING_TIMEOUT": 2.5,
    "CONNECT_TIMEOUT": 2.5,
}


@pytest.fixture
def server(kind: str, shared_server: ServerFactory) -> LiveServer:
    """A server with what the suites ask for: fast pings, and namespaces that send back."""
    return shared_server(kind, **SUITE)


@pytest.fixture
def calm(kind: str, shared_server: ServerFactory) -> LiveServer:
    """The same with times so long that what ends here was ended for another reason."""
    return shared_server(kind, NAMESPACES=SUITE["NAMESPACES"], UPGRADE_TIMEOUT=60)


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(server) as client:
        yield client


@pytest.fixture
async def polling(calm: LiveServer) -> AsyncIterator[Polling]:
    """A long-polling session whose pings are far away."""
    async with http_client(calm) as client:
        yield await Polling.open(client)


async def greeted(polling: Polling) -> None:
    """CONNECT to the main namespace and take what follows."""
    await polling.join_namespace()
    assert await polling.receive() == '42["auth",{}]'


async def fails_to_open(server: LiveServer, path: str) -> None:
    """Assert that a WebSocket handshake is refused, or that nothing but a close follows it."""
    status = None
    try:
        async with websocket(server, path) as connection:
            _, frames = await closed(connection)
            assert frames == []
    except InvalidStatus as refused:
        status = refused.response.status_code
    assert status in (None, 400, 403)
