"""What is lost on its way, or comes twice, is noticed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.hub.lanes import Incoming, Outgoing, Position

LANES = st.sampled_from(["a", "b", "c"])
COPIES = st.sampled_from([0, 1, 1, 1, 2])


@given(st.lists(st.tuples(LANES, COPIES)))
def test_what_arrives_is_taken_once_and_what_does_not_is_counted(
    sent: list[tuple[str, int]],
) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    gaps: dict[str, int] = defaultdict(int)
    heard: set[str] = set()
    expected = 0
    for lane, copies in sent:
        position = outgoing.next(lane)
        outgoing.sent(lane, position)
        if not copies:
            gaps[lane] += lane in heard  # where counting starts is the first that is heard
            continue
        assert incoming.accept("server", lane, position) == (True, gaps[lane])
        expected += gaps.pop(lane, 0)
        heard.add(lane)
        for _ in range(copies - 1):
            assert incoming.accept("server", lane, position) == (False, 0)
    assert incoming.lost == expected
    outgoing.tails()
    assert incoming.check_tails("server", outgoing.tails()) == sum(gaps.values())
    assert incoming.check_tails("server", outgoing.tails()) == 0
    assert incoming.lost == expected + sum(gaps.values())


@given(st.lists(LANES), st.permutations(range(8)))
def test_what_was_overtaken_is_not_taken(lanes: list[str], order: list[int]) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    positions = [outgoing.next("a") for _ in range(8)]
    taken = [n for n in order if incoming.accept("server", "a", positions[n])[0]]
    assert taken == sorted(taken)


def test_numbers_of_all_lanes_and_places_of_each() -> None:
    outgoing = Outgoing()
    assert [outgoing.next(lane) for lane in "aabaa"] == [(1, 1), (2, 2), (3, 1), (4, 3), (5, 4)]


def test_tails_leave_out_what_was_sent_lately_or_is_on_its_way() -> None:
    outgoing = Outgoing()
    first, second = outgoing.next("a"), outgoing.next("b")
    outgoing.sent("a", first)
    assert outgoing.tails() == {}
    assert outgoing.tails() == {"a": first}  # and nothing of b, which is on its way
    outgoing.sent("b", second)
    outgoing.tails()
    outgoing.sent("b", outgoing.next("b"))
    assert outgoing.tails() == {}  # b is in use
    assert outgoing.tails() == {"b": (3, 2)}
    assert outgoing.tails() == {}


def test_as_many_tails_as_a_beat_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.hub.lanes.MAX_TAILS", 3)
    outgoing = Outgoing()
    for lane in "abcdea":
        outgoing.sent(lane, outgoing.next(lane))
    outgoing.tails()
    assert outgoing.tails() == {"a": (6, 2), "b": (2, 1), "c": (3, 1)}


def test_lanes_that_are_used_least_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.hub.lanes.MAX_LANES", 2)
    outgoing, incoming = Outgoing(), Incoming()
    places = [outgoing.next(lane).place for lane in "abacbab"]
    assert places == [1, 1, 2, 1, 1, 1, 2]
    outgoing = Outgoing()
    for lane in "abcabc":  # a new count is no loss
        assert incoming.accept("server", lane, outgoing.next(lane)) == (True, 0)
    assert len(incoming._lanes) == 2


def test_a_server_or_a_lane_that_is_forgotten_is_counted_anew() -> None:
    incoming = Incoming()

    def accept(server: str, lane: str, number: int) -> Any:
        return incoming.accept(server, lane, Position(number, number))

    for server in ("one", "two"):
        assert accept(server, "a", 1) == (True, 0)
        assert accept(server, "b", 1) == (True, 0)
    incoming.forget_server("one")
    assert accept("one", "a", 5) == (True, 0)
    assert accept("two", "a", 5) == (True, 3)
    incoming.forget_lane("b")
    assert accept("two", "b", 9) == (True, 0)
    incoming.forget_lane("never heard of")
    assert incoming.check_tails("one", {"b": (7, 7), "never heard of": (1, 1)}) == 0
