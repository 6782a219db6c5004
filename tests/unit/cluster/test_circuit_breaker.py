"""Senders do not wait, each in turn, for a layer that is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.cluster import circuit_breaker as breaker
from realtime.cluster.circuit_breaker import CircuitBreaker
from tests.unit.probes import DEADLINE

from .conftest import KeptTasks


class World:
    """A breaker whose layer a test steers: calls take `cost` seconds, and then raise `error`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._kept = KeptTasks()
        self.breaker = CircuitBreaker(self._kept, self._ask)
        self.now = 0.0
        self.cost = 0.0
        self.error: Exception | None = None
        self.asked = 0
        self.tasks = self._kept.all
        monkeypatch.setattr(breaker, "monotonic", lambda: self.now)
        monkeypatch.setattr(breaker, "MIN_PAUSE", 0.001)
        monkeypatch.setattr(breaker, "MAX_PAUSE", 0.002)

    async def _ask(self) -> None:
        self.asked += 1
        await self._act()

    async def _act(self) -> None:
        self.now += self.cost
        if self.error is not None:
            raise self.error

    async def fails(self) -> bool:
        """Call the layer; tell whether that has failed."""
        try:
            await self.breaker.call(self._act())
        except ConnectionError:
            return True
        return False

    async def recovered(self) -> None:
        """Wait until the layer is taken for well."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*self.tasks)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(monkeypatch)
        yield world
        for task in world.tasks:
            task.cancel()


def told(records: list[Any]) -> list[str]:
    return [record.args[0] for record in records if record.args[0] != "layer-still-down"]


async def test_a_failure_that_took_long(world: World, records: list[Any]) -> None:
    assert not await world.fails()
    world.error, world.cost = ConnectionError("silent"), 5.0
    assert await world.fails()
    assert world.breaker.error is world.error
    while world.asked < 3:
        await asyncio.sleep(0)
    assert world.breaker.error is not None
    assert told(records) == ["layer-down"]
    world.error = None
    await world.recovered()
    assert world.breaker.error is None
    assert told(records) == ["layer-down", "layer-back"]
    assert not await world.fails()
    assert len(world.tasks) == 1


async def test_failures_that_come_at_once(world: World) -> None:
    world.error, world.cost = ConnectionError("refused"), breaker.PATIENCE / 10.5
    for _ in range(10):
        assert await world.fails()
        assert world.breaker.error is None
    assert await world.fails()
    assert world.breaker.error is not None


async def test_a_success_in_between(world: World) -> None:
    for _ in range(20):
        world.error, world.cost = ConnectionError("refused"), breaker.PATIENCE / 2.5
        assert await world.fails()
        assert await world.fails()
        world.error = None
        assert not await world.fails()
    assert world.breaker.error is None
    assert not world.tasks


async def test_many_failures_at_a_time_are_one(world: World, records: list[Any]) -> None:
    world.error, world.cost = ConnectionError("silent"), 5.0
    assert all(await asyncio.gather(*(world.fails() for _ in range(10))))
    assert len(world.tasks) == 1
    assert told(records) == ["layer-down"]
