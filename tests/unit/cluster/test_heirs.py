"""Who has the sessions of hubs that have stopped, and who gets those of the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from realtime.cluster import heirs
from realtime.cluster.heirs import Heirs
from realtime.cluster.reports import MAX_SERVERS, check_report
from realtime.cluster.standalone import LocalCluster

from .conftest import Start, until
from .test_reports import GOOD, beat

SECONDS = 60.0


class World:
    """The heirs that one hub knows, its clock, and what its peers report."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reports: dict[str, dict[str, Any]] = {}
        self.heirs = Heirs(
            "self", SECONDS, lambda: self.now, self.reports.__contains__, lambda: self.reports
        )

    def add(self, server: str, uptime: float = 10.0, **report: Any) -> None:
        self.reports[server] = {"uptime": uptime, "recovery": True, **report}


@pytest.fixture
def world() -> World:
    return World()


def test_an_heir(world: World) -> None:
    world.add("heir")
    assert world.heirs.find("old") is None
    world.heirs.heard("heir", ["old", "older"])
    assert world.heirs.find("old") == world.heirs.find("older") == "heir"
    assert world.heirs.find("heir") is None
    assert world.heirs.find("another") is None


def test_it_is_known_for_a_while(world: World) -> None:
    world.add("heir")
    world.heirs.heard("heir", ["old"])
    world.now += SECONDS / 2
    world.heirs.heard("heir", ["old"])
    world.now += SECONDS - 1
    assert world.heirs.find("old") == "heir"
    world.now += 1
    assert world.heirs.find("old") is None


def test_a_chain(world: World) -> None:
    world.add("second")
    world.heirs.heard("first", ["old"])
    assert world.heirs.find("old") is None, "it has died"
    world.heirs.heard("second", ["first"])
    assert world.heirs.find("old") == "second"
    world.add("first")
    assert world.heirs.find("old") == "first", "which has not stopped yet"


def test_a_ring_is_no_chain(world: World) -> None:
    world.heirs.heard("one", ["two"])
    world.heirs.heard("two", ["one"])
    assert world.heirs.find("one") is None


def test_this_hub(world: World) -> None:
    world.heirs.claim("old")
    assert world.heirs.find("old") == "self"
    assert world.heirs.claimed() == ["old"]
    world.heirs.heard("old", ["older"])
    assert world.heirs.find("older") == "self"
    world.now += SECONDS
    assert world.heirs.find("old") is None
    assert world.heirs.claimed() == []


def test_an_heir_has_all_that_the_other_one_was_the_heir_of(world: World) -> None:
    world.heirs.heard("old", ["older", "oldest"])
    world.heirs.heard("another", ["its own"])
    world.now += 10
    world.heirs.claim("old")
    assert sorted(world.heirs.claimed()) == ["old", "older", "oldest"]
    world.now += SECONDS - 10
    assert world.heirs.claimed() == ["old"], "the others' time is over"
    world.heirs.claim("self")
    assert world.heirs.claimed() == ["old"]


def test_what_is_told_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(MAX_SERVERS + 5):
        world.heirs.claim(f"{number:06}")
    claimed = world.heirs.claimed()
    assert len(claimed) == MAX_SERVERS
    assert claimed[-1] == f"{MAX_SERVERS + 4:06}"
    assert check_report(GOOD | {"heir_of": claimed})["heir_of"] == claimed
    monkeypatch.setattr(heirs, "MAX_KNOWN", 3)
    world.add("heir")
    world.heirs.heard("heir", ["a", "b", "c", "d", "e"])
    assert [server for server in "abcde" if world.heirs.find(server)] == ["c", "d", "e"]


def test_without_recovery_nobody_is_anybodys_heir() -> None:
    alone = Heirs("self", 0.0, lambda: 1.0, {"heir"}.__contains__, dict)
    alone.claim("old")
    alone.heard("heir", ["old"])
    assert alone.find("old") is None
    assert alone.claimed() == []


# Who is chosen


def chosen(world: World, **options: Any) -> set[str | None]:
    return {world.heirs.choose(**options) for _ in range(200)}


def test_nobody_to_choose(world: World) -> None:
    assert world.heirs.choose() is None
    world.add("old version", recovery=False)
    world.add("draining", draining=True)
    world.reports["too old"] = {"uptime": 1.0}
    assert world.heirs.choose() is None
    world.add("good")
    assert chosen(world) == {"good"}
    assert world.heirs.choose(excluding={"good"}) is None


def test_who_was_started_last_will_not_stop_next(world: World) -> None:
    for number in range(3):
        world.add(f"old {number}", 86_400.0 + 10 * number)
    assert chosen(world) == {"old 0", "old 1", "old 2"}
    world.add("new", 5.0)
    assert chosen(world) == {"new"}
    assert chosen(world, excluding={"new"}) == {"old 0", "old 1", "old 2"}
    world.add("newer", 1.0)
    assert chosen(world) == {"new", "newer"}


def test_who_stop_together_do_not_all_choose_the_same(world: World) -> None:
    for number in range(4):
        world.add(f"{number}", 100.0 + number)
    counts = Counter(world.heirs.choose() for _ in range(1000))
    assert min(counts.values()) > 100


# In a cluster


@pytest.fixture
def _recovery(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": SECONDS}}


@pytest.mark.usefixtures("_recovery")
@pytest.mark.expiry
async def test_all_hubs_learn_of_it_at_once_and_later_ones_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = [await start() for _ in range(3)]
    old = one.hub.server_id
    two.cluster.claim(old)
    with monkeypatch.context() as patch:
        describe = two.cluster.beats._describe
        said: list[Any] = []
        # What its other beats tell comes too late.
        patch.setattr(
            two.cluster.beats, "_describe", lambda: {} if said else said.append(1) or describe()
        )
        await two.cluster.announce()
        await until(lambda: three.cluster.heir(old) == two.hub.server_id)
    assert one.cluster.heir(old) == two.cluster.heir(old) == two.hub.server_id
    await one.close()
    late = await start([two, three])
    assert late.cluster.heir(old) == two.hub.server_id
    assert late.hub.is_sid(old + "A" * 20), "it is no name of a room"
    two.kill()
    await until(lambda: late.cluster.heir(old) is None and three.cluster.heir(old) is None)


@pytest.mark.usefixtures("_recovery")
async def test_a_hub_chooses_among_those_that_say_they_can(start: Start) -> None:
    one, two = await start(), await start()
    two.hub.news["recovery"] = lambda: False
    await two.cluster.announce()
    await until(lambda: one.cluster.choose_heir() is None)
    two.hub.news["recovery"] = lambda: True
    await two.cluster.announce()
    await until(lambda: one.cluster.choose_heir() == two.hub.server_id)
    two.hub.drain.begin()
    await until(lambda: one.cluster.choose_heir() is None)


async def test_what_is_announced_while_the_layer_is_down_is_told_later(start: Start) -> None:
    one, two = await start(), await start()
    two.layer.fail()
    two.hub.news["draining"] = lambda: True
    await two.cluster.announce()
    two.layer.resume()
    reports: Callable[[], dict[str, Any]] = one.cluster.reports
    await until(lambda: reports().get(two.hub.server_id, {}).get("draining"))


@pytest.mark.parametrize("name", ["heir_of", "adopted"])
@pytest.mark.parametrize(
    "value", ["abcdef", [1], ["short"], ["too long"], ["server"] * (MAX_SERVERS + 1)]
)
async def test_what_no_hub_tells(start: Start, name: str, value: Any, records: list[Any]) -> None:
    one = await start()
    beat(one, "forger", GOOD | {name: value})
    assert one.cluster.reports() == {}
    assert [each.args[0] for each in records].count("layer-ignored") == 1


async def test_one_process_alone_has_no_heir() -> None:
    alone = LocalCluster()
    alone.claim("old")
    await alone.announce()
    await alone.fence()
    await alone.scatter()
    assert alone.heir("old") is None
    assert alone.choose_heir() is None
    assert alone.claimed() == []
