"""
Sequence numbers: the order of messages on their way through the layer.

A lane is a group, or one process's channel. Messages of one sender in one lane are numbered, so
that they arrive in order or not at all, and once: `sequence_tracking` looks at the numbers.
"""

from __future__ import annotations

from typing import NamedTuple

# Lanes that are kept count of; the one unused for longest is forgotten beyond that.
MAX_LANES = 50_000

# Lanes named in one beat.
MAX_TAILS = 200

# What no sender counts to: a million messages a second for three centuries.
MAX_NUMBER = 2**53


class Lane(NamedTuple):
    """
    Where messages go: a group's name, or a channel's where `direct` is true.

    `wide` lanes reach every room of their namespace, so messages in them and in the namespace's
    other lanes do not overtake each other. Nothing overtakes what is `exclusive`. Events in a lane
    with `streams` are kept there, where the layer keeps a log, and go to the groups in `also` under
    the same numbers.
    """

    name: str
    direct: bool = False
    namespace: str | None = None
    wide: bool = False
    exclusive: bool = False
    streams: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


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
