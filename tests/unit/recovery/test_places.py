"""Users with as many connections as they may have, of which one has dropped unnoticed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from django.contrib.auth.models import User

from realtime.exceptions import TooManyConnections
from realtime.hub.hub import Hub
from realtime.testing import Client
from realtime.utils.limits import ConnectionLimits
from tests.unit.conftest import Connect, Serve
from tests.unit.recovery.test_recovery import RECOVERY, Rooms

ADA = User(pk=7, username="ada", password="a")


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Rooms, RECOVERY=RECOVERY, MAX_CONNECTIONS_PER_USER=2, MAX_CONNECTIONS_PER_ADDRESS=10)


async def is_refused(client: Client) -> bool:
    """Let a client connect, and tell whether the server has ended that."""
    coming = asyncio.ensure_future(client.connect())
    while client._session is None:
        await asyncio.sleep(0)
    closed = asyncio.ensure_future(client._session.closed.wait())
    await asyncio.wait([coming, closed], return_when=asyncio.FIRST_COMPLETED)
    refused = not coming.done()
    for task in (coming, closed):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return refused


async def test_who_comes_back_takes_the_place_of_who_it_was(hub: Hub, connect: Connect) -> None:
    first, second = [await connect(user=ADA) for _ in range(2)]
    for _ in range(3):
        old, pid = first._session, first._pid
        await first.connect()  # on another connection, while nobody has noticed the drop
        assert first.recovered
        assert first._pid == pid
        assert old is not None
        assert old.closed.happened
    assert (await second.call("state"))["rooms"] == []
    assert await is_refused(Client(user=ADA))
    assert hub.stats()["connections"] == 2
    await second.disconnect()
    third = await connect(user=ADA)
    assert (await third.call("state"))["lost"] is False
    await first.disconnect()
    await third.disconnect()
    assert not hub.limits._counts


async def test_who_brings_nothing_or_what_is_not_there_is_refused(
    hub: Hub, connect: Connect, records: list[Any]
) -> None:
    first, second = [await connect(user=ADA) for _ in range(2)]
    stranger = await connect(user=User(pk=8, username="bob"))
    for auth in ({}, {"pid": "nobody"}, {"pid": stranger._pid}, {"pid": first._pid + "x"}):
        assert await is_refused(Client(user=ADA, auth=auth))
    for client in (first, second, stranger):
        assert await client.call("state")
    refused = [record for record in records if record.args[0] == "refused"]
    assert len(refused) == 4
    assert all("this user has 2 connections" in record.getMessage() for record in refused)
    # Of one that is away, and has a place no more, there is none to take.
    first.drop()
    third = await connect(user=ADA)
    assert await is_refused(first)
    await third.disconnect()
    await first.connect()
    assert first.recovered


async def test_who_has_not_said_what_it_comes_back_to_is_counted(connect: Connect) -> None:
    limits = ConnectionLimits(per_user=2, per_address=0)
    leave = [limits.admit_returning("7") for _ in range(2)]
    with pytest.raises(TooManyConnections, match="2 more of this user"):
        limits.admit_returning("7")
    limits.admit_returning("8")()
    leave.pop()()
    limits.admit_returning("7")()
    leave.pop()()
    assert not limits._counts
    assert limits.bounds_users
    assert not ConnectionLimits(per_user=0, per_address=1).bounds_users
