"""What is lost on its way, or comes twice, is noticed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.hub.lanes import MAX_GAP, MAX_LOST, MAX_NUMBER, Incoming, Outgoing, Position

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


# What somebody forges

NUMBERS = st.one_of(
    st.integers(1, 400), st.integers(1, 10**6), st.sampled_from([10**9, 2**40, MAX_NUMBER])
)
FORGED = st.tuples(NUMBERS, NUMBERS).map(lambda pair: Position(max(pair), min(pair)))


def speak(incoming: Incoming, outgoing: Outgoing, count: int, lane: str = "a") -> list[bool]:
    """Have a server send so many messages; tell of each whether it is handled."""
    return [incoming.accept("server", lane, outgoing.next(lane))[0] for _ in range(count)]


@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.lists(st.tuples(FORGED, st.booleans()), min_size=1, max_size=20),
)
def test_nobody_is_silenced_for_good(
    before: int, elsewhere: int, forged: list[tuple[Position, bool]]
) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, before)
    for _ in range(elsewhere):
        outgoing.next("a lane that this process is not in")
    for position, in_beat in forged:
        if in_beat:
            incoming.check_tails("server", {"a": position})
        else:
            incoming.accept("server", "a", position)
    handled = speak(incoming, outgoing, 3 * MAX_GAP)
    assert handled.count(False) <= MAX_GAP
    assert all(handled[handled.index(True) :]), "once it is heard it stays so"
    assert incoming.lost <= (len(forged) + 1) * MAX_LOST
    lost = incoming.lost
    assert all(speak(incoming, outgoing, 10))
    assert incoming.lost == lost


@pytest.mark.parametrize("jump", [MAX_GAP + 1, 10_000, 10**9, 2**50])
@pytest.mark.parametrize("before", [1, 500])
@pytest.mark.parametrize("in_beat", [False, True])
def test_one_huge_number_silences_nobody(jump: int, before: int, in_beat: bool) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, before)
    forged = Position(before + jump + 1, before + jump + 1)
    if in_beat:
        incoming.check_tails("server", {"a": forged})
    else:
        assert incoming.accept("server", "a", forged) == (True, 0)
    assert all(speak(incoming, outgoing, 200))
    assert incoming.lost == (min(jump + 1, MAX_LOST) if in_beat else 0)


@pytest.mark.parametrize("place", [1, 3, 400])
def test_a_huge_number_in_a_plausible_place(place: int) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 2)
    incoming.accept("server", "a", Position(2**50, place))
    assert all(speak(incoming, outgoing, 200))


@pytest.mark.parametrize("forged", [Position(2**50, 1), Position(2**50, 2**50), Position(500, 400)])
def test_the_first_message_of_all_is_forged(forged: Position) -> None:
    for sent in (0, 1000):  # before this process joined the room
        outgoing, incoming = Outgoing(), Incoming()
        for _ in range(sent):
            outgoing.next("a")
        incoming.accept("server", "a", forged)
        assert all(speak(incoming, outgoing, 200))


def test_two_forged_jumps_in_a_row() -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 5)
    for number in (10**6, 10**9, 10**12):
        for place in (1, 2, number):
            incoming.accept("server", "a", Position(number, place))
    assert all(speak(incoming, outgoing, 200))
    assert incoming.lost == 0


@given(st.integers(MAX_GAP + 1, 3000), st.booleans())
def test_a_real_gap_of_any_size_is_believed(missing: int, beat: bool) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 3)
    position = [outgoing.next("a") for _ in range(missing)][-1]
    if beat:
        outgoing.sent("a", position)
        outgoing.tails()
        assert incoming.check_tails("server", outgoing.tails()) == missing
    assert all(speak(incoming, outgoing, 2))
    assert incoming.lost == missing
    first = [Position(number, number) for number in range(4, 4 + MAX_GAP)]
    assert not any(incoming.accept("server", "a", late)[0] for late in first), "they are overtaken"


@pytest.mark.parametrize(
    "position", [(0, 0), (1, 0), (1, 2), (2**53 + 1, 1), (2**63, 2**63), (-1, -1), (5, -1)]
)
def test_what_nobody_counts_to(position: tuple[int, int]) -> None:
    assert not Position(*position).plausible
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 1)
    assert incoming.check_tails("server", {"a": position}) == 0
    assert speak(incoming, outgoing, 1) == [True]


def test_made_up_servers_and_lanes_take_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MAX_LANES", "MAX_SENDERS", "MAX_DOUBTED"):
        monkeypatch.setattr(f"realtime.hub.lanes.{limit}", 3)
    outgoing, incoming = Outgoing(), Incoming()
    for number in range(1, 50):
        for lane in ("a", f"lane {number}"):
            incoming.accept(f"server {number}", lane, Position(10**9, 10**9))
            incoming.accept(f"server {number}", lane, Position(5, 5))
        assert speak(incoming, outgoing, 1) == [True]
    assert len(incoming._lanes) <= 3
    assert all(len(servers) <= 3 for servers in incoming._lanes.values())
    assert sum(map(len, incoming._doubts.values())) <= 9
