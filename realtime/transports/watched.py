"""Connections whose clients are asked from time to time whether they are there."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from .connection import Connection
from .heartbeats import NEVER
from .writers import Writer

if TYPE_CHECKING:
    from ..hub import Hub


class WatchedConnection(Connection):
    """
    A connection with a heartbeat, from `watch` on: a client that does not answer is gone.

    `pinged` tells whether a pong is awaited.
    """

    __slots__ = ("_due", "_turn", "pinged")

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer) -> None:
        super().__init__(hub, scope, writer)
        self.pinged = False
        # The turns of the hub's heartbeats in which the next ping is due (or the end, where a pong
        # is), and in which this is looked at next.
        self._due = self._turn = NEVER

    def watch(self) -> None:
        """Look from now on whether the client is there."""
        self._due = self.hub.heartbeats.after(self.hub.settings.PING_INTERVAL)
        self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        self._turn = self._next_turn()
        self.hub.heartbeats.add(self, self._turn)

    def _next_turn(self) -> int:
        """Return the turn in which something is due."""
        return self._due

    def look(self, turn: int) -> None:
        """Do what the clock asks for in a turn of the hub's heartbeats."""
        self.attempt(self._look, turn)
        if not self.closed.happened:
            self._wait_for_turn()

    def _look(self, turn: int) -> None:
        if turn < self._due:
            return
        if not self.pinged:
            self.ping()
            self._await_pong()
        elif self.held:  # nothing of the client is read meanwhile
            self._look_unread()
        else:
            self._ping_timeout()

    def _look_unread(self) -> None:
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
        self._due = self.hub.heartbeats.after(self.hub.settings.PING_TIMEOUT)

    def _ping_timeout(self) -> None:
        """Close: nothing has come."""
        self.close("ping timeout")

    def pong(self) -> None:
        """Take note that the client is there."""
        self.pinged = False
        self._due = self.hub.heartbeats.after(self.hub.settings.PING_INTERVAL)
        if self._due < self._turn:
            self.hub.heartbeats.remove(self, self._turn)
            self._wait_for_turn()

    def close_transport(self, reason: str, text: str) -> None:
        self.hub.heartbeats.remove(self, self._turn)
