"""Who is there, by the beats that come, and by those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.cluster.envelopes import Beat
from realtime.cluster.peers import ARRIVAL, Peers

from .conftest import BEAT, EXPIRY

pytestmark = pytest.mark.expiry


class World:
    """Peers with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.gone: list[tuple[str, bool]] = []
        self.peers = Peers(lambda: self.now, lambda server, left: self.gone.append((server, left)))

    def beat(self, *servers: str, own: bool = True, **fields: Any) -> None:
        """Let a beat's time pass, then hear these servers, and ourselves."""
        self.now += BEAT
        if own:
            self.peers.heard_own()
        for server in servers:
            self.peers.heard(Beat(server, "channel of " + server, **fields))
        self.peers.expire()


@pytest.fixture
def world() -> World:
    return World()


def test_who_beats_is_there(world: World) -> None:
    world.beat("one", "two", report={"sockets": 3})
    assert sorted(world.peers.names()) == ["one", "two"]
    assert len(world.peers) == 2
    assert "one" in world.peers
    assert "three" not in world.peers
    assert world.peers.channel("one") == "channel of one"
    assert world.peers.channel("three") is None
    assert world.peers.reports() == {"one": {"sockets": 3}, "two": {"sockets": 3}}


def test_who_is_silent_is_gone(world: World) -> None:
    world.beat("one", "two")
    while not world.gone:
        world.beat("two")
    assert EXPIRY < world.now - 1000 - BEAT < EXPIRY + 2 * BEAT
    assert world.gone == [("one", False)]
    assert world.peers.names() == ["two"]
    assert world.peers.knew("one")
    assert not world.peers.knew("three")
    world.beat("one")  # it was only very slow
    assert "one" in world.peers


def test_who_leaves_is_gone_for_good(world: World) -> None:
    world.beat("one", "two")
    world.beat("one", leaving=True)
    assert world.gone == [("one", True)]
    world.beat("one", "two")  # a beat that was overtaken
    world.beat("one", leaving=True)
    assert world.peers.names() == ["two"]
    assert world.gone == [("one", True)]
    world.beat("never heard of", leaving=True)
    assert world.gone == [("one", True)]


def test_who_goes_on_has_not_left(world: World) -> None:
    """As when somebody else said so in its name."""
    world.beat("one", "two")
    world.peers.heard(Beat("one", "nowhere", leaving=True))
    left = world.now
    while "one" not in world.peers:
        world.beat("one", "two")
        assert world.now - left < EXPIRY + 2 * BEAT
    assert world.peers.channel("one") == "channel of one"
    for _ in range(20):
        world.beat("one", "two")
    assert world.gone == [("one", True)]


def test_made_up_servers_are_few_and_displace_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.cluster.peers.MAX_PEERS", 4)
    monkeypatch.setattr("realtime.cluster.peers.MAX_KNOWN", 6)
    world.beat("one", "two")
    for number in range(50):
        world.beat("one", "two", f"forged {number}")
        world.peers.heard(Beat(f"gone {number}", "", leaving=True))
        assert len(world.peers) <= 4
        assert len(world.peers._known) <= 6
        assert world.peers.knew("one")
    assert {"one", "two"} <= set(world.peers.names())
    assert not {"one", "two"} & {server for server, _ in world.gone}


def test_nobody_is_gone_while_we_hear_nothing(world: World) -> None:
    world.beat("one")
    for _ in range(50):
        world.beat(own=False)
    assert world.peers.deaf
    assert not world.gone
    world.beat()  # we hear again, and everybody has their time anew
    assert not world.peers.deaf
    assert not world.gone
    for _ in range(8):
        world.beat()
    assert world.gone == [("one", False)]


def test_after_a_standstill_all_have_their_time_anew(world: World) -> None:
    world.beat("one")
    world.now += 10 * EXPIRY
    world.peers.grant_time()
    world.peers.expire()
    assert not world.gone
    assert not world.peers.deaf


def test_as_many_as_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.peers.MAX_KNOWN", 2)
    world.beat("one", "two", "three")
    assert [world.peers.knew(server) for server in ("one", "two", "three")] == [False, True, True]


def test_until_when_a_hub_is_expected(world: World) -> None:
    """For a while where nobody has told of it, or others just have; not when it was here."""
    now, later = world.now, world.now + BEAT + ARRIVAL
    assert world.peers.expected_until("unknown") == now + ARRIVAL
    world.peers.learn("told of")
    assert not world.peers.has_met("told of")
    assert world.peers.expected_until("told of") == later
    world.beat("here", report={"adopted": ["told of"]})
    assert world.peers.expected_until("told of") == later
    assert world.peers.expected_until("here") < world.now
    world.beat("told of")
    world.beat("told of", leaving=True)
    assert world.peers.has_met("told of")
    assert world.peers.expected_until("told of") < world.now
