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

    __slots__ = (
        "_aside",
        "_bytes",
        "_idle",
        "_max_bytes",
        "_max_events",
        "_waiting",
        "busy",
        "count",
    )

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        # Made when the first event has to wait: most sockets' never do.
        self._waiting: deque[Source] | None = None
        # Those that others may overtake, for handlers that run beside the others.
        self._aside: deque[Source] | None = None
        # How many events wait.
        self.count = 0
        self._bytes = 0
        self._idle: asyncio.Event | None = None
        self.busy = False

    def __len__(self) -> int:
        return self.count

    @property
    def above_high_water(self) -> bool:
        """Whether half of what may wait does."""
        return self.count * 2 > self._max_events or self._bytes * 2 > self._max_bytes

    @property
    def below_low_water(self) -> bool:
        """Whether no more than a quarter of what may wait does."""
        return self.count * 4 <= self._max_events and self._bytes * 4 <= self._max_bytes

    def put(self, source: Source) -> None:
        """Let an event wait. Raises InboxFull."""
        if self._waiting is None:
            self._waiting = deque()
        self._add(self._waiting, source)

    def put_aside(self, source: Source) -> None:
        """Let an event wait that others may overtake. Raises InboxFull."""
        if self._aside is None:
            self._aside = deque()
        self._add(self._aside, source)

    def _add(self, queue: deque[Source], source: Source) -> None:
        queue.append(source)
        self.count += 1
        self._bytes += _size(source)
        if self.count > self._max_events or self._bytes > self._max_bytes:
            raise InboxFull

    def pop(self) -> Source | None:
        """Return the next event, or None where none waits."""
        return self._pop(self._waiting) if self._waiting else None

    def pop_aside(self) -> Source | None:
        """Return the next event that others may overtake, or None where none waits."""
        return self._pop(self._aside) if self._aside else None

    def _pop(self, queue: deque[Source]) -> Source:
        source = queue.popleft()
        self.count -= 1
        self._bytes -= _size(source)
        return source

    def rest(self) -> None:
        """Take note that nothing is handled now."""
        self.busy = False
        if self._idle is not None:
            self._idle.set()
            self._idle = None

    async def wait_idle(self, timeout: float | None) -> bool:
        """
        Wait until nothing is handled or waits; tell whether that came within the time (None: any).
        """
        if not self.busy:
            return True
        if self._idle is None:
            self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def clear(self) -> None:
        """Forget all events that wait."""
        self._waiting = self._aside = None
        self.count = 0
        self._bytes = 0


def _size(source: Source) -> int:
    """Return how much memory an event takes while it waits."""
    if isinstance(source, str):
        return sys.getsizeof(source)
    text, attachments = source
    return sys.getsizeof(text) + sum(map(sys.getsizeof, attachments))
