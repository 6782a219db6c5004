"""
Turns of the event loop: what is written in one leaves soon after, together; and who has worked for
long lets others have some.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

# After so many seconds of work for one connection, others get their turns.
SECONDS_PER_TURN = 0.02
# From somebody's bytes to the answer to them it takes so many turns.
_TURNS_OF_AN_ANSWER = 5


async def give_way() -> None:
    """Let others be answered."""
    for _ in range(_TURNS_OF_AN_ANSWER):
        await asyncio.sleep(0)


class Writer(Protocol):
    """What can be told to send."""

    def flush(self) -> None:
        """Send what waits."""


class Turn:
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
        self._writers: list[Writer] = []

    def add(self, writer: Writer) -> None:
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


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


def current_turn() -> Turn:
    """Return the running loop's turn."""
    loop = asyncio.get_running_loop()
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = Turn(loop)
    return turn
