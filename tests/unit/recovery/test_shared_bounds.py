"""What is kept of clients that are away is bounded where hubs share a log, as elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from realtime.cluster.targets import Target
from realtime.recovery.sessions import Sessions
from tests.unit.conftest import Serve
from tests.unit.probes import DEADLINE
from tests.unit.recovery.test_recovery import Rooms
from tests.unit.recovery.test_shared_log import Server, _quick, texts, two, until, valkey

__all__ = ["_quick", "two", "valkey"]

pytestmark = pytest.mark.slow

BOUND = 100_000

Two = tuple[Server, Server]


@pytest.fixture(autouse=True)
def _bounded(_quick: None, serve: Serve) -> None:
    serve(Rooms, RECOVERY={"SECONDS": 60, "LOG": "redis", "AWAY_BYTES": BOUND})


def sessions_of(server: Server) -> Sessions:
    """Return the clients of a hub that are away."""
    assert server.hub.recovery is not None
    return server.hub.recovery.sessions


async def has_forgotten(server: Server, pid: str) -> bool:
    """Tell whether Redis has nothing of a session."""
    (found,) = await server.layer.run(("EXISTS", server.layer.session(pid)))
    return not found


async def test_the_oldest_are_told(two: Two) -> None:
    """Wherever they come back: what had to go is not in Redis either."""
    one, other = two
    clients = [await one.client("a") for _ in range(12)]
    for client in clients:
        await client.call("keep", "text", "x" * 10_000)
    for client in clients:
        client.drop()
        assert sessions_of(one).bytes <= BOUND
    kept = len(sessions_of(one))
    assert 3 < kept < 12
    one.emit("a", 1)
    async with asyncio.timeout(DEADLINE):
        for client in clients[:-kept]:
            while not await has_forgotten(one, client._pid):
                await asyncio.sleep(0.01)
    for number, client in enumerate(clients):
        await (one, other)[number % 2].take(client)
    assert [client.recovered for client in clients] == [False] * (12 - kept) + [True] * kept
    for client in clients[-kept:]:
        assert await texts(client, 1) == [1]


async def test_what_others_make_them_join_counts(two: Two) -> None:
    one, other = two
    first, second = [await one.client("a") for _ in range(2)]
    sessions = sessions_of(one)
    first.drop()
    second.drop()
    for number in range(80):
        await other.command(Target("/", ("a",)), "join", f"room {number}".ljust(200))
    await until(lambda: len(sessions) == 1)
    await one.take(first)
    await other.take(second)
    assert [first.recovered, second.recovered] == [False, True]
    assert len((await second.call("state"))["rooms"]) == 81
