"""What is kept of clients that are away is bounded: the oldest are told, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

import realtime
from realtime.hub.hub import Hub
from realtime.recovery.sessions import Sessions
from tests.unit.conftest import Connect, Serve
from tests.unit.recovery.test_recovery import Rooms, coming_back

BOUND = 100_000


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Rooms, RECOVERY={"SECONDS": 60, "AWAY_BYTES": BOUND})


@pytest.fixture
def sessions(hub: Hub, _served: None) -> Sessions:
    """The clients of the hub that are away."""
    assert hub.recovery is not None
    return hub.recovery.sessions


async def test_the_oldest_are_told(
    connect: Connect, sessions: Sessions, records: list[Any]
) -> None:
    clients = [await connect(auth={"rooms": ["a"]}) for _ in range(12)]
    for client in clients:
        await client.call("keep", "text", "x" * 10_000)
    for client in clients:
        client.drop()
        assert sessions.bytes <= BOUND
    realtime.to("a").emit("n", 1)
    kept = len(sessions)
    assert 3 < kept < 12
    for client in clients:
        await client.connect()
    assert [client.recovered for client in clients] == [False] * (12 - kept) + [True] * kept
    for client in clients[-kept:]:
        assert (await client.receive())[-1] == 1
    full = [record for record in records if record.args[0] == "sessions-full"]
    assert sum(record.realtime["sessions"] for record in full) == 12 - kept


async def test_who_connects_and_drops_again_and_again(connect: Connect, sessions: Sessions) -> None:
    """Nothing of those that had to go is left."""
    for number in range(100):
        client = await connect(auth={"rooms": [f"room {number}"]})
        client.drop()
        assert sessions.bytes <= BOUND
    rooms = {room for session in sessions for room in session.rooms}
    assert len(rooms) == len(sessions) < 30
    assert {room for _, room in sessions._holds._counts if room} == rooms
    sessions.close()
    assert sessions.bytes == 0
    assert not sessions._holds._counts


async def test_what_others_make_them_join_counts(connect: Connect, sessions: Sessions) -> None:
    first, second = [await connect(auth={"rooms": ["a"]}) for _ in range(2)]
    first.drop()
    second.drop()
    for number in range(80):
        realtime.to("a").join(f"room {number}".ljust(200))
        assert sessions.bytes <= BOUND
    assert len(sessions) == 1
    for _ in range(2_000):
        realtime.to("a").join("again and again")
        realtime.to("a").leave("again and again")
        assert sessions.bytes <= BOUND
    await first.connect()
    await second.connect()
    assert not first.recovered


async def test_who_is_about_to_come_back_does(
    connect: Connect, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest = await connect()
    oldest.drop()
    others = [await connect() for _ in range(60)]
    async with coming_back(oldest, monkeypatch):
        for client in others:
            client.drop()
        assert sessions.bytes <= BOUND
        assert oldest.sid in [session.sid for session in sessions]
        oldest.drop()
