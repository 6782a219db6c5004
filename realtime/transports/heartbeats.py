"""One timer for the heartbeats and deadlines of all sessions of a hub."""

from __future__ import annotations

import asyncio
import sys
from heapq import heappop, heappush
from math import ceil
from typing import Protocol

from ..conf import Settings

# Turns of the wheel in the shortest of the times that it keeps.
TURNS = 100

# A turn that never comes.
NEVER = sys.maxsize


class Watched(Protocol):
    """What is looked at when its time has come."""

    def look(self, turn: int) -> None:
        """Do what is due in a turn or was before, and ask for the next one."""


class Heartbeats:
    """
    A wheel with a place for each of its turns in which somebody is to be looked at.

    Nobody is looked at before the time, nor more than one turn (`tick`, in seconds) after it. So
    sessions stay spread over time as they came.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        self._loop = loop
        times = (settings.PING_INTERVAL, settings.PING_TIMEOUT, settings.CONNECT_TIMEOUT)
        self.tick = min(times) / TURNS
        self._places: dict[int, set[Watched]] = {}
        # The turns that have a place, the next one first.
        self._turns: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float) -> int:
        """Return the first turn that is not before so many seconds are over."""
        return ceil((self._loop.time() + seconds) / self.tick)

    def add(self, watched: Watched, turn: int) -> None:
        """Look at somebody in a turn."""
        place = self._places.get(turn)
        if place is None:
            place = self._places[turn] = set()
            heappush(self._turns, turn)
            if self._turns[0] == turn:
                self._set_timer()
        place.add(watched)

    def remove(self, watched: Watched, turn: int) -> None:
        """Look at somebody in that turn no more."""
        place = self._places.get(turn)
        if place is not None:
            place.discard(watched)

    def close(self) -> None:
        """Look at nobody any more."""
        self._places.clear()
        self._turns.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._turns:
            self._timer = self._loop.call_at(self._turns[0] * self.tick, self._go_on)

    def _go_on(self) -> None:
        """Look at whom it is time for."""
        try:
            while self._turns and self._turns[0] * self.tick <= self._loop.time():
                turn = heappop(self._turns)
                place = self._places.pop(turn)
                while place:
                    self._look(place.pop(), turn)
        finally:
            self._set_timer()

    def _look(self, watched: Watched, turn: int) -> None:
        try:
            watched.look(turn)
        except Exception as error:  # no other heartbeat is to fail with this one
            self._loop.call_exception_handler(
                {"message": f"{watched!r} failed at its heartbeat", "exception": error}
            )
