"""What each client must have got, and may have got, by what was done and acknowledged."""

from __future__ import annotations

import itertools
from bisect import bisect
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.recovery.chaos.payloads import payload_of
from tests.recovery.chaos.servers import Life

# An event that was emitted may still be on its way to a client that joins or leaves its room later:
# for longer where something stands still, or the machine has too much to do.
SLACK, LONG_SLACK = 10.0, 60.0

# How long an event may take from its acknowledgement until it has left its process for good.
LEAVING = 5.0

# What a client has not got, though it has got what was sent so much later, is none of what it is
# told of behind that.
TOLD_OF = 15.0


@dataclass
class Emit:
    """
    An event, with its number, that `sender` was asked for at `began`; the `lives` are the processes
    that may have been asked.

    `ended` is when it was acknowledged; without that it may have been sent or not.
    """

    number: int
    sender: str
    namespace: str
    rooms: tuple[str, ...]
    excluded: tuple[str, ...]
    volatile: bool
    began: float
    ended: float | None = None
    lives: tuple[Life, ...] = ()
    slack: float = SLACK

    def end(self, now: float) -> None:
        """Note that it was acknowledged: it has left its process, unless that is dead by now."""
        if not any(life.killed for life in self.lives):
            self.ended = now


@dataclass
class Move:
    """A join or a leave: in effect some time after `began`, and by `done`."""

    began: float
    inside: bool
    done: float | None = None


@dataclass
class Session:
    """
    A client's time as one sid, from its CONNECT to the moment when it was told of a loss; `spoilt`
    are events that have come with something else than they were sent with.

    `away` is set while it has dropped, and for good where it does not come back to this.
    """

    sid: str
    namespace: str
    began: float
    ready: float
    rooms: frozenset[str]
    moves: dict[str, list[Move]] = field(default_factory=lambda: defaultdict(list))
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    spoilt: list[int] = field(default_factory=list)
    away: bool = False

    def hear(self, number: int, payload: list[Any], now: float) -> None:
        """Note that an event has come."""
        self.arrivals.append((now, number))
        if payload != payload_of(number):
            self.spoilt.append(number)

    def move(self, room: str, inside: bool, now: float) -> Move:
        """Note that a join or leave has begun."""
        self.moves[room].append(Move(now, inside))
        return self.moves[room][-1]

    def finish(self, room: str, move: Move, now: float) -> None:
        """Note that it is in effect, and with it what went before."""
        for each in self.moves[room]:
            each.done = now if each.done is None else each.done
            if each is move:
                return

    def was_in(self, room: str, since: float, until: float) -> bool | None:
        """Tell whether it was in a room all that time; None where it was not, or who knows."""
        if room == self.sid:
            return True if since >= self.ready else None
        first = Move(self.began, room in self.rooms, self.ready)
        state: bool | None = False
        for move in [first, *self.moves.get(room, ())]:
            if move.began >= until:
                break
            state = move.inside if move.done is not None and move.done <= since else None
        return state

    def was_sent(self, emit: Emit, reached: float) -> bool | None:
        """
        Tell whether it must have got an event; None where it may have. `reached` is when the latest
        of those that it has got was emitted: what came behind that, and what it is told of in its
        place, it may have dropped before.
        """
        if emit.ended is None or emit.namespace != self.namespace:
            return None if emit.namespace == self.namespace else False
        since, until = emit.began, emit.ended + emit.slack
        inside = [self.was_in(room, since, until) for room in emit.rooms]
        outside = [self.was_in(room, since, until) for room in emit.excluded]
        if (inside and not any(each is not False for each in inside)) or True in outside:
            return False
        if since < self.ready or None in outside:
            return None
        if emit.volatile or (self.away and until + TOLD_OF > reached):
            return None
        return True if not inside or True in inside else None


@dataclass
class Fault:
    """What should not have been."""

    kind: str
    client: str
    session: Session
    emit: Emit


class Model:
    """All that was emitted, and all sessions of each client in each namespace."""

    def __init__(self) -> None:
        self.emits: dict[int, Emit] = {}
        self.sessions: dict[str, list[Session]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        # When something has stood still, or was slow.
        self.stalls: list[float] = []
        self._numbers = itertools.count(1)

    def emit(
        self,
        sender: str,
        namespace: str,
        rooms: tuple[str, ...],
        now: float,
        *,
        excluded: tuple[str, ...] = (),
        volatile: bool = False,
        lives: tuple[Life, ...] = (),
    ) -> Emit:
        """Note an event that is about to be emitted."""
        number = next(self._numbers)
        emit = Emit(number, sender, namespace, rooms, excluded, volatile, now, None, lives)
        self.emits[number] = emit
        return emit

    def killed(self, life: Life, now: float) -> None:
        """Note that a process was killed: what it has just been asked for may not have left it."""
        for emit in self.emits.values():
            if life in emit.lives and (emit.ended is None or emit.ended > now - LEAVING):
                emit.ended = None

    def check(self) -> list[Fault]:
        """Return all faults, and count what was looked at."""
        faults: list[Fault] = []
        for emit in self.emits.values():
            emit.slack = LONG_SLACK if self._was_slow(emit) else SLACK
        for client, sessions in self.sessions.items():
            seen: set[int] = set()
            for session in sessions:
                faults += self._check(client, session)
                numbers = {number for _, number in session.arrivals}
                self.counts["twice, in two sessions"] += len(seen & numbers)
                seen |= numbers
        self.counts.update(f"{fault.kind}" for fault in faults)
        return faults

    def _was_slow(self, emit: Emit) -> bool:
        """Tell whether something has stood still while an event was on its way."""
        if emit.ended is None:
            return True
        place = bisect(self.stalls, emit.began)
        return place < len(self.stalls) and self.stalls[place] < emit.ended + LONG_SLACK

    def _check(self, client: str, session: Session) -> list[Fault]:
        arrived = Counter(number for _, number in session.arrivals)
        found = [("spoilt", number) for number in session.spoilt]
        found += [("never emitted", number) for number in arrived if number not in self.emits]
        reached = max(
            (self.emits[number].began for number in arrived if number in self.emits),
            default=session.ready,
        )
        for number, emit in self.emits.items():
            if emit.namespace != session.namespace and not arrived[number]:
                continue
            must, times = session.was_sent(emit, reached), arrived[number]
            self.counts[{True: "must come", False: "must not come", None: "may come"}[must]] += 1
            if times > 1:
                found.append(("doubled", number))
            if must is True and not times:
                found.append(("missing", number))
            if must is False and times:
                found.append(("intruding", number))
        found += [("out of order", number) for number in self._out_of_order(session)]
        return [Fault(kind, client, session, self._emit(number)) for kind, number in found]

    def _emit(self, number: int) -> Emit:
        nothing = Emit(number, "nobody", "", (), (), False, 0.0)
        return self.emits.get(number, nothing)

    def _out_of_order(self, session: Session) -> list[int]:
        """Return what has come behind something that its sender sent later to the same target."""
        found = []
        last: dict[tuple[str, tuple[str, ...]], int] = {}
        for _, number in session.arrivals:
            emit = self._emit(number)
            key = emit.sender, emit.rooms
            if not emit.volatile:
                if number < last.get(key, 0):
                    found.append(number)
                last[key] = number
        return found
