"""The HTTP views, beside connected clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.clients.wire import Polling, Wire, http_client, open_socket
from tests.conftest import ServerFactory
from tests.live import LiveServer


@pytest.fixture
def own_server(kind: str, new_server: ServerFactory) -> LiveServer:
    """A server where nobody else is counted."""
    return new_server(kind)


def count(server: LiveServer, query: str = "") -> Any:
    """Return what the count view says."""
    response = server.get(f"/clients-count{query}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"count"}
    return response.json()["count"]


async def test_clients_count(own_server: LiveServer) -> None:
    server = own_server
    assert count(server) == 0
    async with open_socket(server, "/") as (first, _), open_socket(server, "/lab"):
        assert count(server) == 2
        await first.receive()
        await first.join_namespace("/users")
        assert count(server) == 2
        assert count(server, "?namespace=/users") == 1
        assert count(server, "?namespace=/") == 1
        assert count(server, "?namespace=/lab") == 1
        assert count(server, "?namespace=/orders") == 0
        assert count(server, "?room=Room%20%E2%84%961") == 1
        assert count(server, "?room=Room%20№1") == 1
        assert count(server, "?room=nobody") == 0
        assert count(server, "?namespace=/lab&room=Room%20№1") == 0
    await server.logged('disconnect namespace=/lab .*reason="transport close"')
    await server.logged('disconnect namespace=/ .*reason="transport close"')
    await server.logged('disconnect namespace=/users .*reason="transport close"')
    assert count(server) == 0
    assert count(server, "?namespace=/users") == 0


async def private_message(wire: Wire) -> list[Any]:
    """Return the event that comes after the greeting."""
    assert await wire.receive() == '42["message","I\'m server"]'
    frame = str(await wire.receive())
    assert frame.startswith("42")
    return list(json.loads(frame[2:]))


async def test_default_message_to_a_client(server: LiveServer) -> None:
    async with open_socket(server, "/") as (wire, sid), open_socket(server, "/") as (other, _):
        response = server.post(f"/client/{sid}")
        assert response.status_code == 200
        assert response.json() == {"message": f"Message was sent to client with id {sid}"}
        assert await private_message(wire) == [
            "private message",
            f"Message to client with id {sid}",
        ]
        await other.receive()
        assert await other.call("/", "echo", "nothing came") == "nothing came"


async def test_chosen_message_to_a_client(server: LiveServer) -> None:
    async with open_socket(server, "/") as (wire, sid):
        body = {"event": "news", "args": ["№1", {"n": [1]}], "namespace": "/"}
        assert server.post(f"/client/{sid}", json=body).status_code == 200
        assert await private_message(wire) == ["news", "№1", {"n": [1]}]


async def test_message_to_a_polling_client(server: LiveServer) -> None:
    async with http_client(server) as http:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/orders")
        body = {"event": "news", "namespace": "/orders"}
        assert server.post(f"/client/{sid}", json=body).status_code == 200
        assert await polling.receive() == '42/orders,["news"]'


async def test_message_to_another_namespace(server: LiveServer) -> None:
    async with open_socket(server, "/lab") as (wire, sid):
        body = {"event": "news", "args": [1], "namespace": "/lab"}
        assert server.post(f"/client/{sid}", json=body).status_code == 200
        assert await wire.receive() == '42/lab,["news",1]'


@pytest.mark.parametrize(
    ("path", "body"),
    [("/client/unknown", None), ("/client/unknown", {"event": "x", "args": []})],
)
def test_unknown_client(server: LiveServer, path: str, body: Any) -> None:
    response = server.post(path, **({} if body is None else {"json": body}))
    assert response.status_code == 404
    assert response.json() == {"message": "Client not found"}


async def test_client_that_is_gone(server: LiveServer) -> None:
    async with open_socket(server, "/") as (_, sid):
        pass
    await server.logged(rf"disconnect .*{sid}")
    response = server.post(f"/client/{sid}")
    assert (response.status_code, response.json()) == (404, {"message": "Client not found"})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"text"',
        b'{"event": 1}',
        b'{"event": "x", "args": "not a list"}',
        b'{"event": "x", "namespace": 1}',
        b'{"event": "x", "unknown": 1}',
        b'{"event": "connect"}',
        b'{"args": ["no event", ' + b"[" * 5000 + b"]" * 5000 + b"]}",
    ],
)
async def test_bad_body_says_what_is_wrong(server: LiveServer, body: bytes) -> None:
    since = len(server.log)
    async with open_socket(server, "/") as (wire, sid):
        headers = {"content-type": "application/json"}
        response = server.post(f"/client/{sid}", content=body, headers=headers)
        assert response.status_code == 400
        assert response.json()["message"]
        await wire.receive()
        assert await wire.call("/", "echo", "nothing came") == "nothing came"
    assert "Traceback" not in server.log[since:]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/clients-count"), ("GET", "/client/x"), ("PUT", "/client/x")]
)
def test_wrong_method(server: LiveServer, method: str, path: str) -> None:
    assert server.request(method, path).status_code == 405


async def test_django_serves_the_rest(server: LiveServer) -> None:
    async with http_client(server) as http:
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/nowhere")).status_code == 404
        assert (await http.get("/socket.iox/")).status_code == 404


async def test_health_needs_no_thread(own_server: LiveServer) -> None:
    """Every thread of the event loop's own pool is busy."""
    server = own_server
    async with (
        open_socket(server) as (wire, _),
        open_socket(server) as (other, _),
        http_client(server) as http,
    ):
        await wire.call("/lab", "fill the threads", "pool")
        await wire.send('42/lab,["work in the pool"]')
        for path in ("/health/ready", "/health/live"):
            assert (await http.get(path)).status_code == 200
        working = asyncio.create_task(wire.receive())
        assert await other.call("/lab", "echo", "still") == "still"
        assert not working.done()
        await other.send('42/lab,["open gate","pool"]')
        assert await working == '42/lab,["worked"]'
