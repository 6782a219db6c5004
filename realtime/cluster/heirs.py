"""Who has the sessions of hubs that have stopped, and who is to get those of one that stops."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable
from itertools import islice
from typing import Any

from .peers import MAX_KNOWN
from .reports import MAX_SERVERS

# Among hubs that are this much older than the youngest, and so many seconds, any is as good.
FRESH_FACTOR, FRESH_SECONDS = 2.0, 60.0


class Heirs:
    """
    Knows from beats who is whose heir, for `seconds` after the last beat that has said so.

    `is_there(server)` tells whether a hub is a peer, `reports()` what each peer has told last.
    """

    def __init__(
        self,
        server: str,
        seconds: float,
        now: Callable[[], float],
        is_there: Callable[[str], bool],
        reports: Callable[[], dict[str, dict[str, Any]]],
    ) -> None:
        self._server = server
        self._seconds = seconds
        self._now = now
        self._is_there = is_there
        self._reports = reports
        self._claimed: dict[str, float] = {}  # whose heir this hub is, and until when
        self._heirs: dict[str, tuple[str, float]] = {}  # the others', and until when that counts

    # This hub's own

    def claim(self, server: str) -> None:
        """
        Take note that this hub has the sessions of another one, and so those that one had as heir.
        """
        now = self._now()
        self._put_claim(server, now + self._seconds)
        for other, (heir, until) in self._heirs.items():
            if heir == server and until > now:
                self._put_claim(other, until)

    def _put_claim(self, server: str, until: float) -> None:
        if server != self._server:
            until = max(until, self._claimed.pop(server, until))
            self._claimed[server] = until

    def claimed(self) -> list[str]:
        """Return whose heir this hub is, for its report: the newest, where there are many."""
        now = self._now()
        self._claimed = {server: until for server, until in self._claimed.items() if until > now}
        return list(self._claimed)[-MAX_SERVERS:]

    # All others'

    def heard(self, heir: str, servers: Iterable[str]) -> None:
        """Take note whose heir a hub says to be."""
        until = self._now() + self._seconds
        for server in servers:
            self._heirs.pop(server, None)
            self._heirs[server] = heir, until
        if len(self._heirs) > MAX_KNOWN:
            for server in list(islice(self._heirs, len(self._heirs) - MAX_KNOWN)):
                del self._heirs[server]

    def find(self, server: str) -> str | None:
        """Return the hub, this one or a peer, that has the sessions of a server; None for none."""
        now = self._now()
        seen: set[str] = set()
        while server not in seen:
            seen.add(server)
            if self._claimed.get(server, 0.0) > now:
                return self._server
            heir, until = self._heirs.get(server, ("", 0.0))
            if until <= now:
                return None
            if self._is_there(heir):
                return heir
            server = heir
        return None

    def choose(self, excluding: Container[str] = ()) -> str | None:
        """
        Return a peer to hand sessions to; None where no other one can have them.

        In a rolling restart one of those that were started last will not stop next. One of them is
        taken by chance, so that hubs that stop together do not all take the same.
        """
        ages = {
            server: float(report["uptime"])
            for server, report in self._reports().items()
            if report.get("recovery") and not report.get("draining") and server not in excluding
        }
        if not ages:
            return None
        limit = FRESH_FACTOR * min(ages.values()) + FRESH_SECONDS
        return random.choice([server for server, age in ages.items() if age <= limit])
