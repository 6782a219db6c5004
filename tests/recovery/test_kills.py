"""Processes that are killed, with clients on them: where the log is in Redis nothing is lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import ClusterFactory
from tests.recovery.chaos.outside import outside_process
from tests.recovery.chaos.payloads import payload_of
from tests.recovery.conftest import RECOVERY
from tests.recovery.travellers import NAMESPACE, Driver, Traveller, Travels, driver_at

DEADLINE = 60.0
PAUSE = 0.05
OPTIONS = {"layer": "pubsub", "realtime": {"RECOVERY": {**RECOVERY, "LOG": "redis"}}}


class Outside:
    """A process without clients, which emits numbers to a room."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def emit(self, room: str, number: int) -> None:
        """Emit, and wait until that is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        ask = {"namespace": NAMESPACE, "rooms": [room], "excluded": [], "volatile": False}
        self._process.stdin.write(json.dumps({**ask, "number": number}).encode() + b"\n")
        assert await self._process.stdout.readline()


class Load:
    """Senders that number what they send, until they are told to stop."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.over = asyncio.Event()

    async def by_driver(self, name: str, driver: Driver, room: str) -> None:
        """Send by a process with clients."""
        while not self.over.is_set():
            await driver.emit([room], [name, self.sent.setdefault(name, 0)])
            self.sent[name] += 1
            await asyncio.sleep(PAUSE)

    async def from_outside(self, outside: Outside, room: str, name: str = "outside") -> None:
        """Send by a process without."""
        while not self.over.is_set():
            await outside.emit(room, self.sent.setdefault(name, 0))
            self.sent[name] += 1
            await asyncio.sleep(PAUSE)

    async def reach(self, count: int) -> None:
        """Wait until each has sent so many more."""
        goals = {name: sent + count for name, sent in self.sent.items()}
        async with asyncio.timeout(DEADLINE):
            while any(self.sent[name] < goal for name, goal in goals.items()):
                await asyncio.sleep(0.01)


async def has_all(client: Traveller, expected: dict[str, int]) -> None:
    """See that a client gets each sender's numbers, in order and once."""
    arrived: dict[str, list[int]] = {name: [] for name in expected}
    while any(len(arrived[name]) < count for name, count in expected.items()):
        first, *rest = await client.socket.got("n")
        if isinstance(first, int):
            assert rest[: len(payload_of(first))] == payload_of(first)
            arrived["outside"].append(first)
        else:
            name, count = first
            arrived[name].append(count)
    assert arrived == {name: list(range(count)) for name, count in expected.items()}
    await client.state()
    assert not client.node.has_said(**client.socket.names, happened="event", event="n")


@pytest.mark.parametrize("kinds", [("uvicorn", "daphne"), ("daphne", "uvicorn")])
async def test_nothing_is_lost_with_a_process(
    new_cluster: ClusterFactory, kinds: tuple[str, str], travel: Travels, room: str
) -> None:
    """Whoever was on it, away or not, has its session, and all that was sent, at the other."""
    cluster = new_cluster(kinds, **OPTIONS)
    async with driver_at(cluster[1]) as driver, outside_process(cluster) as process:
        outside = Outside(process)
        clients = [await travel(cluster[0], room) for _ in range(3)]
        clients.append(await travel(cluster[0], room, way="polling"))
        other = await travel(cluster[1], room)
        load = Load()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.by_driver("other", driver, room))
            group.create_task(load.from_outside(outside, room))
            await asyncio.sleep(0)
            while len(load.sent) < 2:
                await asyncio.sleep(0.01)
            await load.reach(20)
            await clients[0].drop()
            await load.reach(20)
            for client in clients:
                client.line.lead_to(cluster[1])
            cluster[0].kill()
            for client in clients[1:]:
                await client.lose_connection()
            await load.reach(20)
            await clients[0].come_back(cluster[1])
            for client in clients[1:]:
                await client.be_back()
            for client in clients:
                client.has_recovered()
            await load.reach(20)
            load.over.set()
        for client in (*clients, other):
            await has_all(client, load.sent)
