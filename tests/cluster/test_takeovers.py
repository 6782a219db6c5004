"""Upgrades that reach another process than the polling: that one takes the client over."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
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
RECOVERY = {
    "plain": None,
    "recovery": {"SECONDS": 60},
    "log": {"SECONDS": 60, "LOG": "redis"},
}


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
    realtime = {"RECOVERY": RECOVERY[recovery]}
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

    def __init__(self, drivers: list[Driver], room: str) -> None:
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
            await asyncio.sleep(0.01)

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


async def test_all_clients_come_to_a_websocket(cluster: LiveCluster, drivers: list[Driver]) -> None:
    """Nothing is lost or doubled, and all keep their order, while they move under load."""
    room = f"room {uuid4().hex}"
    streams = Streams(drivers, room)
    load = {"clients": CLIENTS, "events": EVENTS, "auth": {"room": room}}
    with Nginx(*(server.port for server in cluster)) as proxy:
        async with crowd(proxy.url, "/lab", **load) as people:
            async with streams.running():
                await people.said("connected")
                upgraded = await people.said("upgraded")
                print(f"all on WebSocket within {max(upgraded)} ms")
                await people.said("emitted")
            await streams.ask(0)

            async def ended() -> bool:
                return all(each["ends"] == len(drivers) for each in await people.describe())

            await eventually(ended)
            clients = await people.describe()
            sids = {sid for client in clients for sid in client["sids"]}
            assert len(sids) == CLIENTS
            await present(drivers, room, {(sid, "websocket") for sid in sids})
    await present(drivers, room, set())

    for client in clients:
        assert (client["transport"], client["left"]) == ("websocket", [])
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
