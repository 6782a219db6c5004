"""Connections whose clients are asked from time to time whether they are there."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ..webservers.writers import Writer
from .connection import Connection
from .heartbeats import NEVER
from .interfaces import Hub


class WatchedConnection(Connection):
    """
    A connection with a heartbeat, from `watch` on: a client that does not answer is gone.

    `pinged` tells whether a pong is awaited.
    """

    __slots__ = ("_due", "_slot", "pinged")

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer, sid: str = "") -> None:
        super().__init__(hub, scope, writer, sid)
        self.pinged = False
        # The slots of the hub's timers in which the next ping is due (or the end, where a pong
        # is), and in which this is called next.
        self._due = self._slot = NEVER

    @property
    def watched(self) -> bool:
        return self._due != NEVER

    def watch(self) -> None:
        """Ping the client from now on, and close where no pong comes."""
        self._due = self.hub.timers.after(self.hub.settings.PING_INTERVAL)
        self._set_timer()

    def seconds_left(self) -> float:
        """Return how long it is until the next ping, or the end where a pong is awaited."""
        return self.hub.timers.until(self._due)

    def watch_on(self, pinged: bool, seconds: float) -> None:
        """Go on as another process has begun: it was pinged, or is to be in so many seconds."""
        self.pinged = pinged
        timeout = self.hub.settings.PING_TIMEOUT  # anew: the answer may come here, or still there
        self._due = self.hub.timers.after(timeout if pinged else seconds)
        self.hub.timers.remove(self, self._slot)
        self._set_timer()

    def _set_timer(self) -> None:
        self._slot = self._next_slot()
        self.hub.timers.add(self, self._slot)

    def _next_slot(self) -> int:
        """Return the slot in which something is due."""
        return self._due

    def on_timer(self, slot: int) -> None:
        """Do what is due in a slot of the hub's timers: a ping, or the end."""
        self.attempt(self._on_timer, slot)
        if not self.closed.happened:
            self._set_timer()

    def _on_timer(self, slot: int) -> None:
        if slot < self._due:
            return
        if not self.pinged:
            self.ping()
            self._await_pong()
        elif self.throttled:  # nothing of the client is read meanwhile
            self._check_unread()
        else:
            self._ping_timeout()

    def _check_unread(self) -> None:
        """
        Close where the client is gone all the same: it has hung up, or the ping has not reached it.

        Another ping finds, on any system, that a socket was reset.
        """
        if self.writer.has_hung_up():
            self.close("transport close")
        elif self.writer.is_undelivered():
            self.close("ping timeout")
        else:
            self.ping()
            self._await_pong()

    @abstractmethod
    def ping(self) -> None:
        """Ask the client whether it is there."""

    def _await_pong(self) -> None:
        self.pinged = True
        self._due = self.hub.timers.after(self.hub.settings.PING_TIMEOUT)

    def _ping_timeout(self) -> None:
        """Close, since no pong has come in time."""
        self.close("ping timeout")

    def pong(self) -> None:
        """Take note that the client is there."""
        self.pinged = False
        self._due = self.hub.timers.after(self.hub.settings.PING_INTERVAL)
        if self._due < self._slot:
            self.hub.timers.remove(self, self._slot)
            self._set_timer()

    def close_transport(self, reason: str, text: str) -> None:
        self.hub.timers.remove(self, self._slot)
