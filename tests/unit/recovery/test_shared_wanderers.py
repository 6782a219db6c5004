"""Clients on polling whose requests come to another hub for good, where hubs share a log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.cluster.targets import Target
from realtime.testing import Client
from realtime.transports import courses
from tests.unit.cluster.pollers import Poller, serve
from tests.unit.probes import DEADLINE
from tests.unit.recovery.test_shared_log import Server, _quick, texts, two, valkey

__all__ = ["_quick", "two", "valkey"]

pytestmark = pytest.mark.slow

Two = tuple[Server, Server]


class Wanderer(Poller):
    """Keeps the last offset that it has got."""

    offset = ""

    async def event(self) -> Any:
        """Return the next event's argument."""
        while True:
            async with asyncio.timeout(DEADLINE):
                packet = str(await self.got.get())
            if packet.startswith("42"):
                _, argument, self.offset = json.loads(packet[2:])
                return argument

    async def drop(self) -> Client:
        """Send nothing more; return the client as it comes back elsewhere."""
        await self.stop()
        auth = {"pid": self.connected["pid"]}
        return Client(auth={**auth, "offset": self.offset} if self.offset else auth)


@pytest.fixture
async def wanderer(two: Two, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wanderer]:
    """A client in the room "a", at the first hub."""
    monkeypatch.setattr(courses, "REQUESTS", 4)
    monkeypatch.setattr(courses, "SECONDS", 0.0)
    serve(*two)  # type: ignore[arg-type]
    come: Any = Wanderer.come
    wanderer: Wanderer = await come(two[0], {"rooms": ["a"]})
    yield wanderer
    await wanderer.stop()


async def test_what_is_sent_meanwhile_comes_once(two: Two, wanderer: Wanderer) -> None:
    one, other = two
    over = asyncio.Event()
    sent = {"one": 0, "other": 0}

    async def send(name: str, server: Server) -> None:
        while not over.is_set():
            server.emit("a", [name, sent[name]])
            sent[name] += 1
            await server.hub.wait_returned()
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        group.create_task(send("one", one))
        group.create_task(send("other", other))
        for way in (other, one):
            await wanderer.wander(way)  # type: ignore[arg-type]
        over.set()
    got: dict[str, list[int]] = {name: [] for name in sent}
    while any(len(got[name]) < count for name, count in sent.items()):
        name, number = await wanderer.event()
        got[name].append(number)
    assert got == {name: list(range(count)) for name, count in sent.items()}
    assert wanderer.got.empty()


@pytest.mark.parametrize("killed", [True, False])
async def test_who_drops_behind_a_move_has_its_place(
    two: Two, wanderer: Wanderer, killed: bool
) -> None:
    """Also where the new process is killed: what it had got there does not come again."""
    one, other = two
    one.emit("a", 1)
    assert await wanderer.event() == 1
    await wanderer.wander(other)  # type: ignore[arg-type]
    one.emit("a", 2)
    assert await wanderer.event() == 2
    await one.command(Target("/", ("a",)), "join", "b")
    other.emit("b", 3)
    assert await wanderer.event() == 3
    await other.hub.recovery.flush()  # type: ignore[union-attr]
    client = await wanderer.drop()
    if killed:
        await other.kill()
    one.emit("b", 4)
    await one.take(client)
    assert client.sid == wanderer.sid
    assert await texts(client, 1) == [4]
    state = await client.call("state")
    assert (state["recovered"], state["rooms"]) == (True, ["a", "b"])
    assert not client.pending()
