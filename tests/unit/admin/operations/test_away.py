"""What staff do with clients that are away: they stand in the lists with all others."""

from __future__ import annotations

import pytest
from django.test import AsyncClient
from pytest_django import Settings

from realtime.hub.hub import Hub
from tests.unit.probes import DEADLINE

from .conftest import NEWS, Crowd, do, room_key, said


@pytest.fixture(autouse=True)
def _recovery(settings: Settings) -> None:
    settings.REALTIME = {
        **settings.REALTIME,
        "RECOVERY": {"SECONDS": 120, "PRESENCE_SECONDS": 120},
    }


async def drop(hub: Hub, crowd: Crowd, *names: str) -> list[str]:
    """Let clients drop, and see that this is written; return their sids."""
    for name in names:
        crowd[name].drop()
    await hub.observers.wait_written()
    assert hub.stats()["away"] == len(names)
    return [crowd[name].sid for name in names]


async def test_disconnect(browser: AsyncClient, crowd: Crowd, hub: Hub) -> None:
    """They are gone at once, and told so when they come."""
    await drop(hub, crowd, "ann", "bob", "cleo")
    sids = [crowd["ann"].sid, crowd["bob"].sid]
    response = await do(browser, "disconnect_socket", *sids)
    assert said(response) == [("success", "2 sockets were disconnected.")]
    assert hub.stats()["away"] == 1
    for name, recovered in (("ann", False), ("bob", False), ("cleo", True)):
        await crowd[name].connect()
        assert crowd[name].recovered is recovered, name


async def test_disconnect_a_room(browser: AsyncClient, crowd: Crowd, hub: Hub) -> None:
    await drop(hub, crowd, "ann", "cleo")
    response = await do(browser, "disconnect_socket", room_key("b"), model="room")
    assert said(response) == [("success", "2 sockets were disconnected.")]
    await crowd["bob"].closed(DEADLINE)
    assert hub.stats()["away"] == 1
    await crowd["ann"].connect()
    assert not crowd["ann"].recovered


async def test_send_and_join(browser: AsyncClient, crowd: Crowd, hub: Hub) -> None:
    sids = await drop(hub, crowd, "ann")
    await do(browser, "join_room", *sids, **{"do-room": "Зал"})
    await do(browser, "send_event", *sids, **NEWS)
    await crowd["ann"].connect()
    assert crowd["ann"].recovered
    assert await crowd["ann"].receive() == ("news", "hi", 1)
    assert "Зал" in await crowd["ann"].call("join")
