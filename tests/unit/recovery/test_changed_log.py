"""Hubs whose logs are in different places, as in a rolling restart that changes where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from realtime.testing import Client
from tests.unit.conftest import Serve
from tests.unit.probes import DEADLINE
from tests.unit.recovery.test_recovery import Rooms
from tests.unit.recovery.test_shared_log import Server, _quick, texts, until, valkey
from tests.unit.recovery.test_shared_takeovers import come, coming_back

__all__ = ["_quick", "valkey"]

pytestmark = pytest.mark.slow

Two = tuple[Server, Server]


class Waiting(Rooms):
    """Lets its clients in when a test says so."""

    entered: asyncio.Event
    go_on: asyncio.Event

    async def connect(self, auth: dict[str, Any]) -> None:
        await super().connect(auth)
        if auth.get("waits"):
            self.entered.set()
            await self.go_on.wait()


@pytest.fixture(params=["memory-redis", "redis-memory"])
async def two(request: pytest.FixtureRequest, serve: Serve) -> AsyncIterator[Two]:
    """Two hubs that know each other."""
    Waiting.entered, Waiting.go_on = asyncio.Event(), asyncio.Event()
    servers = []
    for log in request.param.split("-"):
        serve(Waiting, RECOVERY={"SECONDS": 60, "LOG": log})
        servers.append(Server())
    for one, other in (servers, servers[::-1]):
        await until(lambda one=one, other=other: other.hub.server_id in one.hub.cluster.reports())
    yield servers[0], servers[1]
    for server in servers:
        if not server.killed:
            await server.hub.close(grace=0.5)


async def test_what_is_sent_reaches_clients_of_both(two: Two) -> None:
    """Also the one that is being let in."""
    one, other = two
    client = await one.client("a")
    late = Client(auth={"rooms": ["a"], "waits": True})
    coming = asyncio.ensure_future(one.take(late))
    await Waiting.entered.wait()
    await one.hub.flush_local()
    other.emit("a", 1)
    assert await texts(client, 1) == [1]
    Waiting.go_on.set()
    await coming
    one.emit("a", 2)
    assert await texts(late, 2) == [1, 2]
    assert await texts(client, 1) == [2]


async def _drop(one: Server, other: Server, client: Client) -> None:
    client.drop()


async def _drop_and_stop(one: Server, other: Server, client: Client) -> None:
    client.drop()
    one.killed = True
    await one.hub.close(grace=0.5)


@pytest.mark.parametrize("leave", [_drop, _drop_and_stop])
async def test_who_comes_from_one_to_the_other_is_told(
    two: Two, leave: Callable[[Server, Server, Client], Coroutine[Any, Any, None]]
) -> None:
    """None can make anything of the other's log."""
    one, other = two
    client = await one.client("a")
    one.emit("a", 1)
    assert await texts(client, 1) == [1]
    await leave(one, other, client)
    other.emit("a", "while it was away")
    await other.take(client)
    assert not client.recovered
    state = await client.call("state", timeout=DEADLINE)
    assert (state["lost"], state["rooms"]) == (True, ["a"])
    other.emit("a", 2)
    assert await texts(client, 1) == [2]
    assert not client.pending()


async def test_who_drops_behind_a_move_is_told(two: Two) -> None:
    """Its offset is one of the log that it has left."""
    one, other = two
    mover = await come(one, "a")
    one.emit("a", 1)
    assert await mover.next() == [1]
    await mover.move(other)  # type: ignore[arg-type]
    client = coming_back(mover)
    mover.session.close("transport close")
    await other.take(client)
    assert (await client.call("state"))["lost"]
