"""
Clocks that are off, as far as beats tell.

channels_redis' core layer stamps messages and memberships with the clock of who sends, and throws
away what is too old by it: a process that is days ahead empties the groups of all others.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from statistics import median_low
from typing import NamedTuple

from ..logs import log

# Seconds that a clock may differ from the others'.
TOLERANCE = 5.0

# Beats of a server that are looked at: one may be late, but hardly all of them.
BEATS = 3

# How long after its last beat a server's clock counts, in seconds.
MAX_AGE = 60.0

# Servers whose clocks are known at a time.
MAX_SERVERS = 1_000

# Looks in a row that must find a clock off, or right again.
SURE = 2


class Heard(NamedTuple):
    """How long after they were sent a server's last beats were heard, by both clocks; and when."""

    delays: deque[float]
    at: float


class Clocks:
    """
    Compares this server's clock with those of the others.

    `off` says of each server whose clock is off by how many seconds it is ahead. Where no majority
    agrees, nobody knows which one is wrong: then it has all that differ from this one.
    """

    def __init__(
        self,
        server: str,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.off: dict[str, float] = {}
        self._server = server
        self._now = now
        self._clock = clock
        self._heard: dict[str, Heard] = {}
        self._doubts: dict[str, int] = {}

    def heard(self, server: str, sent: float) -> None:
        """Take note of a beat, this server's own or another's, with the time when it was sent."""
        if not 0 < sent < 1e12:
            return  # it says nothing
        last = self._heard.pop(server, None)
        delays = last.delays if last is not None else deque(maxlen=BEATS)
        delays.append(self._clock() - sent)
        self._heard[server] = Heard(delays, self._now())
        if len(self._heard) > MAX_SERVERS:
            del self._heard[next(iter(self._heard))]

    def forget(self, server: str) -> None:
        """Forget a server that has left."""
        self._heard.pop(server, None)

    def compare(self) -> None:
        """Find out who is off; log it when that is sure, and when it is over."""
        found = self._find()
        for server in {*found, *self.off}:
            if (server in found) == (server in self.off):
                self._doubts.pop(server, None)
                if server in found:
                    self.off[server] = found[server]
                continue
            self._doubts[server] = self._doubts.get(server, 0) + 1
            if self._doubts[server] >= SURE:
                self._note(server, found.get(server))
        for server in self._doubts.keys() - found.keys() - self.off.keys():
            del self._doubts[server]

    def _find(self) -> dict[str, float]:
        """Return by how many seconds clocks are ahead of what is right, of those that are off."""
        ahead = self._ahead()
        right = median_low(ahead.values())
        agreeing = sum(abs(seconds - right) <= TOLERANCE for seconds in ahead.values())
        if 2 * agreeing <= len(ahead):
            right = 0.0
        return {
            server: seconds - right
            for server, seconds in ahead.items()
            if abs(seconds - right) > TOLERANCE
        }

    def _ahead(self) -> dict[str, float]:
        """Return by how many seconds clocks are ahead of this server's, 0 for its own."""
        ahead = {self._server: 0.0}
        limit = self._now() - MAX_AGE
        own = self._heard.get(self._server)
        usual = max(0.0, min(own.delays)) if own is not None else 0.0
        for server, (delays, at) in self._heard.items():
            if server != self._server and at > limit and len(delays) == BEATS:
                delay = min(delays)
                # What takes long to get here says nothing of clocks; what came before it was sent
                # says all.
                ahead[server] = -max(0.0, delay - usual) if delay > 0 else -delay
        return ahead

    def _note(self, server: str, seconds: float | None) -> None:
        del self._doubts[server]
        if seconds is None:
            del self.off[server]
            log(logging.WARNING, "clock-right", server=server)
            return
        self.off[server] = seconds
        log(
            logging.ERROR,
            "clock-off",
            server=server,
            own=server == self._server,
            ahead=round(seconds, 1),
            hint="keep the clocks of all machines together (NTP); "
            "the core layer loses messages and memberships otherwise",
        )
