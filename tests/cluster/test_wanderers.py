"""Clients on polling whom a load balancer leads to another server for good: that one takes them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from tests.balancer import Balancer
from tests.clients.javascript import OPTIONS, Node, NodeSocket
from tests.clients.python import Client, connected
from tests.clients.wire import DEADLINE, eventually
from tests.cluster.conftest import KINDS
from tests.clusters import LAYERS, LiveCluster
from tests.live import LiveServer
from tests.valkey import Valkey

RECOVERY = {"plain": None, "recovery": {"SECONDS": 60}}

# A client that could not move at once, as the machine stood still, is tried again after a while.
PATIENCE = 9 * DEADLINE

# Between two events of one sender, so that few wait for a machine that has much to do.
PAUSE = 0.02


@pytest.fixture(
    scope="module",
    params=[(layer, recovery) for layer in LAYERS for recovery in RECOVERY],
    ids="-".join,
)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn, on each layer in turn, with recovery and without."""
    layer, recovery = request.param
    with LiveCluster(KINDS, valkey, layer, realtime={"RECOVERY": RECOVERY[recovery]}) as cluster:
        yield cluster


class Streams:
    """Numbers that somebody sends all the time; `last` has the last one of each."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self._over = False

    async def run(self, name: str, send: Callable[[int], Awaitable[object]]) -> None:
        """Send numbers until `end`."""
        for number in itertools.count():
            await send(number)
            self.last[name] = number
            if self._over:
                return
            await asyncio.sleep(PAUSE)

    def end(self) -> None:
        """Let each sender send one more."""
        self._over = True


def came(server: LiveServer) -> int:
    """Return how many clients have come to a server on polling."""
    return sum("taken-over" in line and "polling" in line for line in server.log.splitlines())


async def test_they_move_there_and_back(cluster: LiveCluster, node: Node) -> None:
    """Nothing is lost or doubled, and all keep their order, while they are sent to and send."""
    room, streams = f"room {uuid4().hex}", Streams()
    async with AsyncExitStack() as stack:
        senders = [
            await stack.enter_async_context(connected(server, "websocket", "/lab"))
            for server in cluster
        ]
        balancer = await stack.enter_async_context(Balancer(cluster[0].port))
        # By itself it is gone where a POST takes five seconds, as on a machine that stands still.
        python = await stack.enter_async_context(
            connected(balancer, "polling", "/lab", request_timeout=PATIENCE)  # type: ignore[arg-type]
        )
        options = {"reconnection": False, **OPTIONS["polling"]}
        node.do("open", manager="one", url=balancer.url, options=options)
        javascript = await node.socket("one", "/lab")
        sids = python.sid("/lab"), javascript.sid
        assert await python.call("join", room, namespace="/lab") == [room]
        assert await javascript.call("join", room) == [[room]]

        def say(place: int) -> Callable[[int], Awaitable[object]]:
            sender = senders[place]
            return lambda number: sender.call("say", [room], place, number, namespace="/lab")

        async with asyncio.TaskGroup() as group:
            for place in range(2):
                group.create_task(streams.run(str(place), say(place)))
            group.create_task(
                streams.run("python", lambda n: python.io.emit("note", f"{n}", namespace="/lab"))
            )
            group.create_task(streams.run("javascript", lambda n: note(javascript, n)))
            for place in (1, 0):
                before = came(cluster[place])
                balancer.target = cluster[place].port
                await eventually(lambda: came(cluster[place]) == before + 2, PATIENCE)  # noqa: B023
            streams.end()
        await check(streams, python, javascript)
        places = [await python.call("whoami", namespace="/lab"), *await javascript.call("whoami")]
        assert tuple(place["sid"] for place in places) == sids
        assert {place["transport"] for place in places} == {"polling"}
        assert python.left.empty()
        assert not node.has_said(**javascript.names, happened="disconnect")
    assert not any("Traceback" in server.log for server in cluster)


async def note(socket: NodeSocket, number: int) -> None:
    """Let Node's client send a number."""
    socket.do("emit", args=["note", f"{number}"])


async def check(streams: Streams, python: Client, javascript: NodeSocket) -> None:
    """See that clients have got all of each sender, and that all of theirs has come, in order."""

    async def got_by_python() -> Any:
        return await python.got("said", "/lab")

    async def got_by_javascript() -> Any:
        return await javascript.got("said")

    for next_one in (got_by_python, got_by_javascript):
        numbers: dict[int, list[int]] = {0: [], 1: []}
        while not all(n and n[-1] == streams.last[str(place)] for place, n in numbers.items()):
            place, number, *_ = await next_one()  # where clients come back, an offset
            numbers[place].append(number)
        for place, got in numbers.items():
            assert got == list(range(streams.last[str(place)] + 1))
    notes = {
        "python": await python.call("note", "end", namespace="/lab"),
        "javascript": (await javascript.call("note", "end"))[0],
    }
    for name, got in notes.items():
        assert got == [*map(str, range(streams.last[name] + 1)), "end"]
