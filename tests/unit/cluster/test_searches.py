"""How long a client waits while hubs do not answer, in a time that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pytest_django import Settings

from realtime.hub.hub import Hub
from realtime.recovery import search
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server
from .layer import Bus
from .wandering import Loop

Three = tuple[Server, Server, Server]
Play = Callable[[Three], Awaitable[None]]
Stage = Callable[[Play], None]

# How long a client is away between its visits.
AWAY = 1.0


@pytest.fixture(autouse=True)
def _recovery(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 600}}


@pytest.fixture
def stage(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A function that lets three hubs play that know each other, on a loop with its own time."""
    for module in ("peers", "heartbeats"):  # nobody is taken for dead
        monkeypatch.setattr(f"realtime.cluster.{module}.EXPIRY", 1_000.0)

    async def start(there: list[Server]) -> None:
        layer = bus.connect()
        monkeypatch.setattr("realtime.hub.hub.find_layer", lambda alias, sender: layer)
        there.append(Server(Hub(), layer))
        while not all(one.has_met(*(set(there) - {one})) for one in there):
            await asyncio.sleep(0.01)

    async def go(play: Play) -> None:
        servers: list[Server] = []
        for _ in range(3):
            await start(servers)
        await asyncio.sleep(10)  # all have heard of all others by now
        try:
            await play((servers[0], servers[1], servers[2]))
        finally:
            await asyncio.gather(*(server.close() for server in servers))

    def stage(play: Play) -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(go(play))

    return stage


async def visit(client: Client, server: Server, seconds: float) -> bool:
    """Let a client come to a hub and stay for so long; tell whether it was let in, or told."""
    try:
        async with asyncio.timeout(seconds):
            await server.take_back(client)
    except TimeoutError:
        client.drop()
        return False
    return True


def test_who_drops_again_and_again_is_told_in_time(stage: Stage) -> None:
    """Its time counts from its first visit on, and not from its last one."""

    async def play(three: Three) -> None:
        client, loop = await three[0].client(user=None), three[0].hub.loop
        client.drop()
        three[0].kill()
        started = loop.time()
        while not await visit(client, three[1], search.GLANCE + 1):
            await asyncio.sleep(AWAY)
        assert not client.recovered
        assert loop.time() - started <= search.TIMEOUT + AWAY + search.GLANCE + 0.5

    stage(play)


def test_who_comes_long_after_has_its_whole_time(stage: Stage) -> None:
    """What did not answer before may be there again."""

    async def play(three: Three) -> None:
        client, loop = await three[0].client(user=None), three[0].hub.loop
        client.drop()
        three[0].kill()
        assert not await visit(client, three[1], search.TIMEOUT - 1)
        await asyncio.sleep(search.TIMEOUT + 1)
        started = loop.time()
        assert not await visit(client, three[1], search.TIMEOUT - 1)
        assert loop.time() - started == pytest.approx(search.TIMEOUT - 1, abs=0.5)
        assert await visit(client, three[1], DEADLINE)
        assert not client.recovered

    stage(play)


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_one_that_does_not_answer_keeps_no_other_from_being_asked(
    stage: Stage, again: bool
) -> None:
    """Its home is silent; where it was last is not."""

    async def play(three: Three) -> None:
        client, loop = await three[0].client(user=None), three[0].hub.loop
        client.drop()
        await three[1].take_back(client)
        assert client.recovered
        client.drop()
        three[0].kill()
        if again:
            assert not await visit(client, three[2], search.HEAD_START / 2)
        started = loop.time()
        assert await visit(client, three[2], DEADLINE)
        assert client.recovered
        assert loop.time() - started < search.TIMEOUT  # with the fence, which waits for the silent

    stage(play)


def test_a_hub_that_answers_late(stage: Stage) -> None:
    """It stands still for as long as a client may wait, while that drops and comes again."""

    async def play(three: Three) -> None:
        client = await three[0].client(user=None)
        client.drop()
        three[0].layer.hang("receive")
        assert not await visit(client, three[1], 4.0)
        asyncio.get_running_loop().call_later(3.0, three[0].layer.resume)
        assert await visit(client, three[1], DEADLINE)
        assert client.recovered

    stage(play)
