"""Changes of many sockets are written together, and what changes nothing is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.hub.hub import Hub
from realtime.testing import Client

from ..conftest import Connect
from ..probes import Wire
from .conftest import (
    Interference,
    read_registry,
    rows,
    until,
)


@pytest.mark.slow
async def test_a_thousand_clients_at_once_take_tens_of_transactions(
    interference: Interference, hub: Hub
) -> None:
    clients = [Client(auth={"rooms": ["a", f"own {number}"]}) for number in range(1000)]
    calls = {"timeout": 60}
    await asyncio.gather(*(client.connect(**calls) for client in clients))
    assert sum(interference.batches) == 1000
    assert await realtime.of().acount() == await realtime.to("a").acount() == 1000
    await asyncio.gather(*(client.call("join", "b", **calls) for client in clients))
    assert await realtime.to("b").acount() == 1000
    await asyncio.gather(*(client.call("leave", "a", "b", **calls) for client in clients))
    assert await realtime.to("a", "b").acount() == 0
    await asyncio.gather(*(client.disconnect() for client in clients))
    await until(lambda: not hub.stats()["tasks"], timeout=60)
    assert await rows() == {}
    assert len(interference.batches) < 400  # a hundred for each of the four


async def test_what_came_and_went_between_two_writes_is_never_written(
    interference: Interference, hub: Hub, new_wire: Any, connect: Connect
) -> None:
    stays = await connect()
    interference.batches.clear()
    interference.entered.clear()
    interference.gate.clear()
    first: Wire = new_wire()
    first.feed("40")
    await until(interference.entered.is_set)  # its row is being written
    second: Wire = new_wire()
    second.feed("40")
    await until(lambda: len(read_registry(hub)) == 3)
    second.close()
    stays.emit("join", "brief")
    stays.emit("leave", "brief")
    await until(lambda: len(read_registry(hub)) == 2)
    interference.gate.set()
    await first.next()
    await hub.observers.wait_written()
    assert interference.batches in ([1], [1, 0])
    assert await rows() == read_registry(hub)


async def test_what_is_written_while_it_goes_is_removed(
    interference: Interference, hub: Hub, new_wire: Any, connect: Connect
) -> None:
    await connect()
    interference.entered.clear()
    interference.gate.clear()
    wire: Wire = new_wire()
    wire.feed("40")
    await until(interference.entered.is_set)
    wire.close()
    interference.gate.set()
    await hub.observers.wait_written()
    await until(lambda: len(read_registry(hub)) == 1)
    await hub.observers.wait_written()
    assert await rows() == read_registry(hub)


async def test_many_rooms_at_once(connect: Connect, hub: Hub) -> None:
    client = await connect()
    names = [f"room {number}" for number in range(1200)]
    await client.call("join", *names)
    assert await rows() == {client.sid: ("/", set(names))}
    await client.call("leave", *names[:-1])
    assert await rows() == {client.sid: ("/", {names[-1]})}


async def test_nothing_waits_where_nothing_changes(
    interference: Interference, connect: Connect
) -> None:
    client = await connect()
    written = len(interference.batches)
    interference.gate.clear()
    for number in range(50):
        assert await client.call("echo", number) == number
    interference.gate.set()
    assert len(interference.batches) == written
