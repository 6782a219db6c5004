"""How much is kept, and for how long: whoever needed more is told, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.recovery.travellers import Driver, Traveller, Travels, driver_at

EVENTS = 20
BYTES = 20_000
AWAY_BYTES = 200_000


@pytest.fixture
def server(kind: str, shared_server: ServerFactory) -> LiveServer:
    """A server that keeps little."""
    bounds = {"EVENTS": EVENTS, "BYTES": BYTES, "AWAY_BYTES": AWAY_BYTES}
    return shared_server(kind, RECOVERY={"SECONDS": 120, **bounds})


@pytest.fixture
async def driver(server: LiveServer) -> AsyncIterator[Driver]:
    """Who sends to others, at the server."""
    async with driver_at(server) as driver:
        yield driver


async def was_told(client: Traveller) -> None:
    """See that a client was told, and its consumer as well."""
    client.has_lost()
    state = await client.state()
    assert (state["recovered"], state["lost"]) == (False, True)


async def test_as_many_events_as_fit(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    async with client.away():
        await driver.count([room], 0, EVENTS)
    await client.got(*range(EVENTS))


async def test_more_events_than_fit(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """Only who has missed the first of them is told."""
    early, late = await travel(server, room), await travel(server, room)
    await early.drop()
    await driver.count([room], 0, EVENTS)
    await late.got(*range(EVENTS))
    async with late.away():
        await driver.count([room], EVENTS, EVENTS + 5)
    await late.got(*range(EVENTS, EVENTS + 5))
    await early.come_back()
    await was_told(early)
    await driver.emit([room], "new")
    await early.got("new")


async def test_more_bytes_than_fit(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    early, late = await travel(server, room), await travel(server, room)
    await early.drop()
    for number in range(3):
        await driver.emit([room], number, "x" * (BYTES // 4))
    await late.drop()
    for number in range(3, 6):
        await driver.emit([room], number, b"x" * (BYTES // 4))
    await early.come_back()
    await was_told(early)
    await late.come_back()
    late.has_recovered()
    await late.got(*range(6))


async def test_one_event_that_is_larger_than_all(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    await client.drop()
    await driver.emit([room], 0, "x" * BYTES * 2)
    await client.come_back()
    await was_told(client)
    async with client.away():
        await driver.emit([room], 1)
    await client.got(1)


async def test_a_noisy_room_does_not_push_out_a_quiet_one(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    quiet, both = await travel(server, room), await travel(server, room, room + "noisy")
    listener = await travel(server, room + "noisy")
    await quiet.drop()
    await both.drop()
    await driver.emit([room], 0)
    await driver.count([room + "noisy"], 0, EVENTS * 3)
    await driver.do("count", "/recovery/other", [], 0, EVENTS * 3)
    await driver.emit([room], 1)
    await quiet.come_back()
    quiet.has_recovered()
    await quiet.got(0, 1)
    await both.come_back()
    await was_told(both)
    await listener.got(*range(EVENTS * 3))


async def test_many_rooms_share_the_process(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """What is kept in all is 16 times as much: the largest give way, and small ones stay."""
    rooms = [f"{room} {number}" for number in range(24)]
    members = [await travel(server, name) for name in rooms]
    quiet = await travel(server, room)
    for client in (*members, quiet):
        await client.drop()
    await driver.emit([room], 0)
    for name in rooms:
        for number in range(4):
            await driver.emit([name], number, "x" * (BYTES // 5))
    for client in (*members, quiet):
        await client.come_back()
    quiet.has_recovered()
    await quiet.got(0)
    lost = 0
    for client in members:
        if client.back["/recovery"]["recovered"]:
            await client.got(*range(4))
        else:
            lost += 1
            await was_told(client)
    assert lost


async def test_more_clients_than_fit(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """Those that have been away for the longest are told, and no others."""
    clients = [await travel(server, room) for _ in range(16)]
    for client in clients:
        await client.socket.call("remember", "text", "x" * (AWAY_BYTES // 16))
    for client in clients:
        await client.drop()
        await server.logged(f"disconnect namespace=/recovery sid={client.sid} ")
    await driver.emit([room], 0)
    for client in clients:
        await client.come_back()
    told = [not client.back["/recovery"]["recovered"] for client in clients]
    assert told == sorted(told, reverse=True)
    assert told[0]
    assert not any(told[-8:])
    for client, was_too_much in zip(clients, told, strict=True):
        if was_too_much:
            await was_told(client)
        else:
            client.has_recovered()
            await client.got(0)


async def test_away_for_too_long(
    shared_server: ServerFactory, kind: str, travel: Travels, room: str
) -> None:
    server = shared_server(kind, RECOVERY={"SECONDS": 1, "PRESENCE_SECONDS": 0})
    async with driver_at(server) as driver:
        client = await travel(server, room)
        await driver.emit([room], 0)
        await client.got(0)
        await client.drop()
        await driver.emit([room], 1)
        await asyncio.sleep(2.5)
        await client.come_back()
        await was_told(client)
        await driver.emit([room], 2)
        await client.got(2)
