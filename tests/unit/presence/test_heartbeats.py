"""The heartbeat of a server's row, and rows of dead servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

import realtime
from realtime.exceptions import PresenceUnavailable
from realtime.hub.hub import Hub
from realtime.models import Membership, Server

from ..conftest import Connect
from ..probes import DEADLINE
from .conftest import (
    Interference,
    add_server,
    add_socket,
    ask,
    named,
    rows,
    until,
    writer_of,
)


async def test_the_heartbeat_goes_on(settings: Settings, hub: Hub, connect: Connect) -> None:
    settings.REALTIME = {**settings.REALTIME, "SERVER_HEARTBEAT": 0.05}
    writer_of(hub)._heartbeat = 0.05
    await connect()
    seen = [(await ask(Server.objects.get)).seen_at]
    async with asyncio.timeout(DEADLINE):
        while len(seen) < 4:
            seen += [s for s in [(await ask(Server.objects.get)).seen_at] if s > seen[-1]]
        while await realtime.of().acount() != 1:  # right after a heartbeat, if not always
            pass


@pytest.mark.parametrize("how", ["late", "removed"])
async def test_a_server_that_others_took_for_dead_comes_back(
    how: str, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    client = await connect(auth={"rooms": ["a"]})
    if how == "removed":
        await ask(lambda: Server.objects.all().delete())
    else:  # as after a pause: nobody has removed anything yet
        await ask(lambda: Server.objects.update(seen_at="2020-01-01T00:00Z"))
    with pytest.raises(PresenceUnavailable):
        await realtime.of().acount()
    await client.call("join", "b")
    await writer_of(hub).idle()
    assert await rows() == {client.sid: ("/", {"a", "b"})}
    assert await realtime.of().acount() == 1
    assert len(named(records, "presence-lost")) == 1
    assert not named(records, "presence-down")


async def test_rows_of_dead_servers_are_removed(
    settings: Settings,
    hub: Hub,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    monkeypatch.setattr("realtime.presence.store.CHUNK", 3)

    # A server counts for 300 seconds, and is removed after 330; none is near to either.
    settings.REALTIME = {**settings.REALTIME, "SERVER_HEARTBEAT": 100}

    def fill() -> None:
        for name, age in (("dead01", 1200), ("dead02", 345), ("late03", 315), ("live04", 200)):
            server = add_server(name, age)
            for number in range(7):
                add_socket(server, f"{name}-{number}", "a", "b")

    await ask(fill)
    mine = await connect()
    writer_of(hub)._next_sweep = 0
    writer_of(hub)._wake.set()
    await until(lambda: len(named(records, "presence-swept")) == 1)
    writer_of(hub)._next_sweep = 0
    writer_of(hub)._wake.set()
    await until(lambda: len(named(records, "presence-swept")) == 2)
    left = {sid[:6] for sid in await rows() if sid != mine.sid}
    assert left == {"late03", "live04"}
    assert await ask(Membership.objects.count) == 28
    assert await ask(Server.objects.count) == 3
    assert await realtime.of().acount() == 8


@pytest.mark.parametrize("error", [RuntimeError("unexpected"), asyncio.CancelledError()])
async def test_the_writer_goes_on_after_an_error_in_its_own_care(
    interference: Interference,
    hub: Hub,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
    error: BaseException,
) -> None:
    first = await connect(auth={"rooms": ["a"]})
    writer = writer_of(hub)
    fail = writer._fail

    async def fail_once(reason: Exception) -> None:
        monkeypatch.setattr(writer, "_fail", fail)
        await fail(reason)
        raise error

    monkeypatch.setattr("realtime.execution.tasks.MIN_PAUSE", 0.01)
    monkeypatch.setattr(writer, "_fail", fail_once)
    interference.error = OperationalError("the database is away")
    second = await connect(auth={"rooms": ["b"]})
    await until(lambda: named(records, "service-failed"))
    assert named(records, "service-failed")[0]["service"] == "presence"
    interference.error = None
    await until(lambda: named(records, "presence-back"))
    assert await rows() == {first.sid: ("/", {"a"}), second.sid: ("/", {"b"})}
