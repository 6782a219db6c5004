"""Channels consumers of the site's own beside ours, on the same channel layer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection

from tests.clients.wire import DEADLINE, websocket
from tests.cluster.conftest import KINDS, Connect
from tests.cluster.outside.conftest import of_cluster, run
from tests.clusters import LiveCluster
from tests.conftest import ClusterFactory
from tests.live import LiveServer

# How many emits have to arrive, of each sender.
COUNT = 40

EMIT_AND_ASK = f"""
for number in range({COUNT}):
    room.emit("said", number)
print(list(room.call("question", timeout=20).values()))
"""


class GroupSocket:
    """A client of the site's Channels consumer."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **content: Any) -> None:
        """Tell the consumer what to do."""
        await self.connection.send(json.dumps(content))

    async def said(self, count: int) -> list[Any]:
        """Return what is said in the group next."""
        async with asyncio.timeout(DEADLINE):
            return [json.loads(await self.connection.recv())["said"] for _ in range(count)]


Enter = Callable[[LiveServer], Awaitable[GroupSocket]]


@pytest.fixture
def group() -> str:
    """A group, and a room of that name, that no other test is in."""
    return uuid4().hex


@pytest.fixture
async def enter(group: str) -> AsyncIterator[Enter]:
    """A function ``(server)`` that returns a new socket in the group."""
    async with AsyncExitStack() as stack:

        async def enter(server: LiveServer) -> GroupSocket:
            connecting = websocket(server, f"/channels/{group}/")
            return GroupSocket(await stack.enter_async_context(connecting))

        yield enter


async def visit(server: LiveServer, group: str) -> None:
    """Open a socket in the group, and close it."""
    async with websocket(server, f"/channels/{group}/"):
        pass


@pytest.mark.parametrize(("sockets", "old"), [(1, 0), (1, 100), (20, 100)])
async def test_both_send_both_ways(
    pair: LiveCluster, join: Connect, enter: Enter, group: str, sockets: int, old: int
) -> None:
    since = [len(server.log) for server in pair]
    for server in pair:
        for _ in range(old // 20):
            await asyncio.gather(*(visit(server, group) for _ in range(20)))
    near = [await enter(pair[0]) for _ in range(sockets)]
    far = [await enter(pair[1]) for _ in range(sockets)]
    one, two = await join(pair[0], group), await join(pair[1], group)
    one.answer(lambda: "one")
    two.answer(lambda: "two")

    outside = asyncio.create_task(asyncio.to_thread(run, EMIT_AND_ASK, of_cluster(pair), group))
    for number in range(COUNT):
        await near[number % sockets].send(say=number)
    for number in range(COUNT):  # each in a layer message of its own
        await one.call("burst", group, number, number + 1)
        await two.call("burst", group, COUNT + number, COUNT + number + 1)
    for member in (one, two):
        numbers = await member.read_numbers(2 * COUNT)
        assert [n for n in numbers if n < COUNT] == list(range(COUNT))
        assert [n for n in numbers if n >= COUNT] == list(range(COUNT, 2 * COUNT))
        assert [await member.got() for _ in range(COUNT)] == list(range(COUNT))
    for socket in (*near, *far):
        assert sorted(await socket.said(COUNT)) == list(range(COUNT))
    assert sorted(json.loads((await outside).replace("'", '"'))) == ["one", "two"]

    # From the consumers of one kind to those of the other.
    await far[0].send(emit="from a Channels consumer")
    assert [await one.got(), await two.got()] == ["from a Channels consumer"] * 2
    await two.call("say to group", group, "from a namespace")
    assert [await socket.said(1) for socket in (*near, *far)] == [["from a namespace"]] * (
        2 * sockets
    )
    for server, start in zip(pair, since, strict=True):
        assert "layer-" not in server.log[start:]


async def test_sockets_that_come_and_go(
    pair: LiveCluster, join: Connect, enter: Enter, group: str
) -> None:
    """One that goes breaks off a request to the layer, which may have been under way for all."""
    await enter(pair[1])
    one, two = await join(pair[0], group), await join(pair[1], group)
    lost = await two.call("lost")
    coming = asyncio.create_task(_come_and_go(pair[1], group))
    for number in range(0, 400, 4):
        await one.call("burst", group, number, number + 4)
    assert not coming.done()
    coming.cancel()
    assert await two.read_numbers(400) == list(range(400))
    assert await two.call("lost") == lost


async def _come_and_go(server: LiveServer, group: str) -> None:
    while True:
        await asyncio.gather(*(visit(server, group) for _ in range(4)))


async def test_a_reader_of_the_sites_own(
    new_cluster: ClusterFactory, join: Connect, group: str, layer: str
) -> None:
    """The site reads a channel whose prefix is neither ours nor that of Channels' consumers."""
    cluster = new_cluster(KINDS, layer=layer)
    one, two = await join(cluster[0], group), await join(cluster[1], group)
    for member in (one, two):
        await member.call("hear group", group)
    for number in range(COUNT):  # while the site's reader waits, and nothing comes
        await one.call("burst", group, number, number + 1)
    for member in (one, two):
        assert await member.read_numbers(COUNT) == list(range(COUNT))
    for number in range(COUNT):
        await one.call("say to group", group, number)
        await one.call("burst", group, number, number + 1)
    for member in (one, two):
        assert await member.read_numbers(COUNT) == list(range(COUNT))
        assert [await member.got("heard") for _ in range(COUNT)] == list(range(COUNT))
    assert await one.call("wait for peers") == 1
    assert all("layer-" not in server.log for server in cluster)
