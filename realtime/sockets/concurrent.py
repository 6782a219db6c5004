"""The handlers of one socket that run beside its others: `@event(concurrent=True)`."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from contextvars import Context, ContextVar

from ..execution.calls import give_thread
from ..execution.tasks import have_ended
from .handlers import Handler

# Where a handler runs here, if it runs beside others.
current_strand: ContextVar[Strand | None] = ContextVar("realtime_strand", default=None)


class Strand:
    """
    Where one such handler runs at a time, with a context and a thread of its own.

    `task` is set by whoever runs in it.
    """

    __slots__ = ("_strands", "cancelled", "context", "task", "threads")

    def __init__(self, strands: set[Strand], context: Context) -> None:
        self._strands = strands
        strands.add(self)
        self.context = context.copy()
        self.threads = give_thread(self.context)
        self.context.run(current_strand.set, self)
        self.task: asyncio.Task[None] | None = None
        # Whether its handler was, because the client is gone.
        self.cancelled = False

    def rest(self) -> None:
        """Take note that nothing is handled here any more."""
        self._strands.discard(self)


class Strands:
    """
    All strands of a socket: no more than `limit`. `handlers` are those of events that a concurrent
    handler may get.
    """

    __slots__ = ("_handlers", "_limit", "_strands")

    def __init__(self, handlers: Mapping[str, list[Handler]], limit: int) -> None:
        self._handlers = handlers
        self._limit = limit
        self._strands: set[Strand] = set()

    def are_for(self, event: str, rooms: Container[str]) -> bool:
        """Tell whether a concurrent handler gets an event of a client in these rooms."""
        for handler in self._handlers.get(event, ()):
            if handler.room is None or handler.room in rooms:
                return handler.concurrent
        return False

    def open(self, context: Context) -> Strand | None:
        """Return a new strand, or None where there are as many as may be."""
        if len(self._strands) >= self._limit:
            return None
        return Strand(self._strands, context)

    def __len__(self) -> int:
        return len(self._strands)

    async def wait(self, timeout: float | None) -> bool:
        """Wait until all strands have ended; tell whether that came within the time (None: any)."""
        return await have_ended(self._tasks(), timeout)

    def cancel(self) -> None:
        """Cancel the handlers that run in the strands."""
        for strand in self._strands:
            strand.cancelled = True
        for task in self._tasks():
            task.cancel()

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {strand.task for strand in self._strands if strand.task is not None}
