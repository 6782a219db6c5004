"""What the random run demands: all that a client has not got, and that it was not told of."""

from __future__ import annotations

import pytest

from tests.recovery.chaos.model import SLACK, TOLD_OF, Model, Session
from tests.recovery.chaos.payloads import payload_of
from tests.recovery.chaos.servers import Life

CLIENT, SID, NAMESPACE = "a client", "its sid", "/a/namespace"


class Past:
    """An event for each second, a client that was there all the time, and what it has heard."""

    def __init__(self) -> None:
        self.model = Model()
        self.session = Session(SID, NAMESPACE, 0.0, 0.0, frozenset())
        self.model.sessions[CLIENT].append(self.session)
        for second in range(1, 101):
            emit = self.model.emit("a sender", NAMESPACE, (), float(second))
            emit.ended = second + 0.1

    def hear(self, *numbers: int) -> None:
        """Let the client hear events, as late as may be."""
        for number in numbers:
            self.session.hear(number, payload_of(number), 200.0)

    def faults(self) -> list[tuple[str, int]]:
        """Return what each fault is, and which event it is about."""
        return [(fault.kind, fault.emit.number) for fault in self.model.check()]


@pytest.fixture
def past() -> Past:
    return Past()


def test_who_is_there_must_have_heard_everything(past: Past) -> None:
    past.hear(*range(1, 50), *range(51, 100))
    assert past.faults() == [("missing", 50), ("missing", 100)]


def test_what_nothing_has_come_behind_is_what_a_client_is_told_of(past: Past) -> None:
    """It has dropped in the midst of what it had missed, and was away for long."""
    past.hear(*range(1, 50))
    past.session.away = True
    assert past.faults() == []


def test_a_hole_in_what_a_client_has_heard_is_not_what_it_is_told_of_later(past: Past) -> None:
    past.hear(*range(1, 50), *range(51, 100))
    past.session.away = True
    assert past.faults() == [("missing", 50)]


def test_a_hole_just_before_the_last_that_a_client_has_heard(past: Past) -> None:
    """A loss is noticed some time after it: who is told of it has heard later events."""
    last = 50 + int(SLACK + TOLD_OF)
    past.hear(*range(1, 50), *range(51, last + 1))
    past.session.away = True
    assert past.faults() == []
    past.hear(last + 1)
    assert past.faults() == [("missing", 50)]


def test_who_has_heard_nothing_at_all(past: Past) -> None:
    past.session.away = True
    assert past.faults() == []
    past.session.away = False
    assert past.faults() == [("missing", number) for number in range(1, 101)]


def test_what_comes_twice_or_not_as_it_was_sent(past: Past) -> None:
    past.hear(*range(1, 101), 50)
    past.session.spoilt.append(60)
    assert past.faults() == [("spoilt", 60), ("doubled", 50), ("out of order", 50)]


def test_what_nobody_has_sent_or_not_to_this_namespace(past: Past) -> None:
    emit = past.model.emit("a sender", "/another", (), 101.0)
    emit.end(101.0)
    past.hear(*range(1, 102), -1)
    assert past.faults() == [("never emitted", -1), ("intruding", 101), ("out of order", -1)]


def test_what_a_process_was_asked_for_that_is_killed_may_have_been_lost(past: Past) -> None:
    life = Life()
    for second in (101.0, 110.0):
        past.model.emit("a driver", NAMESPACE, (), second, lives=(life,)).end(second)
    past.hear(*range(1, 101))
    life.killed = True
    past.model.killed(life, 111.0)
    past.model.emit("a driver", NAMESPACE, (), 111.0, lives=(life,)).end(112.0)
    assert past.faults() == [("missing", 101)]


def test_who_joins_while_an_event_is_on_its_way_may_get_it(past: Past) -> None:
    """That may take long where something has stood still, and else it may not."""
    past.model.emit("a driver", NAMESPACE, ("a room",), 101.0).end(101.1)
    move = past.session.move("a room", True, 101.0 + SLACK + 2)
    past.session.finish("a room", move, 101.0 + SLACK + 3)
    past.hear(*range(1, 102))
    assert past.faults() == [("intruding", 101)]
    past.model.stalls.append(105.0)
    assert past.faults() == []
