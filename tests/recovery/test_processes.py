"""Clients that come back to another process: they find there what they had, and miss nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.clients.wire import eventually
from tests.cluster.outside.conftest import of_cluster, run
from tests.clusters import LAYERS, LiveCluster
from tests.conftest import ClusterFactory
from tests.recovery.conftest import RECOVERY
from tests.recovery.travellers import NAMESPACE, Driver, Travels, counting, driver_at
from tests.valkey import Valkey

SCRIPT = "realtime.of('/recovery').to(sys.argv[1]).emit('n', int(sys.argv[2]))"
LOG_OUT = """
from django.contrib.auth import SESSION_KEY, get_user_model, logout
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
request = HttpRequest()
request.session = SessionStore(sys.argv[2])
request.user = get_user_model().objects.get(pk=request.session[SESSION_KEY])
logout(request)
"""
KINDS = ("daphne", "uvicorn", "uvicorn")

# How many messages wait in the layer for a server before their senders wait, too.
MAX_WAITING = 50

# Who is away counts as there all the time.
REALTIME = {"RECOVERY": {**RECOVERY, "PRESENCE_SECONDS": RECOVERY["SECONDS"]}}


@pytest.fixture(scope="module", params=LAYERS)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """Three servers, on each layer in turn; nobody stops them."""
    with LiveCluster(KINDS, valkey, request.param, realtime=REALTIME) as cluster:
        yield cluster


@pytest.fixture
async def drivers(cluster: LiveCluster) -> AsyncIterator[list[Driver]]:
    """Who sends to others, at each server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(driver_at(server)) for server in cluster]


@pytest.mark.parametrize("way", ["websocket", "polling", "upgrade"])
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_another_process(
    cluster: LiveCluster,
    travel: Travels,
    drivers: list[Driver],
    room: str,
    way: str,
    noticed: bool,
) -> None:
    """What was sent from everywhere while it was away follows it, and what comes after."""
    client = await travel(cluster[0], room, way=way)
    number = 0
    for place in (1, 2, 0):
        for driver in drivers:
            await driver.emit([room], number)
            number += 1
            await client.got(number - 1)
        async with client.away(noticed=noticed, back_at=cluster[place]):
            for driver in drivers:
                await driver.emit([client.sid], number)
                number += 1
        await client.got_all(*range(number - 3, number))  # each of another sender
    assert (await client.state())["rooms"] == [room]
    for driver in drivers:
        await driver.emit([client.sid], number)
        await client.got(number)
        await driver.emit([], number + 1)
        await client.got(number + 1)


async def test_a_client_that_has_had_no_event(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str
) -> None:
    client = await travel(cluster[0], room)
    async with client.away(back_at=cluster[1]):
        await drivers[2].count([room], 0, 3)
    async with client.away(back_at=cluster[2]):
        await drivers[0].count([room], 3, 6)
    await client.got(*range(6))


async def test_several_namespaces_move_together(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str
) -> None:
    client = await travel(cluster[0], room)
    await client.enter("/recovery/other", rooms=[room])
    await client.socket.call("remember", "cart", [1])
    for place in (1, 2):
        async with client.away(noticed=place == 1, back_at=cluster[place]):
            await drivers[0].count([room], place * 10, place * 10 + 3)
            await drivers[1].do("count", "/recovery/other", [room], place, place + 1)
    await client.got(10, 11, 12, 20, 21, 22)
    await client.got(1, 2, namespace="/recovery/other")
    assert (await client.state())["data"] == {"cart": [1]}


async def test_what_is_done_to_it_from_elsewhere_while_it_is_away(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str
) -> None:
    client = await travel(cluster[0], room)
    async with client.away(back_at=cluster[1]):
        await drivers[2].do("move", NAMESPACE, [client.sid], "join", room + "b")
        await drivers[2].do("move", NAMESPACE, [client.sid], "leave", room)
        await drivers[1].emit([room], "too late")
        await drivers[1].emit([room + "b"], 1)
    assert (await client.state())["rooms"] == [room + "b"]
    async with client.away(back_at=cluster[2]):
        # By its sid, which still names the first.
        await drivers[0].do("move", NAMESPACE, [client.sid], "join", room)
        await drivers[2].emit([room], 2)
    await client.got(1, 2)
    await client.drop()
    await drivers[1].do("end", NAMESPACE, [client.sid])
    await client.come_back(cluster[0])
    client.has_lost()


@pytest.mark.parametrize("how", ["log_out", "change_password", "outside"])
async def test_a_logout_ends_at_once_who_is_away_anywhere(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str, how: str
) -> None:
    name = f"user {room}"
    key = await drivers[2].do("log_in", name)
    options = {"extraHeaders": {"Cookie": f"sessionid={key}"}}
    clients = [await travel(cluster[0], room, options=options) for _ in range(2)]
    other = await travel(cluster[0], room)
    for client in (clients[0], other):
        async with client.away(back_at=cluster[1]):
            pass
        await client.drop()
    await clients[1].drop()
    await eventually(lambda: counts(drivers[2], room, 3))
    if how == "outside":
        env = of_cluster(cluster, REALTIME_OVERRIDES=json.dumps(REALTIME))
        await asyncio.to_thread(run, LOG_OUT, env, room, key)
    else:
        await drivers[2].do(how, key if how == "log_out" else name)
    await eventually(lambda: counts(drivers[2], room, 1))
    for place, client in enumerate(clients):
        await client.come_back(cluster[place])
        client.has_lost()
    await other.come_back(cluster[2])
    other.has_recovered()


async def counts(driver: Driver, room: str, count: int) -> bool:
    """Tell whether so many count as there, in a room."""
    return bool(await driver.do("count_there", NAMESPACE, [room]) == count)


async def test_emits_from_a_process_without_clients(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str
) -> None:
    client = await travel(cluster[0], room)
    env = of_cluster(cluster)
    async with client.away(back_at=cluster[1]):
        for number in range(2):
            await asyncio.to_thread(run, SCRIPT, env, room, str(number))
    await drivers[0].emit([room], 2)
    await client.got(0, 1, 2)


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_to_and_fro_under_load(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str, noticed: bool
) -> None:
    """
    Each sender's events stay in order, and none is missing nor there twice, as long as the layer
    keeps up: a server that is seconds behind it takes something for lost.
    """
    client = await travel(cluster[0], room)
    over = asyncio.Event()

    async def send(driver: Driver, name: str) -> int:
        count = 0
        while not over.is_set():
            await driver.emit([room] if count % 2 else [client.sid], [name, count])
            count += 1
            await eventually(lambda: cluster.waiting() < MAX_WAITING)
        return count

    async with asyncio.TaskGroup() as group:
        senders = [
            group.create_task(send(driver, name))
            for driver, name in zip(drivers, "abc", strict=True)
        ]
        for place in (1, 2, 0, 1, 1, 2):
            async with client.away(noticed=noticed, back_at=cluster[place]):
                pass
        over.set()
    expected = {name: task.result() for name, task in zip("abc", senders, strict=True)}
    arrived: dict[str, list[int]] = {name: [] for name in expected}
    story = []
    for _ in range(sum(expected.values())):
        (name, count), offset = await client.socket.got("n")
        assert count not in arrived[name], f"{name} {count} twice, at {offset}: {story}"
        arrived[name].append(count)
        story.append((name, count, offset))
    for name, counts in arrived.items():
        assert sorted(counts) == list(range(expected[name]))
        for to_room in (0, 1):  # one target each
            assert [count for count in counts if count % 2 == to_room] == list(
                range(to_room, expected[name], 2)
            )
    await client.socket.call("state")
    assert not client.node.has_said(**client.socket.names, happened="event", event="n")


@pytest.mark.parametrize("how_long", ["shortly", "for long"])
async def test_a_process_that_stands_still(
    new_cluster: ClusterFactory, layer: str, travel: Travels, room: str, how_long: str
) -> None:
    """
    Its client comes back to another one, which asks it in vain for some time or for good: the
    client misses nothing, or is told, and what the old one remembers doubles nothing.
    """
    cluster = new_cluster(("uvicorn", "daphne"), layer=layer, realtime={"RECOVERY": RECOVERY})
    still, other = cluster
    client = await travel(still, room)
    async with driver_at(other) as driver, counting(driver, room) as count:
        assert not await client.gaps(-1, 0)
        with still.frozen():
            await client.drop(noticed=False)
            client.line.lead_to(other)
            client.line.mend()
            await client.node.said(manager=client.manager, happened="open")
            if how_long == "for long":
                await client.be_back()
        if how_long == "shortly":
            await client.be_back()
        told = not client.back[NAMESPACE]["recovered"]
        assert told or how_long == "shortly"
        await client.drop()
        await client.come_back(still)
        told += not client.back[NAMESPACE]["recovered"]
        gaps = await client.gaps(0, count.sent + 10)
        assert gaps <= told + await client.was_told()
