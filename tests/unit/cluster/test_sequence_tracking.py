"""What is lost on its way, or comes twice, is noticed."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cluster.sequence_tracking import MAX_GAP, MAX_LOST, Incoming
from realtime.cluster.sequences import MAX_NUMBER, Outgoing, Position

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


def test_only_a_server_that_left_is_forgotten() -> None:
    incoming = Incoming()
    for server in ("one", "two"):
        for lane in ("a", "b"):
            assert incoming.accept(server, lane, Position(1, 1)) == (True, 0)
    incoming.leave_lane("b")
    incoming.forget_server("one")
    incoming.forget_server("never heard of")
    assert incoming.accept("one", "a", Position(5, 5)) == (True, 0)
    assert incoming.accept("two", "a", Position(5, 5)) == (True, 3)
    assert incoming.accept("one", "b", Position(1, 1)) == (True, 0)
    assert incoming.accept("two", "b", Position(1, 1)) == (False, 0)


def test_what_came_before_a_room_was_left_is_not_handled_again() -> None:
    """A sender whose answer was lost sends again, while clients leave the room and join it."""
    outgoing, incoming = Outgoing(), Incoming()
    position = [outgoing.next("a") for _ in range(5)][-1]
    assert incoming.accept("server", "a", position) == (True, 0)
    for _ in range(3):
        incoming.leave_lane("a")
        assert incoming.accept("server", "a", position) == (False, 0)
        assert incoming.accept("server", "a", Position(1, 1)) == (False, 0)
    assert speak(incoming, outgoing, 5) == [True] * 5
    assert incoming.lost == 0


def test_what_is_sent_while_this_process_is_away_is_not_lost() -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 5)
    incoming.leave_lane("a")
    position = [outgoing.next("a") for _ in range(500)][-1]
    outgoing.sent("a", position)
    outgoing.tails()
    assert incoming.check_tails("server", outgoing.tails()) == 0
    assert incoming.accept("server", "a", outgoing.next("a")) == (True, 0)
    assert speak(incoming, outgoing, 5) == [True] * 5
    outgoing.next("a")
    assert incoming.accept("server", "a", outgoing.next("a")) == (True, 1)
    incoming.leave_lane("never heard of")
    assert incoming.check_tails("one", {"never heard of": (1, 1)}) == 0


@pytest.mark.parametrize("forged", [Position(10**9, 3), Position(10**9, 10**9)])
@pytest.mark.parametrize("known", [0, 5])
def test_a_forged_number_from_before_a_room_was_left(forged: Position, known: int) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, known)
    incoming.accept("server", "a", forged)
    incoming.leave_lane("a")
    handled = speak(incoming, outgoing, 3 * MAX_GAP)
    assert handled.count(False) <= MAX_GAP
    assert all(handled[-MAX_GAP:])


LIMIT = 200_000


@pytest.mark.parametrize("leave", [False, True])
@pytest.mark.parametrize("name", ["{}", "{}" + "\N{SNOWMAN}" * 150])
@pytest.mark.parametrize("senders", [1, 30])
def test_what_is_kept_is_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch, leave: bool, name: str, senders: int
) -> None:
    for limit in ("MAX_BYTES", "MAX_BYTES_LEFT"):
        monkeypatch.setattr(f"realtime.cluster.sequence_tracking.{limit}", LIMIT)
    monkeypatch.setattr("realtime.cluster.sequence_tracking.MAX_DOUBTS", 10)
    tracemalloc.start()
    try:
        incoming = Incoming()
        before, _ = tracemalloc.get_traced_memory()
        for lane in range(3_000 // senders):
            group = name.format(f"lane {lane}")
            for sender in range(senders):
                number = 10**9 + lane * senders + sender
                incoming.accept(name.format(sender), group, Position(number, number))
            if leave:
                incoming.leave_lane(group)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1.3 * LIMIT
    newest = incoming.accept(name.format(sender), group, Position(number, number))
    assert newest == (False, 0), "the newest is kept"


def test_a_lane_in_use_is_not_forgotten_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.sequence_tracking.MAX_BYTES", 50_000)
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 3)
    for lane in range(1_000):
        incoming.accept("another", f"lane {lane}", Position(1, 1))
        assert speak(incoming, outgoing, 1) == [True]
    outgoing.next("a")
    assert incoming.accept("server", "a", outgoing.next("a")) == (True, 1)


def test_a_sender_in_use_is_not_forgotten_for_made_up_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.cluster.positions.MAX_SENDERS", 10)
    outgoing, incoming = Outgoing(), Incoming()
    speak(incoming, outgoing, 3)
    for sender in range(1_000):
        incoming.accept(f"made up {sender}", "a", Position(1, 1))
        assert speak(incoming, outgoing, 1) == [True]
    outgoing.next("a")
    assert incoming.accept("server", "a", outgoing.next("a")) == (True, 1)


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
