"""Namespaces and rooms that are not for everybody, as clients of each kind meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import socketio

from tests.clients.javascript import Node
from tests.clients.python import TRANSPORTS, Client, connected
from tests.clients.test_plain_websocket import Plain
from tests.clients.wire import DEADLINE, websocket
from tests.conftest import ServerFactory
from tests.live import KINDS, LiveServer

LOG_IN = {"message": "log in first", "data": {"code": 401}}
DENIED = {"message": "permission denied", "data": {"code": 403}}
FORBIDDEN = {"error": {"code": "forbidden", "message": "you may not join this room", "data": None}}
OK = {"ok": True}


class Somebody(NamedTuple):
    """A user: the name, the primary key, and the header that says who it is."""

    name: str
    pk: int
    headers: dict[str, str]


class Rights:
    """Gives and takes rights at a server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, event: str, *args: Any) -> Any:
        """Have something done, and return what is said of that."""
        return await self._client.call(event, *args, namespace="/rights")

    async def user(self, *permissions: str, groups: tuple[str, ...] = ()) -> Somebody:
        """Return a new user who has logged in."""
        name = f"user-{uuid4().hex[:12]}"
        pk, key = await self.call("new user", name, list(permissions), list(groups))
        return Somebody(name, pk, {"Cookie": f"sessionid={key}"})


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, shared_server: ServerFactory) -> LiveServer:
    """A running server to which clients come back, shared with other tests."""
    return shared_server(request.param, RECOVERY={"SECONDS": 120})


@pytest.fixture
async def rights(server: LiveServer) -> AsyncIterator[Rights]:
    """What gives and takes rights there."""
    async with connected(server, "websocket", "/rights") as client:
        yield Rights(client)


@pytest.fixture
def room() -> str:
    """A room, and a group, that no other test has."""
    return f"Room №1 {uuid4().hex}"


async def refusal(
    server: LiveServer, way: str, namespace: str, headers: dict[str, str] | None = None
) -> Any:
    """Return why python-socketio's client is refused."""
    client = Client()
    try:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.io.connect(
                server.url,
                transports=TRANSPORTS[way],
                namespaces=[namespace],
                headers=dict(headers or {}),
                wait_timeout=DEADLINE,
            )
        return client.errors[namespace]
    finally:
        await client.close()


@pytest.mark.parametrize("way", TRANSPORTS)
async def test_who_comes_in(server: LiveServer, rights: Rights, way: str) -> None:
    nobody, some, viewer = None, await rights.user(), await rights.user("view_socket")
    assert await refusal(server, way, "/members", nobody) == LOG_IN
    assert await refusal(server, way, "/viewers", nobody) == LOG_IN
    assert await refusal(server, way, "/viewers", some.headers) == DENIED
    async with connected(server, way, "/viewers", "/members", headers=viewer.headers) as client:
        name, _ = await client.got("welcome", "/viewers")  # with its offset, as ever
        assert name == viewer.name
        assert await client.call("where", namespace="/members") == []


async def test_the_javascript_client(
    node: Node, server: LiveServer, rights: Rights, room: str
) -> None:
    member = await rights.user(groups=(room,))
    await node.open(server, "upgrade", "nobody")
    for name, expected in (("/members", LOG_IN), ("/viewers", LOG_IN)):
        stranger = await node.socket("nobody", name, fails=True)
        error = await stranger.happened("connect_error")
        assert (error["message"], error["data"]) == (expected["message"], expected["data"])
    await node.open(server, "upgrade", "member", extraHeaders=member.headers)
    refused = await node.socket("member", "/viewers", fails=True)
    assert (await refused.happened("connect_error"))["data"] == {"code": 403}
    socket = await node.socket("member", "/members")
    assert await socket.call("join", "secret") == [FORBIDDEN]
    assert await socket.call("join", room) == [OK]
    await rights.call("to room", "/members", "secret", 1)
    await rights.call("to room", "/members", room, 2)
    await rights.call("to user", "/members", member.pk, 3)
    assert [(await socket.got("said"))[0] for _ in range(2)] == [2, 3]
    assert await socket.call("leave", room) == [OK]
    assert await socket.call("where") == [[]]


async def test_rooms_of_the_python_client(server: LiveServer, rights: Rights, room: str) -> None:
    member = await rights.user(groups=(room,))
    async with connected(server, "polling", "/members", headers=member.headers) as client:
        assert await client.call("join", "secret", namespace="/members") == FORBIDDEN
        assert await client.call("join", room, namespace="/members") == OK
        await rights.call("to room", "/members", room, 1)
        assert (await client.got("said", "/members"))[0] == 1
        await rights.call("take rights", member.name)
        assert await client.call("join", room, namespace="/members") == FORBIDDEN
        assert await client.call("where", namespace="/members") == []


async def test_guarded_rooms(server: LiveServer, rights: Rights, room: str) -> None:
    member = await rights.user(groups=(room,))
    auth = {"rooms": [room, "secret"]}
    async with connected(
        server, "websocket", "/guarded", auth=auth, headers=member.headers
    ) as client:
        assert await client.call("where", namespace="/guarded") == [room]


async def test_the_plain_websocket(server: LiveServer, rights: Rights, room: str) -> None:
    some, member = await rights.user(), await rights.user("view_socket", groups=(room,))
    for route, headers, code, reason in (
        ("viewers", {}, 4401, "log in first"),
        ("members", {}, 4401, "log in first"),
        ("viewers", some.headers, 4403, "permission denied"),
    ):
        async with websocket(server, f"/ws/{route}/", additional_headers=headers) as connection:
            assert await Plain(connection).closed() == (code, reason)
    async with websocket(server, "/ws/members/", additional_headers=member.headers) as connection:
        plain = Plain(connection)
        assert "connected" in await plain.receive()
        assert await plain.call("join", "secret") == [FORBIDDEN]
        assert await plain.call("join", room) == [OK]
        await rights.call("to user", "/members", member.pk, "hi")
        assert await plain.receive() == {"event": "said", "args": ["hi"]}


@pytest.mark.parametrize("way", ["query", "message"])
async def test_who_comes_back_without_a_right_gets_nothing(
    server: LiveServer, rights: Rights, way: str
) -> None:
    member = await rights.user("view_socket")
    async with websocket(server, "/ws/viewers/", additional_headers=member.headers) as connection:
        pid = (await Plain(connection).receive())["pid"]
    await rights.call("to user", "/viewers", member.pk, "secret")
    await rights.call("take rights", member.name)
    query = f"pid={pid}" if way == "query" else "recover"
    async with websocket(
        server, f"/ws/viewers/?{query}", additional_headers=member.headers
    ) as connection:
        plain = Plain(connection)
        if way == "message":
            await plain.send(recover={"pid": pid})
        assert await plain.closed() == (4403, "permission denied")


async def test_who_comes_back_without_a_room_gets_nothing_of_it(
    server: LiveServer, rights: Rights, room: str
) -> None:
    member = await rights.user(groups=(room,))

    @asynccontextmanager
    async def come(pid: str) -> AsyncIterator[tuple[Plain, str]]:
        path = f"/ws/members/?pid={pid}" if pid else "/ws/members/"
        async with websocket(server, path, additional_headers=member.headers) as connection:
            plain = Plain(connection)
            yield plain, (await plain.receive())["pid"]

    async with come("") as (plain, pid):
        assert await plain.call("join", room) == [OK]
    await rights.call("to room", "/members", room, "missed")
    async with come(pid) as (plain, found):
        assert found == pid
        assert await plain.receive() == {"event": "said", "args": ["missed"]}
    await rights.call("to room", "/members", room, "secret")
    await rights.call("take rights", member.name)
    async with come(pid) as (plain, found):
        assert found != pid, "it is told that it may have missed something"
        assert await plain.call("where") == [[]]
