"""What a process that has ended has sent beyond a server's capacity: its clients are told."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.cluster.outside.conftest import of_cluster
from tests.clusters import LiveCluster
from tests.conftest import ClusterFactory
from tests.processes import ROOT
from tests.recovery.conftest import RECOVERY
from tests.recovery.travellers import Traveller, Travels

# What waits for a server at most, and how much is sent to it while it reads nothing.
CAPACITY, COUNT = 200, 400

SCRIPT = """
import sys
import django
django.setup()
import realtime
room = realtime.of("/recovery").to(sys.argv[1])
room.emit("n", 0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(1, int(sys.argv[2])):
    room.emit("n", number)
"""


@asynccontextmanager
async def sender(cluster: LiveCluster, room: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that has sent one number, and sends the others when it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, room, str(COUNT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=of_cluster(cluster),
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    yield process
    assert await process.wait() == 0


async def be_told(client: Traveller) -> None:
    """See that a client is told, at the latest when it comes once more."""
    while client.back["/recovery"]["recovered"]:
        await client.be_back()
    client.has_lost()


@pytest.mark.parametrize("place", [0, 1], ids=["daphne", "uvicorn"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
async def test_who_was_away_is_told(
    new_cluster: ClusterFactory, travel: Travels, room: str, place: int, elsewhere: bool
) -> None:
    cluster = new_cluster(
        ("daphne", "uvicorn"), realtime={"RECOVERY": RECOVERY}, config={"capacity": CAPACITY}
    )
    server = cluster[place]
    client = await travel(server, room)
    async with sender(cluster, room) as process:
        await client.got(0)
        await client.drop()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await process.communicate(b"\n")
        finally:
            os.kill(server.pid, signal.SIGCONT)
    await client.come_back(cluster[1 - place] if elsewhere else None)
    await be_told(client)
    await server.logged(r"layer-lost error=.* lost=\d+")
