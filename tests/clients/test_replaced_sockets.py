"""
Two CONNECTs to one namespace: pages that mount, unmount and mount again while `connect` is slow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio

from tests.clients.javascript import OPTIONS, Node
from tests.clients.wire import (
    Polling,
    Wire,
    connect_packet,
    eventually,
    http_client,
    open_socket,
    open_wire,
    sid_of,
)
from tests.conftest import ServerFactory
from tests.live import KINDS, LiveServer

UVLOOP = ("uvicorn", "--loop", "uvloop")


@pytest.fixture(params=[*KINDS, UVLOOP], ids=[*KINDS, "uvloop"], scope="module")
def server(request: pytest.FixtureRequest) -> Any:
    """A server of each kind that these tests have for themselves."""
    kind, *options = (request.param,) if isinstance(request.param, str) else request.param
    with LiveServer(kind, options=options) as server:
        yield server


@pytest.fixture(params=OPTIONS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way to connect in turn."""
    return str(request.param)


@asynccontextmanager
async def line(server: LiveServer, way: str) -> AsyncIterator[Polling | Wire]:
    """Open a raw session of a transport, or one that has moved to a WebSocket."""
    if way == "websocket":
        async with open_wire(server) as wire:
            yield wire
        return
    async with http_client(server) as http:
        polling = await Polling.open(http)
        if way == "polling":
            yield polling
            return
        async with open_wire(server, sid=polling.sid) as wire:
            await wire.send("2probe")
            assert await wire.receive() == "3probe"
            await wire.send("5")
            yield wire


async def sockets_of(server: LiveServer) -> int:
    """Return how many sockets a server has, without the one that asks."""
    async with open_socket(server) as (wire, _):
        return int((await wire.call("/lab", "stats"))["hub_sockets"]) - 1


def slow(tag: str, seconds: float = 0.3) -> dict[str, Any]:
    """Return what lets the lab's `connect` take its time."""
    return {"wait": seconds, "tag": tag, "room": tag, "say": tag}


async def test_the_newer_one_wins(server: LiveServer, way: str) -> None:
    names = [f"{way}-{n}" for n in range(5)]
    since = len(server.log)
    async with line(server, way) as client:
        other = await client.join_namespace("/typed/1")
        assert "kwargs" in str(await client.receive())
        await client.send(*(connect_packet("/lab", slow(name)) for name in names))
        sid = sid_of(await client.receive())
        assert await client.receive() == f'42/lab,["said","{names[-1]}"]', "and none of the others"
        await client.send('42/lab,1["rooms"]')
        assert await client.receive() == f'43/lab,1[["{names[-1]}"]]'
        for name in names[:-1]:
            await server.logged(rf"lab gone tag={name}\b", since=since)
        assert await eventually(lambda: has_sockets(server, 2))
        await client.send('42/typed/1,2["kwargs"]')
        assert await client.receive() == '43/typed/1,2[{"pk":1}]', "and nothing between"
        left = r'reason="client namespace disconnect"[\s\S]*'
        await server.logged(left * (len(names) - 1), since=since)
        await server.logged(rf"\bconnect namespace=/lab sid={sid} ", since=since)
        log = server.log[since:]
        assert f"disconnect namespace=/lab sid={sid} " not in log
        assert f"disconnect namespace=/typed/1 sid={other} " not in log
        assert "parse-error" not in log
        await client.send("1" if way == "polling" else "41/lab,")


async def has_sockets(server: LiveServer, count: int) -> bool:
    """Tell whether a server has so many sockets."""
    return await sockets_of(server) == count


async def test_an_idle_socket_is_replaced_again_and_again(server: LiveServer, way: str) -> None:
    async with line(server, way) as client:
        sids = set()
        for n in range(20):
            await client.send(connect_packet("/lab", {"room": str(n)}))
            sids.add(sid_of(await client.receive()))
        assert len(sids) == 20
        await client.send('42/lab,1["rooms"]')
        assert await client.receive() == '43/lab,1[["19"]]'
        assert await eventually(lambda: has_sockets(server, 1))
        await client.send("1" if way == "polling" else "41/lab,")


async def test_a_page_that_toggles(node: Node, server: LiveServer, way: str) -> None:
    main = await node.open(server, way)
    tag = f"toggled-{way}"
    lab = await node.socket("one", "/lab", auth=slow(tag), fails=True)
    lab.do("toggle", times=3)
    sid = (await lab.happened("connect"))["sid"]
    assert await lab.call("rooms") == [[tag]]
    assert (await lab.call("whoami"))[0]["sid"] == sid
    assert await main.call("echo", "still here") == ["still here"]
    assert not node.has_said(**lab.names, happened="disconnect")
    assert not node.has_said(**lab.names, happened="connect_error")
    assert not node.has_said(manager="one", happened="close")
    assert await eventually(lambda: has_sockets(server, 2))
    node.do("close", manager="one")
    await eventually(lambda: has_sockets(server, 0))


async def test_the_python_client(server: LiveServer, way: str) -> None:
    client = socketio.AsyncClient(reconnection=False)
    heard: list[str] = []
    client.on("disconnect", lambda *reason: heard.append("disconnect"), namespace="/lab")
    transports = OPTIONS[way]["transports"]
    await client.connect(server.url, namespaces=["/", "/lab"], transports=transports)
    await client.eio.send("0/lab,")
    await eventually(lambda: has_sockets(server, 2))
    assert await client.call("echo", "lab", namespace="/lab") == "lab"
    assert await client.call("echo", "main") == "main"
    assert heard == []
    await client.disconnect()
    await eventually(lambda: has_sockets(server, 0))


async def test_late_answers_are_the_older_ones(server: LiveServer, way: str) -> None:
    async with line(server, way) as client:
        questions = []
        for _ in range(2):
            await client.send(connect_packet("/lab"), '42/lab,["ask with callback"]')
            sid_of(await client.receive())
            questions.append(str(await client.receive()).split("[")[0])
        first, second = (question.replace("42/lab,", "43/lab,") for question in questions)
        assert first != second
        await client.send(first + '["old"]', second + '["new"]')
        assert await client.receive() == '42/lab,["answered","new"]'
        await client.send("1" if way == "polling" else "41/lab,")


async def test_more_than_the_rate(new_server: ServerFactory, way: str) -> None:
    server = new_server("uvicorn", realtime={"CONNECT_RATE": "2/h"})
    async with line(server, way) as client:
        await client.join_namespace("/typed/1")
        assert "kwargs" in str(await client.receive())
        await client.join_namespace("/lab")
        await client.send(connect_packet("/lab"))
        assert await client.receive() == '44/lab,{"message":"Too many connects"}'
        await client.send('42/typed/1,2["kwargs"]')
        assert await client.receive() == '43/typed/1,2[{"pk":1}]'
