"""Messages that leave are numbered, and those sent last are told in beats."""

from __future__ import annotations

import pytest

from realtime.cluster.sequences import Outgoing


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
    monkeypatch.setattr("realtime.cluster.sequences.MAX_TAILS", 3)
    outgoing = Outgoing()
    for lane in "abcdea":
        outgoing.sent(lane, outgoing.next(lane))
    outgoing.tails()
    assert outgoing.tails() == {"a": (6, 2), "b": (2, 1), "c": (3, 1)}


def test_lanes_that_are_used_least_are_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.sequences.MAX_LANES", 2)
    outgoing = Outgoing()
    assert [outgoing.next(lane).place for lane in "abacbab"] == [1, 1, 2, 1, 1, 1, 2]
