"""How much memory clients that are away take, and how much of it is counted."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from realtime.hub.hub import Hub
from realtime.recovery.footprint import Footprint
from realtime.recovery.log import Packet
from realtime.recovery.session import Missed, Session
from realtime.testing import Client
from tests.unit.conftest import Serve
from tests.unit.recovery.test_index import new_session
from tests.unit.recovery.test_recovery import Rooms


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Rooms, RECOVERY={"SECONDS": 60})


def missed(number: int) -> Missed:
    """Return an event that another hub had for a client."""
    return Missed((f"name {number}",), Packet(str(number), "x" * 1_000, (b"y" * 1_000,)))


def test_what_is_counted_is_taken_off_again() -> None:
    """Whatever rooms were joined and left meanwhile, and who else had missed the same."""
    chance = random.Random(7)
    footprint, there = Footprint(), list[Session]()
    common = [missed(number) for number in range(20)]
    for number in range(500):
        session = new_session(number, rooms=[f"room {each}" for each in range(number % 4)])
        session.tail = tuple(chance.sample(common, chance.randint(0, 5)))
        there.append(session)
        footprint.add(session)
        session = chance.choice(there)
        room = f"room {chance.randint(0, 9)}"
        if room in session.rooms:
            session.rooms.remove(room)
            session.trail.leave(room, number)
        else:
            session.rooms.add(room)
            session.trail.join(room, number)
        footprint.update(session)
        anew = Footprint()
        if len(there) > 20:
            gone = there.pop(chance.randrange(len(there)))
            for _ in range(2):
                footprint.remove(gone)
        for session in there:
            anew.add(session)
        assert footprint.bytes == anew.bytes
    for session in there:
        footprint.remove(session)
    assert footprint.bytes == 0
    assert not footprint._sizes
    assert not footprint._packets


def test_what_many_have_missed_counts_once() -> None:
    footprint = Footprint()
    event = missed(1)
    sizes = []
    for number in range(3):
        session = new_session(number)
        session.tail = (event,)
        before = footprint.bytes
        footprint.add(session)
        sizes.append(footprint.bytes - before)
    assert sizes[0] > sizes[1] + 2_000
    assert sizes[1] == sizes[2]


def with_nothing(number: int) -> dict[str, Any]:
    return {}


def with_a_user(number: int) -> dict[str, Any]:
    return {"user": User(pk=number, username=f"user {number}")}


def in_rooms_of_its_own(number: int) -> dict[str, Any]:
    return {"auth": {"rooms": [f"room {number} {each}".ljust(200) for each in range(10)]}}


def in_common_rooms(number: int) -> dict[str, Any]:
    return {"auth": {"rooms": [f"room {each}" for each in range(10)]}}


def with_a_long_header(number: int) -> dict[str, Any]:
    header = (b"user-agent", str(number).encode() * 2_000)
    return {"scope": {"headers": [header]}}


@pytest.mark.parametrize(
    ("of", "data"),
    [
        (with_nothing, ""),
        (with_nothing, "x" * 10_000),
        (with_a_user, ""),
        (in_rooms_of_its_own, ""),
        (in_common_rooms, ""),
        (with_a_long_header, ""),
    ],
)
async def test_it_is_about_what_they_take(
    hub: Hub, of: Callable[[int], dict[str, Any]], data: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="realtime")  # it would keep all that is logged
    assert hub.recovery is not None
    sessions = hub.recovery.sessions

    async def drop(numbers: range) -> None:
        for number in numbers:
            client = Client("/", **of(number))
            await client.connect()
            if data:
                await client.call("keep", "text", f"{data} {number}")
            client.drop()
            assert client._reading is not None
            client._reading.cancel()  # a network's connection would have ended
            await asyncio.wait([client._reading])

    await drop(range(20))
    gc.collect()
    tracemalloc.start()
    try:
        before, counted = tracemalloc.get_traced_memory()[0], sessions.bytes
        await drop(range(20, 220))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(sessions) == 220
    assert 0.5 * taken < sessions.bytes - counted < 3 * taken
