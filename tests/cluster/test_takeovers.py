"""Upgrades that reach another process than the polling: that one takes the client over."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from uuid import uuid4

import pytest

from tests.clients.crowd import crowd
from tests.clients.wire import eventually
from tests.clusters import LAYERS, LiveCluster
from tests.nginx import Nginx
from tests.recovery.travellers import Driver, driver_at
from tests.valkey import Valkey

KINDS = ("daphne", "uvicorn", "uvicorn-uvloop")
CLIENTS, EVENTS = 30, 60
# Those who have left are away for a moment only.
RECOVERY = {
    "plain": None,
    "recovery": {"SECONDS": 60, "PRESENCE_SECONDS": 1},
    "log": {"SECONDS": 60, "PRESENCE_SECONDS": 1, "LOG": "redis"},
}

# A machine that stands still is no reason to stay on polling; where it does so for longer, these
# are the ones of clients that rightly stay.
UPGRADE_TIMEOUT = 60
TOO_SLOW = re.compile("in time|for more than")

# What the log says where a server got no time for so long that others took it for dead.
STARVED = re.compile("server-gone|layer-deaf|layer-down")

# How many messages wait in the layer for a server before those who send without a pause wait, too.
MAX_WAITING = 50


@pytest.fixture(
    scope="module",
    params=[
        (layer, recovery)
        for layer in LAYERS
        for recovery in RECOVERY
        if layer == "pubsub" or recovery != "log"
    ],
    ids="-".join,
)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """Three servers, on each layer in turn, with recovery and without; nobody stops them."""
    layer, recovery = request.param
    realtime = {"RECOVERY": RECOVERY[recovery], "UPGRADE_TIMEOUT": UPGRADE_TIMEOUT}
    with LiveCluster(KINDS, valkey, layer, realtime=realtime) as cluster:
        yield cluster


@pytest.fixture
async def drivers(cluster: LiveCluster) -> AsyncIterator[list[Driver]]:
    """Who sends to others, at each server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(driver_at(server)) for server in cluster]


class Streams:
    """
    Numbers that drivers send to a room, all the time, and a question that they ask it.

    `last` has the last number of each, `answers` who has answered each question.
    """

    def __init__(self, cluster: LiveCluster, drivers: list[Driver], room: str) -> None:
        self._cluster = cluster
        self._room = room
        self._drivers = drivers
        self._over = False
        self.last = dict.fromkeys(range(len(drivers)), -1)
        self.answers: list[set[str]] = []

    async def _send(self, place: int) -> None:
        for number in itertools.count():
            await self._emit(place, "n", place, number)
            self.last[place] = number
            if self._over:
                return
            await eventually(lambda: self._cluster.waiting() < MAX_WAITING)

    async def _emit(self, place: int, *event: str | int) -> None:
        await self._drivers[place].do("emit_to", "/lab", [self._room], [], *event)

    async def ask(self, place: int) -> None:
        """Ask all who are there once more."""
        answers = await self._drivers[place].do("ask", "/lab", [self._room], "who?")
        assert set(answers.values()) <= {"me"}
        self.answers.append(set(answers))

    async def _ask(self) -> None:
        for place in itertools.cycle(range(len(self._drivers))):
            await self.ask(place)
            if self._over:
                return
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send and ask in the block, and then say that this was all."""
        async with asyncio.TaskGroup() as group:
            for place in self.last:
                group.create_task(self._send(place))
            group.create_task(self._ask())
            yield
            self._over = True
        for place in self.last:
            await self._emit(place, "end")


async def present(drivers: list[Driver], room: str, expected: set[tuple[str, str]]) -> None:
    """Wait until presence knows these sids and transports, and nobody else, in all processes."""

    async def is_known(driver: Driver) -> bool:
        found = await driver.do("present", "/lab", [room])
        return len(found) == len(expected) and set(map(tuple, found)) == expected

    for driver in drivers:
        await eventually(partial(is_known, driver))


@contextmanager
def on_a_machine_that_runs(cluster: LiveCluster) -> Iterator[None]:
    """Skip the test where the block fails, and servers were taken for dead meanwhile."""
    before = [len(server.log) for server in cluster]
    try:
        yield
    except Exception:
        logs = (server.log[start:] for server, start in zip(cluster, before, strict=True))
        if any(map(STARVED.search, logs)):
            pytest.skip("a server got no time for so long that the others took it for dead")
        raise


async def test_all_clients_come_to_a_websocket(cluster: LiveCluster, drivers: list[Driver]) -> None:
    """Nothing is lost or doubled, and all keep their order, while they move under load."""
    with on_a_machine_that_runs(cluster):
        await move_all(cluster, drivers)


async def move_all(cluster: LiveCluster, drivers: list[Driver]) -> None:
    """Let a crowd move, and see what its clients have got."""
    room = f"room {uuid4().hex}"
    streams = Streams(cluster, drivers, room)
    load = {"clients": CLIENTS, "events": EVENTS, "auth": {"room": room}}
    with Nginx(*(server.port for server in cluster)) as proxy:
        async with crowd(proxy.url, "/lab", **load) as people:
            async with streams.running():
                await people.said("connected")
                upgraded = await people.said("upgraded")
                print(f"all on WebSocket, or not to be, within {max(upgraded)} ms")
                await people.said("emitted")
            await streams.ask(0)

            async def ended() -> bool:
                return all(each["ends"] == len(drivers) for each in await people.describe())

            await eventually(ended)
            clients = await people.describe()
            sids = {sid for client in clients for sid in client["sids"]}
            assert len(sids) == CLIENTS
            there = {(sid, client["transport"]) for client in clients for sid in client["sids"]}
            await present(drivers, room, there)
    await present(drivers, room, set())

    stayed = [client for client in clients if client["transport"] == "polling"]
    reasons = [
        reason
        for server in cluster
        for reason in re.findall('not-upgraded .* message="(.*?)"', server.log)
    ]
    assert bool(stayed) == bool(reasons)
    assert all(map(TOO_SLOW.search, reasons)), reasons
    for client in clients:
        assert len(client["left"]) == (client in stayed), client["left"]
        assert client["answers"] == list(range(EVENTS))
        assert client["tally"] == [EVENTS, 0]
        for place, last in streams.last.items():
            numbers = client["numbers"][str(place)]
            assert numbers == list(range(numbers[0], last + 1))
    assert streams.answers[-1] == sids
    for before, after in itertools.pairwise(streams.answers):
        assert before <= after
    assert any("taken-over" in server.log for server in cluster)
    assert not any("Traceback" in server.log for server in cluster)
