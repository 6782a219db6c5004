"""A clock that is off is noticed, and whose it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster import clocks
from realtime.cluster.clocks import BEATS, MAX_AGE, SURE, Clocks

from .conftest import BEAT, Start, until

DAYS = 2 * 86_400.0


class World:
    """One server's view of clocks; a test says how far ahead of it the others' are."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.clocks = Clocks("own", lambda: self.now, lambda: self.now)

    def beats(self, times: int = BEATS + SURE, delay: float = 0.01, **ahead: float) -> set[str]:
        """Hear so many beats of everybody, each `delay` late; return who is off."""
        for _ in range(times):
            self.now += 2
            self.clocks.heard("own", self.now - delay)
            for server, seconds in ahead.items():
                self.clocks.heard(server, self.now - delay + seconds)
            self.clocks.compare()
        return set(self.clocks.off)


@pytest.fixture
def world() -> World:
    return World()


def lines(records: list[Any]) -> list[tuple[str, str]]:
    return [
        (record.args[0], record.realtime["server"])
        for record in records
        if record.args[0].startswith("clock-")
    ]


@pytest.mark.parametrize("seconds", [DAYS, -DAYS, 6.0, -6.0, 61.0, -3600.0])
def test_another_ones_clock(world: World, records: list[Any], seconds: float) -> None:
    assert world.beats(a=0.1, b=-0.2, c=seconds) == {"c"}
    assert world.clocks.off["c"] == pytest.approx(seconds, abs=0.5)
    assert world.beats(times=20, a=0.1, b=-0.2, c=seconds) == {"c"}
    assert lines(records) == [("clock-off", "c")], "once"
    assert not records[0].realtime["own"]
    assert world.beats(a=0.1, b=-0.2, c=0.3) == set()
    assert lines(records) == [("clock-off", "c"), ("clock-right", "c")]


@pytest.mark.parametrize("seconds", [DAYS, -DAYS, 6.0, -6.0])
def test_this_servers_own_clock(world: World, records: list[Any], seconds: float) -> None:
    others = {"a": -seconds, "b": -seconds + 0.5, "c": -seconds - 0.5}
    assert world.beats(**others) == {"own"}
    assert world.clocks.off["own"] == pytest.approx(seconds, abs=0.6)
    assert lines(records) == [("clock-off", "own")]
    assert records[0].realtime["own"]


@pytest.mark.parametrize("seconds", [DAYS, -DAYS])
def test_without_a_majority_all_that_differ_are_named(world: World, seconds: float) -> None:
    assert world.beats(a=seconds) == {"a"}
    assert World().beats(a=seconds, b=seconds, c=0.0) == {"a", "b"}
    assert World().beats(a=DAYS, b=-DAYS, c=3 * DAYS) == {"a", "b", "c"}


@pytest.mark.parametrize("seconds", [0.0, 4.0, -4.0])
def test_clocks_that_are_right_enough(world: World, records: list[Any], seconds: float) -> None:
    assert world.beats(times=20, a=seconds, b=0.0) == set()
    assert not records


@pytest.mark.parametrize("delay", [7.0, 30.0])
def test_a_layer_that_is_slow_for_all(world: World, records: list[Any], delay: float) -> None:
    assert world.beats(times=20, delay=delay, a=0.0, b=0.0) == set()
    assert not records


def test_beats_that_come_late_all_at_once(world: World, records: list[Any]) -> None:
    """As after this process has stood still."""
    world.beats(a=0.0, b=0.0)
    world.now += 60
    for late in range(60, 0, -2):
        for server in ("own", "a", "b"):
            world.clocks.heard(server, world.now - late)
    world.clocks.compare()
    assert world.beats(a=0.0, b=0.0) == set()
    assert not records


def test_one_beat_alone_says_nothing(world: World) -> None:
    world.beats(a=0.0, b=0.0)
    assert world.beats(times=1, a=-60.0, b=0.0) == set()
    assert world.beats(a=0.0, b=0.0) == set()


def test_who_has_left_or_is_gone_does_not_count(world: World, records: list[Any]) -> None:
    assert world.beats(a=DAYS, b=0.0, c=0.0) == {"a"}
    world.now += MAX_AGE
    assert world.beats(b=0.0, c=0.0) == set()
    assert world.beats(a=DAYS, b=0.0, c=0.0) == {"a"}
    world.clocks.forget("a")
    assert world.beats(b=0.0, c=0.0) == set()


@pytest.mark.parametrize("sent", [0.0, -1.0, 1e300, float("inf"), float("nan")])
def test_times_that_say_nothing(world: World, sent: float) -> None:
    for _ in range(10):
        world.clocks.heard("a", sent)
        world.clocks.compare()
    assert not world.clocks.off


def test_made_up_servers_take_little_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "MAX_SERVERS", 5)
    for number in range(50):
        world.beats(times=1, **{f"made up {number}": DAYS})
    assert len(world.clocks._heard) <= 5
    world.now += MAX_AGE + 1
    assert world.beats(a=0.0) == set()
    assert not world.clocks._doubts


@pytest.mark.parametrize("seconds", [DAYS, -DAYS])
async def test_hubs_tell_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, records: list[Any], seconds: float
) -> None:
    servers = [await start() for _ in range(3)]
    off = servers[2]
    real = off.cluster.beats._clock

    monkeypatch.setattr(off.cluster.beats, "_clock", lambda: real() + seconds)
    monkeypatch.setattr(off.cluster.beats.clocks, "_clock", lambda: real() + seconds)
    for server in servers:
        await until(
            lambda server=server: server.cluster.heard and server.hub.describe()["problems"]
        )
        (problem,) = server.hub.describe()["problems"]
        assert (problem["problem"], problem["server"]) == ("clock-off", off.hub.server_id)
        assert problem["ahead"] == pytest.approx(seconds, abs=2)
    monkeypatch.undo()
    await asyncio.sleep(BEAT)
