"""The events that wait for one socket's handler."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Any

import msgspec

# The frame of an event as it came, with its attachments where it has some.
Source = str | tuple[str, tuple[bytes, ...]]


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event from the client: `ack_id` where it asks for an acknowledgement."""

    name: str
    args: list[Any]
    ack_id: int | None
    source: Source


class InboxFull(Exception):
    """More events wait than may."""


class Inbox:
    """
    Keeps events in order while one of them is handled, as they came: what they are parsed to takes
    many times the memory.

    At most `max_events`, of `max_bytes` in all, wait.
    """

    __slots__ = ("_bytes", "_idle", "_max_bytes", "_max_events", "_waiting", "busy")

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        # Made when the first event has to wait: most sockets' never do.
        self._waiting: deque[Source] | None = None
        self._bytes = 0
        self._idle: asyncio.Event | None = None
        self.busy = False

    def __len__(self) -> int:
        return len(self._waiting) if self._waiting else 0

    @property
    def crowded(self) -> bool:
        """Whether half of what may wait does."""
        return len(self) * 2 > self._max_events or self._bytes * 2 > self._max_bytes

    @property
    def relaxed(self) -> bool:
        """Whether no more than a quarter of what may wait does."""
        return len(self) * 4 <= self._max_events and self._bytes * 4 <= self._max_bytes

    def put(self, source: Source) -> None:
        """Let an event wait. Raises InboxFull."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(source)
        self._bytes += _size(source)
        if len(self._waiting) > self._max_events or self._bytes > self._max_bytes:
            raise InboxFull

    def pop(self) -> Source | None:
        """Return the next event, or None where none waits."""
        if not self._waiting:
            return None
        source = self._waiting.popleft()
        self._bytes -= _size(source)
        return source

    def rest(self) -> None:
        """Take note that nothing is handled now."""
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
        self._waiting = None
        self._bytes = 0


def _size(source: Source) -> int:
    """Return how much memory an event takes while it waits."""
    if isinstance(source, str):
        return sys.getsizeof(source)
    text, attachments = source
    return sys.getsizeof(text) + sum(map(sys.getsizeof, attachments))
