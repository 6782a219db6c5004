"""Since when a socket is in which rooms, so that what it missed can be found again."""

from __future__ import annotations

from typing import NamedTuple

# Rooms left that are remembered; who goes back further is told that something may be missing.
MAX_PAST = 1_000

# Higher than any number of the hub's.
NOW = 2**100


class Stay(NamedTuple):
    """A room that a socket was in: for the events numbered above `after`, up to `until`."""

    room: str
    after: int
    until: int


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

    __slots__ = ("_joined", "_past", "confirmed", "floor", "names", "pid", "since")

    def __init__(self, pid: str, since: int) -> None:
        self.pid = pid
        self.since = self.confirmed = self.floor = since
        self.names: dict[int, tuple[str, ...]] = {}
        # Rooms joined after `since`, with the number then; and those left.
        self._joined: dict[str, int] | None = None
        self._past: list[Stay] | None = None

    def join(self, room: str, number: int) -> None:
        """Take note that the socket is in a room from now on."""
        if self._joined is None:
            self._joined = {}
        self._joined[room] = number

    def leave(self, room: str, number: int) -> None:
        """Take note that the socket is in a room no more."""
        after = self._joined.pop(room, self.since) if self._joined else self.since
        if self._past is None:
            self._past = []
        self._past.append(Stay(room, after, number))
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
        joined = self._joined or {}
        present = [Stay(room, joined.get(room, self.since), NOW) for room in rooms]
        return [*present, *(self._past or ())]

    # For who keeps a trail elsewhere

    def dump(self) -> tuple[int, int, int, dict[str, int], list[Stay]]:
        """Return what `load` makes an equal one of, but for names."""
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
