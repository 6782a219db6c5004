"""Clients that send an event again: the official ones, by their own means, and plain WebSockets."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from tests.clients.javascript import OPTIONS, Node, NodeSocket
from tests.clients.python import connected
from tests.clients.wire import DEADLINE, eventually
from tests.clients.wire import websocket as open_websocket
from tests.live import LiveServer

BINARY = b"\x00\xff"
WAYS = ("websocket", "polling", "upgrade")

# The official client sends an event again that is not acknowledged in time, and after a reconnect.
RETRIES = {"retries": 50, "ackTimeout": 200}
PATIENT = {"retries": 3, "ackTimeout": DEADLINE * 1000}


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return uuid.uuid4().hex


def visit(server: LiveServer) -> dict[str, str]:
    """Return the headers of a client with a session."""
    return {"Cookie": f"sessionid={server.get('/visit/').cookies['sessionid']}"}


async def shop(node: Node, server: LiveServer, way: str, options: Any, **more: Any) -> NodeSocket:
    """Return a socket of the official client in "/shop"."""
    extra = {**OPTIONS[way], "reconnectionDelay": 10, **more}
    node.do("open", manager="shop", url=server.url, options=extra)
    return await node.socket("shop", "/shop", options=options)


def send(socket: NodeSocket, *args: Any) -> int:
    """Send an event, as often as the client likes; return what `finish` takes."""
    number = socket.node.new_id()
    socket.do("retry", args=args, id=number)
    return number


async def counts(server: LiveServer, key: str) -> tuple[int, int]:
    """Return how often an event with a key came, and how often it was handled."""
    async with connected(server, "websocket", "/shop") as client:
        tried, ran = await client.call("counts", key, namespace="/shop")
        return tried, ran


async def open_gate(server: LiveServer, key: str) -> None:
    """Let a slow payment end."""
    async with connected(server, "websocket", "/shop") as client:
        await client.call("open", key, namespace="/shop")


@pytest.mark.parametrize("way", WAYS)
async def test_the_javascript_client_sends_again(
    server: LiveServer, node: Node, key: str, way: str
) -> None:
    """Its first tries are not answered in time; all of them, and it, get one answer."""
    socket = await shop(node, server, way, RETRIES)
    number = send(socket, "pay slowly", key)

    async def came_again() -> bool:
        return (await counts(server, key))[0] > 2

    await eventually(came_again)
    await open_gate(server, key)
    assert await socket.finish(number) == ([f"{key} is paid"], None)
    assert (await counts(server, key))[1] == 1


@pytest.mark.parametrize("way", WAYS)
async def test_the_javascript_client_sends_again_after_a_drop(
    server: LiveServer, node: Node, key: str, way: str
) -> None:
    headers = visit(server)
    socket = await shop(node, server, way, PATIENT, extraHeaders=headers)
    number = send(socket, "pay slowly", key)

    async def runs() -> bool:
        return (await counts(server, key))[1] == 1

    await eventually(runs)
    node.do("drop", manager="shop")
    await socket.happened("disconnect")
    await socket.happened("connect")

    async def came_again() -> bool:
        return (await counts(server, key))[0] == 2

    await eventually(came_again)
    await open_gate(server, key)
    assert await socket.finish(number) == ([f"{key} is paid"], None)
    assert await counts(server, key) == (2, 1)


@pytest.mark.parametrize("event", ["pay", "pay in a thread"])
async def test_bytes_come_back_as_they_were(server: LiveServer, key: str, event: str) -> None:
    content = {"deep": [BINARY, {"b": b""}], "text": "Оплата ☃"}
    answers = []
    headers = visit(server)
    for way in WAYS:
        async with connected(server, way, "/shop", headers=headers) as client:
            answers.append(await client.call(event, key, content, namespace="/shop"))
    expected: Any = (key, content) if event == "pay" else {"key": key, "content": content}
    assert answers == [expected] * len(WAYS)
    assert (await counts(server, key))[1] == 1


async def test_a_refusal_comes_back(server: LiveServer, key: str) -> None:
    headers = visit(server)
    expected = {"error": {"code": "declined", "message": "no money", "data": {"left": 3}}}
    for way in WAYS:
        async with connected(server, way, "/shop", headers=headers) as client:
            assert await client.call("pay too much", key, namespace="/shop") == expected
    assert (await counts(server, key))[1] == 1


async def test_plain_websockets_and_socketio_share_a_key(server: LiveServer, key: str) -> None:
    headers = visit(server)
    async with open_websocket(server, "/ws/shop/", additional_headers=headers) as plain:
        await plain.recv()
        event = {"event": "pay", "args": [key, {"$bytes": "AP8="}], "id": 1}
        for _ in range(2):
            await plain.send(json.dumps(event))
            assert json.loads(await plain.recv()) == {"ack": 1, "args": [key, {"$bytes": "AP8="}]}
    async with connected(server, "websocket", "/shop", headers=headers) as client:
        assert await client.call("pay", key, BINARY, namespace="/shop") == (key, BINARY)
    assert (await counts(server, key))[1] == 1


async def test_without_an_acknowledgement(server: LiveServer, key: str) -> None:
    async with connected(server, "websocket", "/shop", headers=visit(server)) as client:
        for _ in range(3):
            await client.io.emit("pay", (key, 1), namespace="/shop")
        assert await client.call("pay", key, 1, namespace="/shop") == (key, 1)
    assert await counts(server, key) == (4, 1)


async def test_strangers_have_keys_of_their_own(server: LiveServer, key: str) -> None:
    """Two sessions, and two clients without one, give the same key."""
    for headers in (visit(server), visit(server), {}, {}):
        async with connected(server, "websocket", "/shop", headers=headers) as client:
            answer = await client.call("pay", key, str(headers), namespace="/shop")
            assert answer == (key, str(headers))
    assert await counts(server, key) == (4, 4)


async def test_many_at_once_run_it_once(server: LiveServer, key: str) -> None:
    headers = visit(server)

    async def pay(way: str) -> Any:
        async with connected(server, way, "/shop", headers=headers) as client:
            return await client.call("pay", key, 1, namespace="/shop")

    assert await asyncio.gather(*map(pay, WAYS * 3)) == [(key, 1)] * 9
    assert await counts(server, key) == (9, 1)
