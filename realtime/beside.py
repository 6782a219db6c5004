"""The handlers of one socket that run beside its others: `@event(concurrent=True)`."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from contextvars import Context, ContextVar

from .handlers import Handler
from .running import give_thread

# Where a handler runs here, if it runs beside others.
current_lane: ContextVar[Lane | None] = ContextVar("realtime_lane", default=None)


class Lane:
    """
    Where one such handler runs at a time, with a context and a thread of its own.

    `task` is set by whoever runs in it.
    """

    __slots__ = ("_lanes", "cancelled", "context", "task", "threads")

    def __init__(self, lanes: set[Lane], context: Context) -> None:
        self._lanes = lanes
        lanes.add(self)
        self.context = context.copy()
        self.threads = give_thread(self.context)
        self.context.run(current_lane.set, self)
        self.task: asyncio.Task[None] | None = None
        # Whether its handler was, because the client is gone.
        self.cancelled = False

    def rest(self) -> None:
        """Take note that nothing is handled here any more."""
        self._lanes.discard(self)


class Lanes:
    """
    All lanes of a socket: no more than `limit`. `handlers` are those of events that such a handler
    may get.
    """

    __slots__ = ("_handlers", "_lanes", "_limit")

    def __init__(self, handlers: Mapping[str, list[Handler]], limit: int) -> None:
        self._handlers = handlers
        self._limit = limit
        self._lanes: set[Lane] = set()

    def are_for(self, event: str, rooms: Container[str]) -> bool:
        """Tell whether such a handler gets an event of a client that is in these rooms."""
        for handler in self._handlers.get(event, ()):
            if handler.room is None or handler.room in rooms:
                return handler.concurrent
        return False

    def open(self, context: Context) -> Lane | None:
        """Return a new lane, or None where there are as many as may be."""
        if len(self._lanes) >= self._limit:
            return None
        return Lane(self._lanes, context)

    async def wait(self, timeout: float) -> bool:
        """Wait until all have ended; tell whether that came within the time."""
        tasks = self._tasks()
        return not tasks or not (await asyncio.wait(tasks, timeout=timeout))[1]

    def cancel(self) -> None:
        """Cancel what runs in them."""
        for lane in self._lanes:
            lane.cancelled = True
        for task in self._tasks():
            task.cancel()

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {lane.task for lane in self._lanes if lane.task is not None}
