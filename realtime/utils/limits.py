"""How much one client, one user or one address may do."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from math import inf
from typing import Any, NamedTuple

from ..exceptions import RateLimited, TooManyConnections

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d{1,9})/(\d{1,6})?([smh])")

# The name of the limit for every event that has none of its own.
ANY = "*"

# Seconds between two log lines about what happens again and again.
LOG_INTERVAL = 1.0

RateLimits = Mapping[str, str]


class Rate(NamedTuple):
    """So many events in so many seconds."""

    events: int
    seconds: float


def parse_rate(text: Any) -> Rate:
    """Return the rate of a text like "5/s", "100/m" or "20/10s". Raises ValueError."""
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None or not int(match[1]) or (match[2] and not int(match[2])):
        raise ValueError(f'a rate is a text like "5/s", "100/m" or "20/10s", not {text!r}')
    return Rate(int(match[1]), int(match[2] or 1) * _UNITS[match[3]])


def fits_rate(value: Any) -> bool:
    """Tell whether a value is the text of a rate."""
    try:
        parse_rate(value)
    except ValueError:
        return False
    return True


def fits_rate_limits(value: Any) -> bool:
    """Tell whether a value is a dict of rates by event, or by namespace and event."""
    if not isinstance(value, Mapping):
        return False
    try:
        for namespace, rates in value.items():
            if not isinstance(namespace, str) or not isinstance(rates, Mapping):
                return False
            check_rates(rates)
    except ValueError:
        return False
    return True


def check_rates(rates: Any) -> None:
    """Raise ValueError for what is no dict of rates by event."""
    if not isinstance(rates, Mapping):
        raise ValueError(f"rate limits are a dict of rates by event, not {rates!r}")
    for event, rate in rates.items():
        if not isinstance(event, str):
            raise ValueError(f"an event's name is a text, not {event!r}")
        parse_rate(rate)


class Bucket:
    """A rate's tokens: it starts full, and an event takes one."""

    __slots__ = ("_filled", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.events)
        self._filled = now

    def consume(self, now: float) -> bool:
        """Take a token; tell whether there was one."""
        events, seconds = self._rate
        self._tokens = min(events, self._tokens + (now - self._filled) * events / seconds)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class LineLimiter:
    """
    Tells which log lines of one client are written, by kind: so many at once, then a few.

    Those that are left out are counted.
    """

    __slots__ = ("_buckets", "_clock", "_skipped")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._skipped: Counter[str] = Counter()

    def admit(self, kind: str, rate: Rate) -> int | None:
        """
        Return how many lines of a kind were left out since the last one; None where this one is.
        """
        now = self._clock()
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(rate, now)
        if bucket.consume(now):
            return self._skipped.pop(kind, 0)
        self._skipped[kind] += 1
        return None

    def pop_skipped(self) -> dict[str, int]:
        """Return how many lines of each kind were left out and not told of yet; forget that."""
        skipped = dict(self._skipped)
        self._skipped.clear()
        return skipped


class LogLimiter:
    """Tells when what happens again and again is worth a line in the log."""

    __slots__ = ("_clock", "_logged")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged = -inf

    def should_log(self) -> bool:
        """
        Tell whether it is worth a line now: the first time, then once in LOG_INTERVAL seconds.
        """
        now = self._clock()
        if now - self._logged < LOG_INTERVAL:
            return False
        self._logged = now
        return True


class EventLimiter(LogLimiter):
    """
    The rate limits of one socket, whose refusals are not each worth a line in the log.

    `limits` are rates by event; the one with the name ANY is a limit for all other events together.
    """

    __slots__ = ("_buckets", "_limits")

    def __init__(self, limits: RateLimits, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._limits = limits
        now = clock()
        self._buckets = {event: Bucket(parse_rate(rate), now) for event, rate in limits.items()}

    def check(self, event: str) -> None:
        """Count an event. Raises RateLimited for one too many."""
        name = event if event in self._buckets else ANY
        bucket = self._buckets.get(name)
        if bucket is not None and not bucket.consume(self._clock()):
            raise RateLimited(f"more than {self._limits[name]} of {event!r}"[:200])


def find_limits(
    settings: Mapping[str, RateLimits], namespace: str, of_class: RateLimits
) -> dict[str, str]:
    """
    Return the rates by event for a namespace.

    `settings` are those of ``REALTIME["RATE_LIMITS"]``, by patterns of namespaces: a later one wins
    over an earlier one, and the consumer's class over all.
    """
    limits: dict[str, str] = {}
    for pattern, rates in settings.items():
        if fnmatchcase(namespace, pattern):
            limits.update(rates)
    return {**limits, **of_class}


class ConnectionLimits:
    """
    Counts this process's connections by user and by address.

    A limit of 0 is none. What any page can start with a user's cookie, a polling handshake, counts
    for the address alone, until the client shows that it has got the answer.
    """

    def __init__(self, *, per_user: int, per_address: int) -> None:
        self._limits = {"user": per_user, "address": per_address}
        self._counts: Counter[tuple[str, Any]] = Counter()

    def admit(self, user: str | None, address: str) -> Callable[[], None]:
        """
        Count a connection of a user (its primary key as a text, or None) and an address.

        Returns what is to be called when it is over. Raises TooManyConnections.
        """
        keys = self._check(user, address)
        return self._count(keys) if keys else _nothing

    def admit_unproven(self, user: str | None, address: str) -> Callable[[], None]:
        """
        Count a connection for its address alone so far, and return what ends that, as `admit` does.
        """
        self._check(user, "")
        return self.admit(None, address)

    @property
    def bounds_users(self) -> bool:
        """Whether a user may have too many connections."""
        return bool(self._limits["user"])

    def admit_returning(self, user: str) -> Callable[[], None]:
        """
        Count a connection of a user who has as many as it may, and of which this one may take the
        place of one; return what ends that, as `admit` does. There may be as many again of them.
        """
        key = ("returning", user)
        if self._counts[key] >= self._limits["user"]:
            raise TooManyConnections(f"{self._counts[key]} more of this user are coming back")
        return self._count([key])

    def _count(self, keys: list[tuple[str, str]]) -> Callable[[], None]:
        self._counts.update(keys)

        def leave() -> None:
            for key in keys:
                self._counts[key] -= 1
                if not self._counts[key]:
                    del self._counts[key]

        return leave

    def _check(self, user: str | None, address: str) -> list[tuple[str, str]]:
        """Return what a connection counts for. Raises TooManyConnections."""
        keys = [
            (kind, name)
            for kind, name in (("user", user), ("address", address))
            if self._limits[kind] and name not in (None, "")
        ]
        for key in keys:
            if self._counts[key] >= self._limits[key[0]]:
                raise TooManyConnections(
                    f"this {key[0]} has {self._counts[key]} connections already"
                )
        return keys


def _nothing() -> None:
    """End a connection that is not counted: there is nothing to give back."""
