"""Processes that stop, are restarted one by one, and are killed, with clients on them."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.conftest import ClusterFactory, ServerFactory
from tests.processes import CLEAN_EXITS, clean_exits
from tests.recovery.conftest import RECOVERY
from tests.recovery.travellers import Driver, Traveller, Travels, counting, driver_at

OPTIONS = {"realtime": {"RECOVERY": RECOVERY}}


async def stop(cluster: object, index: int, number: int = signal.SIGTERM) -> None:
    """Stop a server as its system would, or by another signal."""
    server = cluster[index]  # type: ignore[index]
    code = await asyncio.to_thread(server.stop, 30, number)
    assert code in clean_exits(number), server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
@pytest.mark.parametrize("kinds", [("daphne", "uvicorn"), ("uvicorn", "daphne")])
async def test_a_signal(
    new_cluster: ClusterFactory,
    layer: str,
    kinds: tuple[str, str],
    number: int,
    travel: Travels,
    room: str,
) -> None:
    """Who is connected and who is away find at the other process what they had."""
    cluster = new_cluster(kinds, layer=layer, **OPTIONS)
    async with driver_at(cluster[1]) as driver:
        away, silent, here = [await travel(cluster[0], room) for _ in range(3)]
        polling = await travel(cluster[0], room, way="polling")
        await driver.emit([room], 0)
        for client in (away, silent, here, polling):
            await client.got(0)
        await away.drop()
        await silent.drop(noticed=False)
        await driver.emit([room], 1)
        await here.got(1)
        here.line.lead_to(cluster[1])
        polling.line.lead_to(cluster[1])
        await stop(cluster, 0, number)
        for client in (here, polling):
            await client.lose_connection()
            await client.be_back()
            client.has_recovered()
        await driver.emit([room], 2)
        await driver.emit([away.sid], 3)
        for client in (away, silent):
            await client.come_back(cluster[1])
            client.has_recovered()
        await driver.emit([room], 4)
        await away.got(1, 2, 3, 4)
        await silent.got(1, 2, 4)
        await here.got(2, 4)
        await polling.got(1, 2, 4)


@pytest.mark.parametrize("kinds", [("daphne", "uvicorn"), ("uvicorn", "daphne")])
async def test_two_that_are_told_to_stop_at_once(
    new_cluster: ClusterFactory, layer: str, kinds: tuple[str, str], travel: Travels, room: str
) -> None:
    """Neither gives the other what that would lose: the third has all, of who is away as well."""
    cluster = new_cluster((*kinds, "uvicorn"), layer=layer, **OPTIONS)
    async with driver_at(cluster[2]) as driver:
        clients = [await travel(cluster[number % 2], room) for number in range(6)]
        await driver.emit([room], 0)
        for client in clients:
            await client.got(0)
        away, here = clients[:4], clients[4:]
        for client in away:
            await client.drop()
        for client in here:
            client.line.lead_to(cluster[2])
        await asyncio.gather(stop(cluster, 0), stop(cluster, 1))
        for client in here:
            await client.lose_connection()
            await client.be_back()
        await driver.emit([room], 1)
        for client in away:
            await client.come_back(cluster[2])
        for client in clients:
            client.has_recovered()
            await client.got(1)


async def send_until(over: asyncio.Event, driver: Driver, room: str, name: str) -> int:
    """Send numbers to a room; return how many."""
    count = 0
    while not over.is_set():
        await driver.emit([room], [name, count])
        count += 1
        await asyncio.sleep(0.01)
    return count


async def has_all(client: Traveller, expected: dict[str, int]) -> None:
    """See that a client gets each sender's numbers, in order and once."""
    arrived: dict[str, list[int]] = {name: [] for name in expected}
    for _ in range(sum(expected.values())):
        (name, count), *_ = await client.socket.got("n")
        arrived[name].append(count)
    assert arrived == {name: list(range(count)) for name, count in expected.items()}
    await client.state()
    assert not client.node.has_said(**client.socket.names, happened="event", event="n")


async def test_a_rolling_restart_under_load(
    new_cluster: ClusterFactory, layer: str, travel: Travels, room: str
) -> None:
    """All processes are restarted one by one, each with its clients on it."""
    cluster = new_cluster(("daphne", "uvicorn", "uvicorn"), layer=layer, **OPTIONS)
    clients = [await travel(cluster[number % 3], room) for number in range(6)]
    places = [number % 3 for number in range(6)]
    sent: dict[str, int] = {}
    for turn in range(3):
        staying = [index for index in range(3) if index != turn]
        over = asyncio.Event()
        async with (
            driver_at(cluster[staying[0]]) as one,
            driver_at(cluster[staying[1]]) as two,
            asyncio.TaskGroup() as group,
        ):
            sending = {
                name: group.create_task(send_until(over, driver, room, name))
                for name, driver in ((f"{turn} one", one), (f"{turn} two", two))
            }
            moving = [number for number, place in enumerate(places) if place == turn]
            for number in moving:
                places[number] = staying[number % 2]
                clients[number].line.lead_to(cluster[places[number]])
            await stop(cluster, turn)
            for number in moving:
                await clients[number].lose_connection()
                await clients[number].be_back()
                clients[number].has_recovered()
            await asyncio.to_thread(cluster[turn].start)
            over.set()
        sent |= {name: task.result() for name, task in sending.items()}
    for client in clients:
        await has_all(client, sent)


async def test_kill(new_cluster: ClusterFactory, layer: str, travel: Travels, room: str) -> None:
    """Under load, whoever was on it is told, or has all; who was told misses nothing after that."""
    cluster = new_cluster(("uvicorn", "daphne"), layer=layer, **OPTIONS)
    clients = [await travel(cluster[0], room) for _ in range(3)]
    other = await travel(cluster[1], room)
    async with driver_at(cluster[1]) as driver, counting(driver, room) as count:
        for client in clients:
            assert not await client.gaps(-1, 0)
        await clients[0].drop()
        for client in clients[1:]:
            client.line.lead_to(cluster[1])
        await asyncio.to_thread(cluster[0].kill)
        await clients[0].come_back(cluster[1])
        for client in clients[1:]:
            await client.lose_connection()
            await client.be_back()
        target = count.sent + 10
        for client in clients:
            if client.back["/recovery"]["recovered"]:
                assert not await client.gaps(0, target)
            else:
                client.has_lost()
                assert (await client.state())["lost"] is True
                assert await client.gaps(0, target) <= 1
        assert not await other.gaps(-1, target)


async def test_the_in_memory_layer(
    new_server: ServerFactory, kind: str, travel: Travels, room: str
) -> None:
    """Nothing outlives the process: its clients are told."""
    server = new_server(kind, **OPTIONS)
    here, away = await travel(server, room), await travel(server, room)
    await away.drop()
    code = await asyncio.to_thread(server.stop, 30)
    assert code in CLEAN_EXITS, server.log
    await here.lose_connection()
    await asyncio.to_thread(server.start)
    await here.be_back()
    await away.come_back()
    for client in (here, away):
        client.has_lost()
        assert (await client.state())["lost"] is True
    async with driver_at(server) as driver:
        await driver.emit([room], 1)
        for client in (here, away):
            async with client.away():
                await driver.emit([client.sid], 2)
            await client.got(1, 2)
