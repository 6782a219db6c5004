"""A client that drops at one hub, and is refused when it comes back, there or at another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from realtime import ConnectionRefused, NamespaceConsumer
from realtime.models import Socket
from realtime.signals import socket_disconnected
from tests.unit.conftest import Serve
from tests.unit.presence.conftest import ask, writer_of
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until

RECOVERY = {"SECONDS": 600, "PRESENCE_SECONDS": 300}


class Closing(NamespaceConsumer):
    """Lets clients in until it is closed."""

    closed = False

    async def connect(self, auth: dict[str, Any]) -> None:
        if self.closed:
            raise ConnectionRefused("closed")
        self.join("a")


@pytest.fixture
def left() -> Iterator[asyncio.Queue[str]]:
    """The sids of those who are told to be gone."""
    sids: asyncio.Queue[str] = asyncio.Queue()

    async def hear(*, sid: str, **kwargs: Any) -> None:
        sids.put_nowait(sid)

    socket_disconnected.connect(hear)
    yield sids
    socket_disconnected.disconnect(hear)


@pytest.mark.parametrize("place", [0, 1])
async def test_who_is_refused_is_gone(
    presence: None,
    start: Start,
    serve: Serve,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    left: asyncio.Queue[str],
    place: int,
) -> None:
    serve(Closing, RECOVERY=RECOVERY)
    servers: list[Server] = [await start(), await start()]
    await until(lambda: all(writer_of(server.hub).server_id for server in servers))
    client = await servers[0].client()
    sid = client.sid
    client.drop()
    assert servers[0].hub.stats()["away"] == 1
    monkeypatch.setattr(Closing, "closed", True)
    with pytest.raises(ConnectionRefused):
        await servers[place].take_back(client)
    async with asyncio.timeout(DEADLINE):
        assert await left.get() == sid
        while await ask(Socket.objects.exists):
            await asyncio.sleep(0.01)
    assert all(server.hub.stats()["away"] == 0 for server in servers)
    await until(lambda: not any(("/", "a") in server.hub.holds for server in servers))
    assert left.empty()
