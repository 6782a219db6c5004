"""
The order of messages on their way through the layer.

A lane is a group, or one process's channel. Messages of one sender in one lane arrive in order or
not at all; the receiver notices those that were lost or came twice. What it believes of a sender's
numbers is bounded: who can write to the layer can forge them, and what follows has to be heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# Lanes that are kept count of; the one unused for longest is forgotten beyond that.
MAX_LANES = 50_000

# Senders that are kept count of in one lane.
MAX_SENDERS = 1_000

# Lanes named in one beat.
MAX_TAILS = 200

# A gap of more messages is in doubt until the next one follows it; and after so many messages in
# order that all seem late, they are believed rather than the one that they are late for.
MAX_GAP = 100

# No gap counts for more lost messages.
MAX_LOST = 1_000_000

# What no sender counts to: a million messages a second for three centuries.
MAX_NUMBER = 2**53

# Lanes in which there are doubts.
MAX_DOUBTED = 1_000


class Lane(NamedTuple):
    """
    Where messages go: a group's name, or a channel's where `direct` is true.

    `wide` lanes reach every room of their namespace, so messages in them and in the namespace's
    other lanes do not overtake each other. Nothing overtakes what is `exclusive`.
    """

    name: str
    direct: bool = False
    namespace: str | None = None
    wide: bool = False
    exclusive: bool = False


class Position(NamedTuple):
    """A message's place: `number` of all its sender's messages, `place` of those in its lane."""

    number: int
    place: int

    @property
    def plausible(self) -> bool:
        """Whether a sender may have counted like this."""
        return 0 < self.place <= self.number <= MAX_NUMBER


class Outgoing:
    """Numbers the messages that leave."""

    def __init__(self) -> None:
        self._number = 0
        self._last: dict[str, Position] = {}
        self._recent: dict[str, Position] = {}
        self._tails: dict[str, Position] = {}

    def next(self, lane: str) -> Position:
        """Return the position of a new message in a lane; `sent` is to follow."""
        self._number += 1
        last = self._last.pop(lane, None)
        position = Position(self._number, last.place + 1 if last else 1)
        self._last[lane] = position
        if len(self._last) > MAX_LANES:
            del self._last[next(iter(self._last))]
        return position

    def sent(self, lane: str, position: Position) -> None:
        """Take note that the layer has a message, or has lost it."""
        if lane in self._recent or len(self._recent) < MAX_TAILS:
            self._recent[lane] = position

    def tails(self) -> dict[str, Position]:
        """
        Return what was sent last in the lanes that were used before the previous call.

        Those used since are left out: their messages may not have arrived yet.
        """
        tails = {
            lane: tuple(last) for lane, last in self._tails.items() if lane not in self._recent
        }
        self._tails, self._recent = self._recent, {}
        return tails  # type: ignore[return-value]


class Doubt:
    """
    What speaks against the last position of a sender in a lane.

    `jump` is set while that is one message alone that does not go on from the one before: `before`
    is where the sender was then, if that is known, and `lost` how many are missing if it is true.
    `late` counts messages in order since, of which `latest` was the last.
    """

    __slots__ = ("before", "jump", "late", "latest", "lost")

    def __init__(
        self, *, jump: bool = False, before: Position | None = None, lost: int = 0
    ) -> None:
        self.jump = jump
        self.before = before
        self.lost = lost
        self.late = 0
        self.latest = 0

    def goes_on(self, position: Position) -> bool:
        """Tell whether a message goes on where the sender was before the jump."""
        before = self.before
        if not self.jump or before is None:
            return self.jump
        return position.number > before.number and 0 < position.place - before.place <= MAX_GAP

    def note_late(self, position: Position) -> bool:
        """Count one more late message; tell whether there are too many."""
        self.late = self.late + 1 if position.number > self.latest else 1
        self.latest = position.number
        return self.late > MAX_GAP


class Incoming:
    """Looks at the messages that arrive: `lost` counts those that did not."""

    def __init__(self) -> None:
        self.lost = 0
        self._lanes: dict[str, dict[str, Position]] = {}
        self._doubts: dict[str, dict[str, Doubt]] = {}

    def accept(self, server: str, lane: str, position: Position) -> tuple[bool, int]:
        """
        Take note of a message; tell whether it is to be handled, and how many before it were lost.

        One that came before is not, nor one that its successors have overtaken. The first message
        of a server in a lane is where counting starts. Where numbers contradict each other, the
        later message is believed.
        """
        servers = self._lanes.get(lane)
        if servers is None:
            servers = self._lanes[lane] = {}
            if len(self._lanes) > MAX_LANES:
                self.forget_lane(next(iter(self._lanes)))
        last = servers.get(server)
        if last is None:
            self._begin(servers, server, lane, position)
            return True, 0
        gap = position.place - last.place - 1
        if position.number <= last.number:
            accepted, lost = self._accept_late(server, lane, position, last)
        elif 0 <= gap <= MAX_GAP and lane not in self._doubts:
            accepted, lost = True, gap
        else:
            accepted, lost = True, self._judge_gap(server, lane, last, gap)
        if accepted:
            servers[server] = position
        self.lost += lost
        return accepted, lost

    def _begin(
        self, servers: dict[str, Position], server: str, lane: str, position: Position
    ) -> None:
        """Count a server's messages in a lane from here on."""
        servers[server] = position
        if len(servers) > MAX_SENDERS:
            oldest = next(iter(servers))
            del servers[oldest]
            self._trust(oldest, lane)
        if position.place > MAX_GAP:
            self._doubt(server, lane, Doubt(jump=True))

    def _judge_gap(self, server: str, lane: str, last: Position, gap: int) -> int:
        """
        Return how many messages are lost before one that came in order.

        A large gap counts when the next message follows it, and so does a lane's new beginning.
        """
        if not 0 <= gap <= MAX_GAP:
            self._doubt_jump(server, lane, last, lost=max(0, min(gap, MAX_LOST)))
            return 0
        doubt = self._trust(server, lane)
        return gap + (doubt.lost if doubt is not None else 0)

    def _accept_late(
        self, server: str, lane: str, position: Position, last: Position
    ) -> tuple[bool, int]:
        """
        Do what `accept` does with a message whose number is no higher than the last one's.

        It is old, unless the last one lied.
        """
        if position == last:
            return False, 0
        doubt = self._doubts.get(lane, {}).get(server) or self._doubt(server, lane, Doubt())
        # No sender gives a message a lower number, and a place that is not lower.
        contradicts = position.place >= last.place
        goes_on = doubt.goes_on(position)
        if not (contradicts or goes_on or doubt.note_late(position)):
            return False, 0
        before = doubt.before
        # Which of them lied is known when the next one follows.
        self._doubt(server, lane, Doubt(jump=True))
        return True, position.place - before.place - 1 if goes_on and before is not None else 0

    def _doubt_jump(self, server: str, lane: str, last: Position, lost: int = 0) -> None:
        """Doubt a jump, which may be the second one after where the server really was."""
        doubt = self._doubts.get(lane, {}).get(server)
        before = doubt.before if doubt is not None and doubt.jump else last
        self._doubt(server, lane, Doubt(jump=True, before=before, lost=lost))

    def _doubt(self, server: str, lane: str, doubt: Doubt) -> Doubt:
        self._doubts.setdefault(lane, {})[server] = doubt
        if len(self._doubts) > MAX_DOUBTED:
            del self._doubts[next(iter(self._doubts))]
        return doubt

    def _trust(self, server: str, lane: str) -> Doubt | None:
        """End a doubt, and return it."""
        doubts = self._doubts.get(lane)
        if doubts is None:
            return None
        doubt = doubts.pop(server, None)
        if not doubts:
            del self._doubts[lane]
        return doubt

    def check_tails(self, server: str, tails: Mapping[str, tuple[int, int]]) -> int:
        """Compare with what a server says it sent last in its lanes; return how many were lost."""
        lost = 0
        for lane, tail in tails.items():
            position = Position(*tail)
            servers = self._lanes.get(lane, {})
            last = servers.get(server)
            if last is None or position.number <= last.number or not position.plausible:
                continue
            missing = max(1, position.place - last.place)
            if missing > MAX_GAP:
                self._doubt_jump(server, lane, last)
            lost += min(missing, MAX_LOST)
            servers[server] = position
        self.lost += lost
        return lost

    def forget_server(self, server: str) -> None:
        """Forget a server that is gone."""
        for servers in self._lanes.values():
            servers.pop(server, None)
        for lane in list(self._doubts):
            self._trust(server, lane)

    def forget_lane(self, lane: str) -> None:
        """Forget a lane that this process has left."""
        self._lanes.pop(lane, None)
        self._doubts.pop(lane, None)
