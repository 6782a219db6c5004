"""Who comes back before it is noticed that something was lost meanwhile is told all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import group_name
from realtime.hub.hub import Hub
from realtime.recovery.recovery import Recovery
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.recovery.test_recovery import RECOVERY, Rooms, coming_back

ANYBODY = None


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Rooms, RECOVERY=RECOVERY)


@pytest.fixture
def recovery(hub: Hub) -> Recovery:
    """What lets clients come back to the test's hub."""
    assert hub.recovery is not None
    return hub.recovery


async def returned(client: Client) -> None:
    """Let a client drop, and come back."""
    client.drop()
    await client.connect()
    assert client.recovered


def is_there(client: Client) -> bool:
    """Tell whether a client is connected still."""
    session = client._session
    return session is not None and not session.closed.happened


async def is_told(client: Client) -> bool:
    """Tell whether a client was made to come once more, and is told then that it is a new one."""
    if is_there(client):
        return False
    await client.connect()
    state = await client.call("state")
    return bool(state["lost"]) and not client.recovered


@pytest.mark.parametrize("lane", [ANYBODY, group_name("/", "a"), group_name("/"), "rt.server.any"])
async def test_who_is_back_is_told(
    hub: Hub, connect: Connect, recovery: Recovery, lane: Any
) -> None:
    client = await connect(auth={"rooms": ["a"]})
    since = hub.loop.time()
    await returned(client)
    recovery.lose(lane, since)
    assert await is_told(client)
    await returned(client)  # as somebody new


async def test_it_is_told_once(hub: Hub, connect: Connect, recovery: Recovery) -> None:
    client = await connect(auth={"rooms": ["a"]})
    since = hub.loop.time()
    await returned(client)
    recovery.lose(ANYBODY, since)
    assert await is_told(client)
    recovery.lose(ANYBODY, since)
    assert is_there(client)


async def test_only_those_are_told_who_were_meant(
    hub: Hub, connect: Connect, recovery: Recovery
) -> None:
    before, there, elsewhere, left, was_in = [
        await connect(auth={"rooms": [room]}) for room in ("a", "a", "b", "a", "a")
    ]
    await returned(before)
    since = hub.loop.time()
    while hub.loop.time() == since:
        await asyncio.sleep(0)
    since = hub.loop.time()
    await left.call("quit", "a")
    await asyncio.gather(*map(returned, (elsewhere, left, was_in)))
    await was_in.call("quit", "a")
    recovery.lose(group_name("/", "a"), since)
    assert is_there(before)
    assert is_there(there)
    assert is_there(elsewhere)
    assert await is_told(left)
    assert await is_told(was_in)


async def test_who_is_coming_back(
    hub: Hub, connect: Connect, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has missed was looked up before the loss was known."""
    client = await connect(auth={"rooms": ["a"]})
    client.drop()
    since = hub.loop.time()
    async with coming_back(client, monkeypatch):
        recovery.lose(group_name("/", "a"), since)
    assert await is_told(client)


async def test_they_are_forgotten(hub: Hub, connect: Connect, recovery: Recovery) -> None:
    """What is older than all that is kept was noticed before."""
    client = await connect(auth={"rooms": ["a"]})
    since = hub.loop.time()
    await returned(client)
    recovery.returns.sweep()
    assert len(recovery.returns._sockets) == 1
    recovery.returns._now = lambda: hub.loop.time() + 1_000
    recovery.returns.sweep()
    assert not recovery.returns._sockets
    recovery.lose(ANYBODY, since)
    assert is_there(client)
