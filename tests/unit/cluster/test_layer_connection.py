"""Calls to a layer that fails, hangs, refuses, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from realtime.cluster.layer_connection import MAX_ATTEMPTS, LayerConnection, LayerRefused
from tests.unit.probes import DEADLINE

from .conftest import KeptTasks


class World:
    """A link whose layer a test breaks: each call and each restoring takes the next outcome."""

    def __init__(self) -> None:
        tasks = KeptTasks()
        self.tasks = tasks.all
        self.link = LayerConnection(None, tasks, self._probe, self._restore, self._note_down)
        self.probes: list[Exception | None] = []
        self.probed = 0
        self.calls: list[Exception | str] = []
        self.restores: list[Exception | None] = []
        self.downs = self.restored = 0

    def _note_down(self) -> None:
        assert not self.link.up.is_set()
        self.downs += 1

    async def _probe(self) -> None:
        self.probed += 1
        await asyncio.sleep(0)
        if error := self.probes.pop(0) if self.probes else None:
            raise error

    async def _restore(self) -> None:
        self.restored += 1
        if self.restores and (error := self.restores.pop(0)):
            raise error

    async def call(self) -> Any:
        """Call the layer."""
        async with asyncio.timeout(DEADLINE):
            return await self.link.call(self._outcome)

    async def _outcome(self) -> str:
        outcome = self.calls.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "hang":
            await asyncio.Event().wait()
        return outcome


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("realtime.cluster.layer_connection.MIN_PAUSE", 0.01)
    monkeypatch.setattr("realtime.cluster.layer_connection.MAX_PAUSE", 0.04)
    world = World()
    yield world
    for task in world.tasks:
        task.cancel()


def down() -> Exception:
    return ConnectionError("down")


async def test_a_call_that_works(world: World) -> None:
    world.calls = ["answer"]
    assert await world.call() == "answer"
    assert (world.downs, world.restored) == (0, 0)


async def test_a_call_is_made_again_after_an_outage(world: World, records: list[Any]) -> None:
    world.calls = [down(), "answer"]
    world.probes = [down()]
    world.restores = [down(), down(), None]
    assert await world.call() == "answer"
    assert (world.downs, world.restored) == (1, 3)
    assert [record.args[0] for record in records] == [
        "layer-down",
        "layer-still-down",
        "layer-still-down",
        "layer-back",
    ]
    assert records[-1].realtime == {"attempts": 3}


async def test_calls_wait_for_the_end_of_an_outage(world: World) -> None:
    world.restores = [down()]
    world.link.failed(down())
    world.link.failed(down())  # it is known already
    world.calls = ["one", "two"]
    assert await asyncio.gather(world.call(), world.call()) == ["one", "two"]
    assert (world.downs, world.restored) == (1, 2)


async def test_a_call_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.layer_connection.CALL_TIMEOUT", 0.05)
    world.calls = ["hang", "answer"]
    world.probes = [down()]
    assert await world.call() == "answer"
    assert world.downs == 1


async def test_a_full_channel_is_told_at_once(world: World) -> None:
    world.calls = [ChannelFull()]
    with pytest.raises(ChannelFull):
        await world.call()
    assert world.downs == 0


async def test_a_call_that_alone_fails_is_given_up(world: World) -> None:
    world.calls = [ValueError("not this")] * MAX_ATTEMPTS
    with pytest.raises(LayerRefused, match="not this"):
        await world.call()
    assert not world.calls
    assert (world.downs, world.restored, world.probed) == (0, 0, MAX_ATTEMPTS)
    world.calls = ["answer"]
    assert await world.call() == "answer"


async def test_calls_wait_for_a_probe(world: World) -> None:
    """Where it fails the layer has forgotten the groups: what is sent meanwhile is lost."""
    world.calls = [down()]
    world.probes = [down()]
    failing = asyncio.create_task(world.call())
    while not world.probed:
        await asyncio.sleep(0)
    world.calls = ["one", "two"]
    assert {await world.call(), await failing} == {"one", "two"}
    assert (world.downs, world.restored, world.probed) == (1, 1, 1)


async def test_failures_at_a_time_are_probed_once(world: World) -> None:
    gate = asyncio.Event()
    world.calls = [down(), down(), down(), "answer", "answer", "answer"]

    async def make() -> Any:
        await gate.wait()
        return await world._outcome()

    calls = [asyncio.create_task(world.link.call(make)) for _ in range(3)]
    await asyncio.sleep(0.001)
    gate.set()
    assert await asyncio.gather(*calls) == ["answer"] * 3
    assert (world.downs, world.probed) == (0, 1)


async def test_outages_of_others_are_no_fault_of_a_call(world: World) -> None:
    """However many there are: it is made until it is answered."""
    pending: asyncio.Future[str]

    async def make() -> str:
        nonlocal pending
        pending = asyncio.get_running_loop().create_future()
        return await pending

    calling = asyncio.create_task(world.link.call(make))
    for _ in range(2 * MAX_ATTEMPTS):
        await asyncio.sleep(0.001)
        world.link.failed(down())
        pending.set_exception(down())
        async with asyncio.timeout(DEADLINE):
            await world.link.up.wait()
    await asyncio.sleep(0.001)
    pending.set_result("answer")
    assert await calling == "answer"
