"""
Sequence tracking: which of the messages that arrive were lost on their way, or came before.

A sender that was cut off sends again what it got no answer for, and however long it was away: so
its numbers outlive it, and the memberships of this process. What is believed of them is bounded:
who can write to the layer can forge them, and what follows has to be heard.
"""

from __future__ import annotations

from collections.abc import Mapping

from .positions import Positions
from .sequences import Position

# Bytes for the numbers of the lanes that this process is in, and of those that it has left.
MAX_BYTES = 64 * 1024 * 1024
MAX_BYTES_LEFT = 4 * 1024 * 1024

# A gap of more messages is in doubt until the next one follows it; and after so many messages in
# order that all seem late, they are believed rather than the one that they are late for.
MAX_GAP = 100

# No gap counts for more lost messages.
MAX_LOST = 1_000_000

# Doubts at a time.
MAX_DOUBTS = 10_000

# The place of a sender in a lane that this process has left: what it sends meanwhile is not lost.
UNKNOWN = 0


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
    """Numbers of the messages that arrive. `lost` counts those that did not."""

    def __init__(self) -> None:
        self.lost = 0
        self._known = Positions(MAX_BYTES)
        self._left = Positions(MAX_BYTES_LEFT)
        self._doubts: dict[tuple[str, str], Doubt] = {}

    def accept(self, server: str, lane: str, position: Position) -> tuple[bool, int]:
        """
        Take note of a message; tell whether it is to be handled, and how many before it were lost.

        One that came before is not, nor one that its successors have overtaken. The first message
        of a server in a lane is where counting starts. Where numbers contradict each other, the
        later message is believed.
        """
        known = self._known
        senders = known.lanes.get(lane)
        if senders is None:
            senders = self._come_back(lane)
        last = senders.get(server)
        if last is None:
            self._begin(server, lane, position)
            return True, 0
        (number, place), (last_number, last_place) = position, last
        gap = place - last_place - 1
        if number <= last_number:
            accepted, lost = self._accept_late(server, lane, position, last)
        elif last_place == UNKNOWN:
            self._begin(server, lane, position)
            return True, 0
        elif 0 <= gap <= MAX_GAP and not self._doubts:
            accepted, lost = True, gap
        else:
            accepted, lost = True, self._judge_gap(server, lane, last, gap)
        if accepted:
            senders[server] = position
        if known.crowded:
            known.touch(lane, server)
        self.lost += lost
        return accepted, lost

    def _come_back(self, lane: str) -> dict[str, Position]:
        """Return what is still known of a lane that is used again."""
        for server, position in self._left.pop(lane).items():
            self._known.put(lane, server, position)
        return self._known.lanes.get(lane, {})

    def _begin(self, server: str, lane: str, position: Position) -> None:
        """Count a server's messages in a lane from here on."""
        self._trust(server, lane)  # what was doubted of it is forgotten
        forgotten = self._known.put(lane, server, position)
        if forgotten is not None:
            self._trust(forgotten, lane)
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
        Tell, as `accept` does, of a message whose number is no higher than the last one's.

        It is old, unless the last one lied.
        """
        if position.number == last.number and last.place in (position.place, UNKNOWN):
            return False, 0
        doubt = self._doubts.get((lane, server)) or self._doubt(server, lane, Doubt())
        # No sender gives a message a lower number, and a place that is not lower.
        contradicts = last.place != UNKNOWN and position.place >= last.place
        goes_on = doubt.goes_on(position)
        if not (contradicts or goes_on or doubt.note_late(position)):
            return False, 0
        before = doubt.before
        # Which of them lied is known when the next one follows.
        self._doubt(server, lane, Doubt(jump=True))
        return True, position.place - before.place - 1 if goes_on and before is not None else 0

    def _doubt_jump(self, server: str, lane: str, last: Position, lost: int = 0) -> None:
        """Doubt a jump, which may be the second one after where the server really was."""
        doubt = self._doubts.get((lane, server))
        before = doubt.before if doubt is not None and doubt.jump else last
        self._doubt(server, lane, Doubt(jump=True, before=before, lost=lost))

    def _doubt(self, server: str, lane: str, doubt: Doubt) -> Doubt:
        self._doubts[lane, server] = doubt
        if len(self._doubts) > MAX_DOUBTS:
            del self._doubts[next(iter(self._doubts))]
        return doubt

    def _trust(self, server: str, lane: str) -> Doubt | None:
        """
        End the doubt about a server's numbers in a lane; return it, or None where there was none.
        """
        return self._doubts.pop((lane, server), None)

    def check_tails(self, server: str, tails: Mapping[str, tuple[int, int]]) -> int:
        """Compare with what a server says it sent last in its lanes; return how many were lost."""
        lost = 0
        for lane, tail in tails.items():
            position = Position(*tail)
            last = self._known.get(lane, server)
            if last is None or last.place == UNKNOWN:
                continue
            if position.number <= last.number or not position.plausible:
                continue
            missing = max(1, position.place - last.place)
            if missing > MAX_GAP:
                self._doubt_jump(server, lane, last)
            lost += min(missing, MAX_LOST)
            self._known.put(lane, server, position)
        self.lost += lost
        return lost

    def forget_server(self, server: str) -> None:
        """Forget a server that has left: nothing of it is on its way any more."""
        self._known.forget_sender(server)
        self._left.forget_sender(server)
        for lane, doubted in list(self._doubts):
            if doubted == server:
                self._trust(server, lane)

    def leave_lane(self, lane: str) -> None:
        """
        Take note that this process is not in a lane, or is in it from now on.

        What is sent to it meanwhile is not lost; what came before is not to be handled again.
        """
        for server, last in self._known.pop(lane).items():
            number = self._believed(server, lane, last).number
            self._left.put(lane, server, Position(number, UNKNOWN))

    def leave_all(self) -> None:
        """Take note that this process may not have been in any lane, as `leave_lane`."""
        for lane in list(self._known.lanes):
            self.leave_lane(lane)

    def _believed(self, server: str, lane: str, last: Position) -> Position:
        """Return where a sender was before a jump, which ends that doubt, or else its last."""
        doubt = self._doubts.get((lane, server))
        if doubt is None or (doubt.jump and doubt.before is None):
            return last
        self._trust(server, lane)
        return doubt.before or last
