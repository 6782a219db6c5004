"""Write coalescing: what is written in one turn of the event loop leaves soon after, together."""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary


class Flushable(Protocol):
    """A writer that sends when it is told to."""

    def flush(self) -> None:
        """Send all frames that wait."""


class Flusher:
    """
    The writers of one event loop that have something to send after this turn of it.

    They send after the sockets were looked at once more: when much comes in, what it leads to
    leaves in half as many writes, and a write costs more than all that led to it. One callback
    serves them all: a broadcast would make one for each of its receivers, and the garbage collector
    would look at everything there is as often.
    """

    __slots__ = ("_loop", "_writers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writers: list[Flushable] = []

    def add(self, writer: Flushable) -> None:
        """Let a writer send after this turn."""
        if not self._writers:
            self._loop.call_soon(self._loop.call_soon, self._flush)
        self._writers.append(writer)

    def _flush(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            try:
                writer.flush()
            except Exception as error:  # one transport's fault is no other's
                context = {"message": "a WebSocket could not be written to", "exception": error}
                self._loop.call_exception_handler(context)


_flushers: WeakKeyDictionary[asyncio.AbstractEventLoop, Flusher] = WeakKeyDictionary()


def current_flusher() -> Flusher:
    """Return the running loop's turn."""
    loop = asyncio.get_running_loop()
    flusher = _flushers.get(loop)
    if flusher is None:
        flusher = _flushers[loop] = Flusher(loop)
    return flusher
