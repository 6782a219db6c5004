"""Turns of the event loop for others, between much work for one."""

from __future__ import annotations

import asyncio
from time import monotonic

# After so many seconds of work for one connection, others get their turns.
SECONDS_PER_SLICE = 0.02
# So do they after so many waiting events handled in one go, or so many frames read.
EVENTS_PER_SLICE = 32
FRAMES_PER_SLICE = 32

# From somebody's bytes to the answer to them it takes so many turns.
_TURNS_OF_AN_ANSWER = 5


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
