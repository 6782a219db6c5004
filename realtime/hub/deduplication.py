"""What has come lately for clients that move, since each of them is to get it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import NamedTuple

# For how long after a move what was sent before it may still come, in seconds.
GRACE = 10.0


class Had(NamedTuple):
    """The clients that have got something by a forward, and until when that matters."""

    until: float
    sids: list[str]


class Deduplicator:
    """
    Remembers, by their ids, events that may come twice; `now` is the loop's clock.

    `look_later` is called when there is something to be forgotten in a while.
    """

    def __init__(self, now: Callable[[], float], look_later: Callable[[], None]) -> None:
        self._now = now
        self._look_later = look_later
        self._recent: dict[str, float] = {}  # clients that have come lately, and until when
        self._arrived: dict[str, float] = {}  # what has come since, and when
        self._had: dict[str, Had] = {}

    def __bool__(self) -> bool:
        return bool(self._recent or self._arrived or self._had)

    @property
    def active(self) -> bool:
        """Whether what comes is to be noted, or looked for here."""
        return bool(self._recent or self._had)

    def watch(self, sid: str) -> None:
        """Note for a while what comes, since a client has: it may have got that where it was."""
        self._recent.pop(sid, None)
        self._recent[sid] = self._now() + 2 * GRACE
        self._look_later()

    def note(self, id: str) -> None:
        """Take note that something has come, if anybody may get it twice."""
        if id and self._recent:
            self._arrived.pop(id, None)
            self._arrived[id] = self._now()

    def has_come(self, id: str, since: float) -> bool:
        """Tell whether something has come since a time, as far as that is known."""
        return self._arrived.get(id, -1.0) >= since

    def note_had(self, sid: str, ids: Iterable[str]) -> None:
        """Take note of what a client has got otherwise."""
        until = self._now() + 2 * GRACE
        for id in ids:
            self._had.setdefault(id, Had(until, [])).sids.append(sid)
        self._look_later()

    def who_had(self, id: str) -> list[str]:
        """Return the clients that have got something otherwise."""
        had = self._had.get(id)
        return [] if had is None else had.sids

    def sweep(self) -> None:
        """Forget what is too old to matter."""
        now = self._now()
        for sid in past(self._recent, now):
            del self._recent[sid]
        for id in past(self._arrived, now - 2 * GRACE):
            del self._arrived[id]
        for id in list(takewhile(lambda id: self._had[id].until <= now, self._had)):
            del self._had[id]


def past(times: dict[str, float], now: float) -> list[str]:
    """Return the names whose time is over, of a dict in the order of times."""
    return list(takewhile(lambda name: times[name] <= now, times))
