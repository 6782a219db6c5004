"""
The order of messages on their way through the layer.

A lane is a group, or one process's channel. Messages of one sender in one lane arrive in order or
not at all; the receiver notices those that were lost or came twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# Lanes that are kept count of; the one unused for longest is forgotten beyond that.
MAX_LANES = 50_000

# Lanes named in one beat.
MAX_TAILS = 200


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


class Incoming:
    """Looks at the messages that arrive: `lost` counts those that did not."""

    def __init__(self) -> None:
        self.lost = 0
        self._lanes: dict[str, dict[str, Position]] = {}

    def accept(self, server: str, lane: str, position: Position) -> tuple[bool, int]:
        """
        Take note of a message; tell whether it is to be handled, and how many before it were lost.

        One that came before is not, nor one that its successors have overtaken. The first message
        of a server in a lane is where counting starts.
        """
        servers = self._lanes.get(lane)
        if servers is None:
            servers = self._lanes[lane] = {}
            if len(self._lanes) > MAX_LANES:
                del self._lanes[next(iter(self._lanes))]
        last, lost = servers.get(server), 0
        if last is not None:
            if position.number <= last.number:
                return False, 0
            lost = max(0, position.place - last.place - 1)
        servers[server] = position
        self.lost += lost
        return True, lost

    def check_tails(self, server: str, tails: Mapping[str, tuple[int, int]]) -> int:
        """Compare with what a server says it sent last in its lanes; return how many were lost."""
        lost = 0
        for lane, (number, place) in tails.items():
            servers = self._lanes.get(lane, {})
            last = servers.get(server)
            if last is not None and number > last.number:
                lost += max(1, place - last.place)
                servers[server] = Position(number, place)
        self.lost += lost
        return lost

    def forget_server(self, server: str) -> None:
        """Forget a server that is gone."""
        for servers in self._lanes.values():
            servers.pop(server, None)

    def forget_lane(self, lane: str) -> None:
        """Forget a lane that this process has left."""
        self._lanes.pop(lane, None)
