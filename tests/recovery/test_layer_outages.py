"""
Redis is restarted, hangs, is full, or breaks connections off while clients are away and come back:
what cannot be promised then is told, and what can be kept is kept.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.clients.wire import eventually
from tests.cluster.outside.conftest import environment
from tests.clusters import LiveCluster
from tests.conftest import ClusterFactory
from tests.processes import ROOT
from tests.recovery.conftest import RECOVERY
from tests.recovery.travellers import Driver, Traveller, Travels, driver_at
from tests.valkey import Valkey

NewValkey = Callable[..., Valkey]

pytestmark = pytest.mark.timeout(180)

# Sends numbers until its input ends; then says how many the layer has taken.
OUTSIDE = """
import json, sys, threading, time
import django
django.setup()
import realtime
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
room, taken = realtime.of("/recovery").to(sys.argv[1]), []
number = 0
while not over.wait(0.01):
    try:
        room.emit("n", ["outside", number])
    except realtime.LayerUnavailable:
        pass
    else:
        taken.append(number)
        if number == 0:
            print("begun", flush=True)
    number += 1
print(json.dumps(taken), flush=True)
"""


@pytest.fixture(
    params=[("core", "memory"), ("pubsub", "memory"), ("pubsub", "redis")], ids="-".join
)
def kept(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each layer, and where the log is."""
    return request.param  # type: ignore[no-any-return]


class Senders:
    """
    A driver and a process without clients that send numbers to a room, each as fast as they like.

    `sent` has, by names, what each has sent when they are over.
    """

    def __init__(self) -> None:
        self.sent: dict[str, list[int]] = {}

    @asynccontextmanager
    async def at_work(self, cluster: LiveCluster, driver: Driver, room: str) -> AsyncIterator[None]:
        """Send in the block."""
        over = asyncio.Event()
        env = environment(
            {
                **cluster.env,
                "REALTIME_OVERRIDES": json.dumps({**cluster.realtime, "UNREACHABLE": "raise"}),
            },
            cluster.database,
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OUTSIDE, room),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=env,
            cwd=ROOT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        sending = asyncio.create_task(self._send(driver, room, over))
        try:
            assert await process.stdout.readline() == b"begun\n"
            yield
        finally:
            over.set()
            await sending
            process.stdin.close()
            self.sent["outside"] = json.loads(await process.stdout.read())
            assert await process.wait() == 0

    async def _send(self, driver: Driver, room: str, over: asyncio.Event) -> None:
        numbers = self.sent["driver"] = []
        while not over.is_set():
            number = len(numbers)
            await driver.emit([room], ["driver", number])
            numbers.append(number)
            await asyncio.sleep(0.01)


class Story:
    """What a client has got, and whether it was ever told that something may be missing."""

    def __init__(self, client: Traveller) -> None:
        self.told = False
        self.back = asyncio.Event()
        self.got: dict[str, list[int]] = {"driver": [], "outside": []}
        self._client = client

    async def read(self) -> None:
        """Read on, for ever."""
        socket = self._client.socket
        while True:
            line = await socket.node.said(**socket.names)
            if line["happened"] == "event":
                name, number = line["args"][0]
                self.got[name].append(number)
            elif line["happened"] == "connect":
                self.told |= not line["recovered"]
                self.back.set()

    def is_complete(self, sent: dict[str, list[int]]) -> bool:
        """Tell whether all that was sent has come."""
        return all(set(numbers) <= set(self.got[name]) for name, numbers in sent.items())

    def check(self) -> None:
        """See that nothing came twice, nor in another order."""
        for numbers in self.got.values():
            assert numbers == sorted(set(numbers))


Fault = Callable[[Valkey], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def restarted(valkey: Valkey) -> AsyncIterator[None]:
    """Stop it, and start it with nothing in it."""
    await asyncio.to_thread(valkey.stop)
    yield
    await asyncio.to_thread(valkey.start)


@asynccontextmanager
async def hanging(valkey: Valkey) -> AsyncIterator[None]:
    """Let it hang for a moment, which is no outage."""
    valkey.pause()
    yield
    await asyncio.sleep(1)
    valkey.resume()


@asynccontextmanager
async def paused(valkey: Valkey) -> AsyncIterator[None]:
    """Have it answer nobody for a moment, by its own command."""
    valkey.client.execute_command("CLIENT", "PAUSE", "1000", "ALL")
    yield


@asynccontextmanager
async def breaking_off(valkey: Valkey) -> AsyncIterator[None]:
    """Break off the connections on which something is published, or waited for."""
    for kind in ("pubsub", "normal"):
        valkey.client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    yield


@asynccontextmanager
async def full(valkey: Valkey) -> AsyncIterator[None]:
    """Let it have no memory for a while."""
    valkey.client.config_set("maxmemory", "1")
    yield
    await asyncio.sleep(1)
    valkey.client.config_set("maxmemory", "0")


@pytest.mark.parametrize("fault", [restarted, hanging, paused, breaking_off, full])
@pytest.mark.parametrize("back", ["within", "behind"])
async def test_who_is_away_over_an_outage(
    new_valkey: NewValkey,
    new_cluster: ClusterFactory,
    kept: tuple[str, str],
    travel: Travels,
    room: str,
    fault: Fault,
    back: str,
) -> None:
    """Everything comes, once and in order, or the client is told, also where it is back at once."""
    valkey = new_valkey()
    layer, log = kept
    realtime = {"RECOVERY": {**RECOVERY, "LOG": log}}
    cluster = new_cluster(("uvicorn", "daphne"), valkey, layer=layer, realtime=realtime)
    senders = Senders()
    async with driver_at(cluster[1]) as driver:
        client = await travel(cluster[0], room)
        story = Story(client)
        reading = asyncio.create_task(story.read())
        try:
            async with senders.at_work(cluster, driver, room):
                await eventually(lambda: all(story.got.values()))
                client.line.cut()
                async with fault(valkey):
                    if back == "within":
                        client.line.mend()
                client.line.mend()
                await story.back.wait()
                count = len(senders.sent["driver"])
                await eventually(lambda: len(senders.sent["driver"]) > count + 50)
            # Nothing that was sent is on its way for longer than an outage is noticed.
            await eventually(
                lambda: story.told or (fault is not restarted and story.is_complete(senders.sent)),
                timeout=60,
            )
        finally:
            reading.cancel()
    story.check()
    if fault in (hanging, paused) and story.told:  # where the machine stands still for longer
        assert any(re.search("layer-(down|deaf|lost)", server.log) for server in cluster)
