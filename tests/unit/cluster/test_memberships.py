"""The layer's groups become what is wanted, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.cluster.envelopes import HUBS
from realtime.cluster.layer_connection import LayerConnection
from realtime.cluster.memberships import Memberships
from tests.unit.probes import DEADLINE

from .conftest import KeptTasks, until
from .layer import Bus

CHANNEL = "channel"


class World:
    """Memberships at work on a layer."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.layer = self.bus.connect()
        self._kept = KeptTasks()
        self.tasks = self._kept.all
        self.spawn = self._kept.spawn
        self.link = LayerConnection(self.layer, self._kept, self._probe, self._restore, self._down)
        self.memberships = Memberships(self.link)
        self.memberships.channel = CHANNEL
        self.restoring = False

    def _down(self) -> None:
        self.memberships.release()

    async def _probe(self) -> None:
        if self.layer.error is not None:
            raise self.layer.error

    async def _restore(self) -> None:
        self.restoring = True
        await self.memberships.restore(anew=False)
        self.restoring = False

    @property
    def joined(self) -> set[str]:
        """The groups that the layer has us in."""
        return {group for group, channels in self.bus.groups.items() if CHANNEL in channels}

    async def flush(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.memberships.flush()


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    """Give memberships whose changes are carried out."""
    world = World()
    world.spawn(world.memberships.run())
    try:
        yield world
    finally:
        for task in world.tasks:
            task.cancel()
        await asyncio.wait(world.tasks)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as world:
        yield world


GROUPS = st.sampled_from("abcd")
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "discard"]), GROUPS)
    | st.tuples(st.sampled_from(["turn", "settle", "fail", "forget", "hang", "resume"])),
    max_size=40,
)


@given(STEPS)
@settings(deadline=None, max_examples=60)
def test_whatever_happens_the_layer_knows_what_is_wanted(steps: list[tuple[str, ...]]) -> None:
    async def run() -> None:
        async with running() as world:
            wanted: set[str] = set()
            for step, *groups in steps:
                for group in groups:
                    getattr(world.memberships, step)(group)
                    getattr(wanted, step)(group)
                if step == "turn":
                    await asyncio.sleep(0)
                elif step == "settle" and not world.layer.troubled:
                    await world.flush()
                    if world.link.up.is_set():
                        assert world.joined == wanted
                elif step == "forget":
                    world.bus.forget()
                    world.link.failed(ConnectionError("as a restart is noticed"))
                elif step == "hang":
                    world.layer.hang("group_add", "group_discard")
                elif step in ("fail", "resume"):
                    getattr(world.layer, step)()
            world.layer.resume()
            await until(lambda: world.link.up.is_set() and world.joined == wanted)
            await world.flush()
            assert world.joined == wanted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime.cluster.layer_connection.MIN_PAUSE", 0.001)
        patch.setattr("realtime.cluster.layer_connection.MAX_PAUSE", 0.002)
        patch.setattr("realtime.cluster.memberships.SUBSCRIBE_TIMEOUT", 0.01)
        asyncio.run(run())


async def test_flush_waits_for_what_was_asked_for_before(world: World) -> None:
    await world.flush()
    world.memberships.add("a")
    assert world.joined == set()
    await world.flush()
    assert world.joined == {"a"}
    world.layer.hang("group_add")
    world.memberships.add("b")
    waiting = asyncio.create_task(world.flush())
    await until(lambda: world.layer.calls["group_add"] == 2)
    world.memberships.add("c")
    later = asyncio.create_task(world.flush())
    world.layer.hang("group_add", name="c")
    await waiting
    assert world.joined == {"a", "b"}
    assert not later.done()
    world.layer.resume()
    await later
    assert world.joined == {"a", "b", "c"}


async def test_a_slow_layer_delays_for_a_while_only(
    world: World, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.cluster.memberships.SUBSCRIBE_TIMEOUT", 0.05)
    world.layer.hang("group_add")
    world.memberships.add("a")
    await world.flush()
    assert world.joined == set()
    assert [(record.args[0], record.realtime) for record in records] == [
        ("layer-slow", {"waiting": 1})
    ]


async def test_what_is_wanted_and_unwanted_at_once_costs_nothing(world: World) -> None:
    world.memberships.add("a")
    world.memberships.discard("a")
    await world.flush()
    assert world.joined == set()
    assert not world.layer.calls


async def test_a_group_that_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    group_add = world.layer.group_add

    async def refuse(group: str, channel: str) -> None:
        if group == "bad" and not world.restoring:
            raise ValueError("an invalid name")
        await group_add(group, channel)

    monkeypatch.setattr(world.layer, "group_add", refuse)
    world.memberships.add("bad")
    world.memberships.add("good")
    await until(lambda: "layer-refused" in [record.args[0] for record in records])
    await until(lambda: "good" in world.joined)
    await world.flush()
    assert "layer-slow" not in [record.args[0] for record in records]


async def test_restoring_tells_of_all_groups_the_hubs_own_last(world: World) -> None:
    for group in (HUBS, *"abcdef"):
        world.memberships.add(group)
    await world.flush()
    world.bus.forget()
    await world.memberships.restore(anew=False)
    assert world.joined == {HUBS, *"abcdef"}
    assert list(world.bus.groups)[-1] == HUBS
    assert not world.layer.calls["group_discard"]
    await world.memberships.restore(anew=True)
    assert world.layer.calls["group_discard"] == 7
    assert world.joined == {HUBS, *"abcdef"}


async def test_restoring_fails_as_the_layer_does(world: World) -> None:
    world.memberships.add("a")
    await world.flush()
    world.layer.fail(ConnectionError("down"))
    with pytest.raises(ConnectionError):
        await world.memberships.restore(anew=True)


async def test_old_memberships_are_renewed(world: World) -> None:
    world.layer.group_expiry = 0.2
    world.memberships.add("any")  # so that the loop looks at the new age
    await world.flush()
    world.memberships.discard("any")
    world.memberships.add("a")
    await world.flush()
    for _ in range(3):
        world.bus.forget()
        await until(lambda: world.joined == {"a"})
    world.memberships.discard("a")
    await world.flush()
    told = world.layer.calls["group_add"]
    await asyncio.sleep(0.2)  # this is what is tested: nothing comes
    assert world.layer.calls["group_add"] == told


@pytest.mark.parametrize("again", [False, True])
async def test_a_group_that_is_left_while_it_is_renewed(world: World, again: bool) -> None:
    world.layer.group_expiry = 0.1
    world.memberships.add("a")
    await world.flush()
    world.layer.hang("group_add", name="a")
    await until(lambda: world.layer.held)
    world.memberships.discard("a")
    if again:
        world.memberships.add("a")
        world.memberships.discard("a")
    await asyncio.sleep(0.02)  # whoever else would speak to the layer has done so
    assert not world.layer.calls["group_discard"]
    world.layer.resume()
    await world.flush()
    assert world.joined == set()
    told = world.layer.calls["group_add"]
    await asyncio.sleep(0.2)  # this is what is tested: nothing comes
    assert (world.joined, world.layer.calls["group_add"]) == (set(), told)


async def test_renewing_delays_nobody(world: World) -> None:
    world.layer.group_expiry = 0.1
    for number in range(100):
        world.memberships.add(str(number))
    await world.flush()
    world.layer.hang("group_add")
    told = world.layer.calls["group_add"]
    await until(lambda: world.layer.held)  # one is on its way
    world.memberships.add("new")
    world.layer.resume()
    await world.flush()
    assert "new" in world.joined
    assert world.layer.calls["group_add"] <= told + 4


async def test_restoring_does_not_wait_for_a_call_that_hangs(world: World) -> None:
    world.memberships.add("a")
    await world.flush()
    world.layer.swallow("group_discard")
    world.memberships.discard("a")
    await until(lambda: world.layer.calls["group_discard"])
    world.memberships.add("a")
    world.link.failed(ConnectionError("another call has found that"))
    world.layer.resume()
    async with asyncio.timeout(DEADLINE):
        await world.link.up.wait()
    await world.flush()
    assert world.joined == {"a"}


async def test_leaving_all(world: World) -> None:
    for group in "abcdefghij":
        world.memberships.add(group)
    await world.flush()
    await world.memberships.leave_all()
    assert world.joined == set()
