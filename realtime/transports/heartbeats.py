"""One timer for the heartbeats and deadlines of all sessions of a hub."""

from __future__ import annotations

import asyncio
import sys
from heapq import heappop, heappush
from math import ceil
from typing import Protocol

from ..conf import Settings

# Slots of the wheel in the shortest of the times that it keeps.
SLOTS = 100

# A slot that never comes.
NEVER = sys.maxsize


class Watched(Protocol):
    """What is called when its time has come."""

    def on_timer(self, slot: int) -> None:
        """Do what is due in a slot or was before, and set the next timer."""


class TimerWheel:
    """
    A wheel of slots in time, each with those whose timer ends in it.

    Nobody is called before the time, nor more than one slot (`tick`, in seconds) after it. So
    sessions stay spread over time as they came.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        self._loop = loop
        times = (settings.PING_INTERVAL, settings.PING_TIMEOUT, settings.CONNECT_TIMEOUT)
        self.tick = min(times) / SLOTS
        self._slots: dict[int, set[Watched]] = {}
        # The slots that have somebody, the next one first.
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float) -> int:
        """Return the first slot that is not before so many seconds are over."""
        return ceil((self._loop.time() + seconds) / self.tick)

    def until(self, slot: int) -> float:
        """Return how many seconds are left until a slot; none where it has come."""
        return max(0.0, slot * self.tick - self._loop.time())

    def add(self, watched: Watched, slot: int) -> None:
        """Call somebody in a slot."""
        members = self._slots.get(slot)
        if members is None:
            members = self._slots[slot] = set()
            heappush(self._order, slot)
            if self._order[0] == slot:
                self._set_timer()
        members.add(watched)

    def remove(self, watched: Watched, slot: int) -> None:
        """Call somebody in that slot no more."""
        members = self._slots.get(slot)
        if members is not None:
            members.discard(watched)

    def close(self) -> None:
        """Call nobody any more."""
        self._slots.clear()
        self._order.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._order:
            self._timer = self._loop.call_at(self._order[0] * self.tick, self._call_due)

    def _call_due(self) -> None:
        """Call all whose slot has come."""
        try:
            while self._order and self._order[0] * self.tick <= self._loop.time():
                slot = heappop(self._order)
                members = self._slots.pop(slot)
                while members:
                    self._call(members.pop(), slot)
        finally:
            self._set_timer()

    def _call(self, watched: Watched, slot: int) -> None:
        try:
            watched.on_timer(slot)
        except Exception as error:  # no other heartbeat is to fail with this one
            self._loop.call_exception_handler(
                {"message": f"{watched!r} failed at its heartbeat", "exception": error}
            )
