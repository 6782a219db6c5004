"""Since when a socket is in which rooms, so that what it missed can be found again."""

from __future__ import annotations

from typing import NamedTuple

# Rooms left that are remembered; who goes back further is told that something may be missing.
MAX_PAST = 1_000

# Higher than any number of the hub's.
NOW = 2**100


class Stay(NamedTuple):
    """
    A room that a socket was in: for the events numbered above `after`, up to `until`. What leaves
    that room out was not for it from above `excluded` on.
    """

    room: str
    after: int
    until: int
    excluded: int


class Trail:
    """
    What the hub's numbers mean for one socket (see `recovery.log`).

    `pid` is the secret by which its client comes back. What is numbered above `since` is for it;
    what it has certainly got is numbered up to `confirmed`. What it has missed can be told from
    `floor` on. `names` has, by its number, the names that an event had for the client before it was
    logged anew (see `recovery.offsets`).
    """

    # The floor of one whose client is told of a loss, whatever it has got.
    NEVER = NOW

    __slots__ = ("_joined", "_known", "_past", "confirmed", "floor", "names", "pid", "since")

    def __init__(self, pid: str, since: int) -> None:
        self.pid = pid
        self.since = self.confirmed = self.floor = since
        self.names: dict[int, tuple[str, ...]] = {}
        # Rooms joined after `since`, with the number then; and those left.
        self._joined: dict[str, int] | None = None
        # Those of them that it was in before, as far as other hubs know, with the number then.
        self._known: dict[str, int] | None = None
        self._past: list[Stay] | None = None

    def join(self, room: str, number: int, known: int | None = None) -> None:
        """
        Take note that the socket is in a room from now on. Where another hub knew of that before,
        since a number between `known` and this one, that has all that was for the room by then.
        """
        if self._joined is None:
            self._joined = {}
        self._joined[room] = number
        if known is not None:
            self._known = {**(self._known or {}), room: known}

    def leave(self, room: str, number: int) -> None:
        """Take note that the socket is in a room no more."""
        stay = self._stay(room, number)
        for known in (self._joined, self._known):
            if known is not None:
                known.pop(room, None)
        if self._past is None:
            self._past = []
        self._past.append(stay)
        if len(self._past) > MAX_PAST:
            self.floor = max(self.floor, self._past.pop(0).until)

    def confirm(self, number: int) -> None:
        """Take note that the client has what is numbered up to this."""
        self.confirmed = number
        if self.names:
            self.names = {each: names for each, names in self.names.items() if each > number}
        if self._past is not None:
            self._past = [stay for stay in self._past if stay.until > number] or None

    def stays(self, rooms: set[str]) -> list[Stay]:
        """Return the stays in rooms, those that go on in `rooms` and those that have ended."""
        return [*(self._stay(room, NOW) for room in rooms), *(self._past or ())]

    def _stay(self, room: str, until: int) -> Stay:
        after = (self._joined or {}).get(room, self.since)
        return Stay(room, after, until, (self._known or {}).get(room, after))

    # For who keeps a trail elsewhere

    def dump(self) -> tuple[int, int, int, dict[str, int], list[Stay]]:
        """
        Return what `load` makes an equal one of, but for what there is only where each hub has a
        log of its own: names, and what other hubs know.
        """
        return self.since, self.confirmed, self.floor, self._joined or {}, self._past or []

    @classmethod
    def load(cls, pid: str, dumped: tuple[int, int, int, dict[str, int], list[Stay]]) -> Trail:
        """Return the trail of what `dump` has returned."""
        since, confirmed, floor, joined, past = dumped
        trail = cls(pid, since)
        trail.confirmed, trail.floor = confirmed, floor
        trail._joined, trail._past = joined or None, past or None
        return trail

    def rejoin(self, room: str, number: int) -> bool:
        """Take note that a room was joined later than was noted; tell whether that is news."""
        if self._joined is None or self._joined.get(room, NOW) >= number:
            return False
        self._joined[room] = number
        return True

    def merge(self, other: Trail) -> None:
        """Take note of what another hub has noted that had the same client: what it has lost."""
        self.confirmed = max(self.confirmed, other.confirmed)
        self.floor = max(self.floor, other.floor)
        for room, number in (other._joined or {}).items():
            self.rejoin(room, number)
