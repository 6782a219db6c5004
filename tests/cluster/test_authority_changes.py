"""Clients of three servers lose what let them in, by each thing that takes it, on any server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from tests.clients.python import Client, connected
from tests.clients.test_plain_websocket import connected as plain
from tests.clients.wire import DEADLINE
from tests.clusters import LiveCluster
from tests.site.causes import ENDS, TAKEN
from tests.valkey import Valkey

SERVERS = ("daphne", "uvicorn", "uvicorn")
WATCHED, OPEN = "/watched", "/watched/open"

# These are over for all users of a permission, of whom other tests have some.
SHARED = ("delete_permission", "rename_permission", "clear_permission", "clear_users_of_permission")
CAUSES = [
    *(("group", cause.__name__) for cause in ENDS),
    *((by, cause.__name__) for by, cause in TAKEN if cause.__name__ not in SHARED),
]

# A machine that is busy makes everything late, so each of them has tries, and for each of the dozen
# steps between servers, databases and clients there is as long as one call takes at that time.
TRIES, IN_TIME, STEPS = 5, 1.0, 12


@pytest.fixture(scope="module", params=["core-sqlite", "pubsub-postgresql"])
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """Three servers to which clients come back, where nothing is looked for by itself."""
    layer, _, database = request.param.partition("-")
    url = request.getfixturevalue(database).new_database() if database != "sqlite" else None
    options = {"REAUTHORIZE_SECONDS": 0, "RECOVERY": {"SECONDS": 60}}
    with LiveCluster(SERVERS, valkey, layer, realtime=options, database=url) as cluster:
        yield cluster


@pytest.fixture
async def rights(cluster: LiveCluster) -> AsyncIterator[Client]:
    """What gives and takes rights, at one of the servers."""
    async with connected(cluster[2], "websocket", "/rights") as client:
        yield client


@pytest.mark.parametrize(("by", "cause"), CAUSES)
async def test_all_clients_are_dropped(
    cluster: LiveCluster, rights: Client, by: str, cause: str
) -> None:
    took = [await drop(cluster, rights, by, cause)]
    while took[-1] > IN_TIME and len(took) < TRIES:
        took.append(await drop(cluster, rights, by, cause))
    assert min(took) <= IN_TIME, took


async def drop(cluster: LiveCluster, rights: Client, by: str, cause: str) -> float:
    """
    Have all clients of a new user dropped; return how many seconds the last one was there for,
    without those that a busy machine takes.
    """
    name = f"user-{uuid4().hex[:12]}"
    pk, key = await rights.call("new site", by, name, namespace="/rights")
    headers = {"Cookie": f"sessionid={key}"}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        clients = [
            await enter(connected(server, way, WATCHED, OPEN, headers=headers))
            for server, way in zip(cluster, ("websocket", "polling", "upgrade"), strict=True)
        ]
        simple = await enter(plain(cluster[1], "watched/", additional_headers=headers))
        busy = await call_time(rights)
        changed_at = await rights.call("change", cause, name, key, namespace="/rights")
        dropped = [await dropped_at(client) for client in clients]
        busy = max(busy, await call_time(rights))
        assert (await simple.receive())["event"] == "goodbye"
        assert (await simple.closed())[0] in (4401, 4403)
        for client in clients:
            logged_in, _ = await client.got("goodbye", WATCHED)  # with its offset, as ever
            old, new, _ = await client.got("changed", OPEN)
            assert (old, new) == (pk, pk if logged_in else None)
            assert client.io.connected
            assert client.left.empty()
        return max(dropped) - changed_at - STEPS * busy


async def call_time(client: Client) -> float:
    """Return how many seconds a call takes that looks something up."""
    began = time.monotonic()
    await client.call("take rights", "nobody of that name", namespace="/rights")
    return time.monotonic() - began


async def dropped_at(client: Client) -> float:
    """Wait until a client is disconnected from the namespace; return when that was."""
    async with asyncio.timeout(DEADLINE):
        assert (await client.left.get())[0] == WATCHED
    return time.time()
