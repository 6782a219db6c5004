"""
Turns of the event loop: what is written in one leaves soon after, together; and who has worked for
long lets others have some.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol
from weakref import WeakKeyDictionary

# After so many seconds of work for one connection, others get their turns.
SECONDS_PER_SLICE = 0.02
# From somebody's bytes to the answer to them it takes so many turns.
_TURNS_OF_AN_ANSWER = 5


# After so many waiting events handled in one go, others get their turn.
EVENTS_PER_SLICE = 32


async def give_way() -> None:
    """Wait for a few turns of the loop, in which others are answered."""
    for _ in range(_TURNS_OF_AN_ANSWER):
        await asyncio.sleep(0)


class Pace:
    """Lets others have their turn while many events are handled in one go."""

    __slots__ = ("_handled", "_started")

    def __init__(self) -> None:
        self._handled = 0
        self._started = monotonic()

    async def keep(self) -> None:
        """Count an event that was handled, and give way where it is time."""
        self._handled += 1
        if monotonic() - self._started > SECONDS_PER_SLICE:
            await give_way()
            self._started = monotonic()
        elif self._handled % EVENTS_PER_SLICE == 0:
            await asyncio.sleep(0)


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
