"""Sites that serve only one of the transports, and clients that want only one."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.wire import PATH, Polling, engine_path, engine_query, http_client, open_wire
from tests.clients.wire import websocket as open_websocket
from tests.conftest import ServerFactory
from tests.live import LiveServer

UNKNOWN = {"code": 0, "message": "Transport unknown"}


@pytest.fixture
def no_websocket(kind: str, shared_server: ServerFactory) -> LiveServer:
    return shared_server(kind, TRANSPORTS=["polling"])


@pytest.fixture
def no_polling(kind: str, shared_server: ServerFactory) -> LiveServer:
    return shared_server(kind, TRANSPORTS=["websocket"])


async def refused(server: LiveServer, path: str) -> bytes:
    """Assert that a WebSocket is refused; return the answer's body, which daphne has none of."""
    with pytest.raises(InvalidStatus) as error:
        async with open_websocket(server, path):
            pass
    response = error.value.response
    assert response.status_code == (403 if server.kind == "daphne" else 400)
    return bytes(response.body or b"")


async def test_only_polling(no_websocket: LiveServer) -> None:
    async with http_client(no_websocket) as http:
        polling = await Polling.open(http)
        assert polling.handshake["upgrades"] == []
        await polling.join_namespace("/lab")
        for path in (engine_path(), engine_path(sid=polling.sid)):
            answer = await refused(no_websocket, path)
            assert no_websocket.kind == "daphne" or json.loads(answer) == UNKNOWN
        await polling.send('42/lab,1["echo","still here"]')
        assert await polling.receive() == '43/lab,1["still here"]'
    async with open_websocket(no_websocket, "/ws/lab/") as plain:
        assert await plain.recv(), "plain WebSockets are no transport of Socket.IO"


async def test_only_websocket(no_polling: LiveServer) -> None:
    async with http_client(no_polling) as http:
        response = await http.get(PATH, params=engine_query())
        assert (response.status_code, response.json()) == (400, UNKNOWN)
    async with open_wire(no_polling) as wire:
        assert wire.handshake["upgrades"] == []
        await wire.join_namespace("/lab")
        assert await wire.call("/lab", "echo", "hello") == "hello"
