"""Calls to a layer that fails, hangs, refuses, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from realtime.hub.link import MAX_ATTEMPTS, LayerRefused, Link
from tests.unit.probes import DEADLINE


class World:
    """A link whose layer a test breaks: each call and each restoring takes the next outcome."""

    def __init__(self) -> None:
        self.link = Link(None, self._spawn, self._restore, self._note_down)
        self.calls: list[Exception | str] = []
        self.restores: list[Exception | None] = []
        self.downs = self.restored = 0
        self.tasks: list[asyncio.Task[Any]] = []

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    def _note_down(self) -> None:
        assert not self.link.up.is_set()
        self.downs += 1

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
    monkeypatch.setattr("realtime.hub.link.MIN_PAUSE", 0.01)
    monkeypatch.setattr("realtime.hub.link.MAX_PAUSE", 0.04)
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
    monkeypatch.setattr("realtime.hub.link.CALL_TIMEOUT", 0.05)
    world.calls = ["hang", "answer"]
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
    world.calls = ["answer"]
    assert await world.call() == "answer"
