"""A day of one process, on a clock that runs as fast as the work is done."""

from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from channels.layers import channel_layers
from pytest_django import Settings

import realtime
from realtime.asgi import Application, get_application
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub

from .clients import Line
from .clock import SimulatedLoop
from .visits import enter, visits

HOUR = 3600.0

# Someone comes so often, and so often something is said to everyone, in simulated seconds.
VISIT, NEWS = 15.0, 10.0
RESIDENTS = 12

# What may remain of a whole day, whatever it is: a leak of one small object a visit is more.
BYTES = 64 * 1024

HERE = [tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, __file__)]


@dataclass
class Rest:
    """What there is while nobody visits: objects of ours by type, the hub's counts, and memory."""

    objects: Counter[str]
    stats: dict[str, int]
    tasks: int
    snapshot: tracemalloc.Snapshot

    @classmethod
    async def take(cls, hub: Hub) -> Rest:
        """Wait until all visitors are gone, and look."""
        async with asyncio.timeout(2 * HOUR):
            while hub.stats()["connections"] > RESIDENTS:
                await asyncio.sleep(1)
        await asyncio.sleep(600)  # for the last timers
        while hub.stats()["tasks"] > RESIDENTS:  # a ping is on its way
            await asyncio.sleep(0.5)
        for _ in range(3):
            gc.collect()
        ours = Counter(
            f"{type(each).__module__}.{type(each).__qualname__}"
            for each in gc.get_objects()
            if str(type(each).__module__).startswith(("realtime.", "tests.soak."))
            and type(each) is not cls
        )
        snapshot = tracemalloc.take_snapshot().filter_traces(HERE)
        return cls(ours, hub.stats(), len(asyncio.all_tasks()), snapshot)

    def grown(self, later: Rest) -> tuple[int, str]:
        """Return by how many bytes memory has grown, and where most."""
        lines = later.snapshot.compare_to(self.snapshot, "lineno")
        most = "\n".join(str(line) for line in lines[:15])
        return sum(line.size_diff for line in lines), most


async def live(app: Application, residents: list[Line], seconds: float, first: int) -> int:
    """Let visitors come for some time, the visits in turn; return the number of the next one."""
    loop = asyncio.get_running_loop()
    end, number = loop.time() + seconds, first
    telling = asyncio.create_task(tell(residents))
    async with asyncio.TaskGroup() as group:
        while loop.time() < end:
            group.create_task(_limited(app, number))
            number += 1
            await asyncio.sleep(VISIT)
    telling.cancel()
    return number


async def _limited(app: Application, number: int) -> None:
    async with asyncio.timeout(HOUR):
        await visits[number % len(visits)](app, number)


async def tell(residents: list[Line]) -> None:
    """Say something to everyone from time to time, for ever."""
    while True:
        await asyncio.sleep(NEWS)
        realtime.emit("news", {"text": "x" * 100})
        realtime.to("room 1").to("room 2").emit("news", b"binary")
        for line in residents:
            await line.forget()


async def pass_days(app: Application, hours: float) -> tuple[Rest, Rest, int, Any]:
    """Live an hour, and then so many more; return what was there after each, and the visits."""
    hub = ensure_hub()
    residents = [await enter(app, number) for number in range(RESIDENTS)]
    number = await live(app, residents, HOUR, 0)
    before = await Rest.take(hub)
    last = await live(app, residents, hours * HOUR, number)
    after = await Rest.take(hub)
    for line in residents:
        await line.leave()
    counters = hub.counters
    await hub.close()
    assert not any(hub.stats().values()), hub.stats()
    return before, after, last - number, counters


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    """The site's application."""
    settings.REALTIME = {"NAMESPACES": "tests.soak.site.namespaces", "PRESENCE": False}
    channel_layers.backends.clear()
    yield get_application()
    channel_layers.backends.clear()


@contextmanager
def forgotten() -> Iterator[None]:
    """Let nobody keep what is logged: pytest would, all day, in handlers of its own."""
    logger = logging.getLogger("realtime")
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def assert_nothing_remains(app: Application, hours: float) -> None:
    """Assert that a time with visitors leaves nothing behind."""
    tracemalloc.start()
    try:
        with forgotten(), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            before, after, came, counters = runner.run(pass_days(app, hours))
    finally:
        tracemalloc.stop()
    grown, where = before.grown(after)
    print(f"{hours} simulated hours, {came} visits, {counters}: {grown:+,} bytes")
    assert came >= hours * HOUR / VISIT
    assert counters.events_in > came
    assert after.stats == before.stats
    assert after.tasks == before.tasks
    assert after.objects - before.objects == Counter()
    assert grown < BYTES, f"grew by {grown:,} bytes\n{where}"


def test_an_hour(app: Application) -> None:
    assert_nothing_remains(app, 1)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_day(app: Application) -> None:
    assert_nothing_remains(app, 24)
