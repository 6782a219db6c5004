"""The events that wait for one socket's handler."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

# After so many waiting events handled in one go, others get their turn.
EVENTS_PER_TURN = 32


class Event(NamedTuple):
    """An event from the client: `ack_id` where it asks for an acknowledgement, `size` in bytes."""

    name: str
    args: list[Any]
    ack_id: int | None
    size: int


class InboxFull(Exception):
    """More events wait than may."""


class Inbox:
    """
    Hands events to `handle` in order and one at a time.

    At most `max_events`, of `max_bytes` in all, wait while one is handled.
    """

    __slots__ = ("_bytes", "_handle", "_idle", "_max_bytes", "_max_events", "_waiting", "busy")

    def __init__(
        self, handle: Callable[[Event], Awaitable[None]], *, max_events: int, max_bytes: int
    ) -> None:
        self._handle = handle
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._waiting: deque[Event] = deque()
        self._bytes = 0
        self._idle: asyncio.Event | None = None
        self.busy = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def crowded(self) -> bool:
        """Whether half of what may wait does."""
        return len(self._waiting) * 2 > self._max_events or self._bytes * 2 > self._max_bytes

    @property
    def relaxed(self) -> bool:
        """Whether no more than a quarter of what may wait does."""
        return len(self._waiting) * 4 <= self._max_events and self._bytes * 4 <= self._max_bytes

    def put(self, event: Event) -> Coroutine[Any, Any, None] | None:
        """
        Take an event; return the work that handles it, unless it has to wait for other work.

        Raises InboxFull.
        """
        if not self.busy:
            self.busy = True
            return self._work(event)
        self._waiting.append(event)
        self._bytes += event.size
        if len(self._waiting) > self._max_events or self._bytes > self._max_bytes:
            raise InboxFull
        return None

    async def occupy(self, work: Awaitable[None]) -> None:
        """Let events wait until `work` is done, and then handle them."""
        try:
            await work
            await self._work_off()
        finally:
            self._rest()

    async def _work(self, event: Event) -> None:
        try:
            await self._handle(event)
            if self._waiting:
                await self._work_off()
        finally:
            self._rest()

    async def _work_off(self) -> None:
        handled = 0
        while self._waiting:
            event = self._waiting.popleft()
            self._bytes -= event.size
            await self._handle(event)
            handled += 1
            if handled % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _rest(self) -> None:
        self.busy = False
        if self._idle is not None:
            self._idle.set()

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is handled or waits; tell whether that came within the time."""
        if not self.busy:
            return True
        self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._bytes = 0
