"""What the log tells of times in which clients cannot be asked for: their start and their end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..logs import describe, log

# The first and the longest pause after a failure, in seconds.
MIN_PAUSE, MAX_PAUSE = 0.5, 10.0


class OutageLog:
    """The outages of what is asked again and again, each told once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since: float | None = None
        self._times = 0

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        """Note how a step ends; where it fails, wait for a while, and raise that."""
        try:
            yield
        except Exception as error:
            await self.wait(error)
            raise
        self.note_back()

    async def wait(self, error: BaseException) -> None:
        """Note that a step has failed, and wait for a while before the next one."""
        if self._since is None:
            self._since = self._loop.time()
            log(logging.ERROR, "reauthorize-down", error=describe(error))
        pause = min(MAX_PAUSE, MIN_PAUSE * 2 ** min(self._times, 10))
        self._times += 1
        await asyncio.sleep(pause * random.uniform(0.5, 1))

    def note_back(self) -> None:
        """Note that a step has gone well."""
        if self._since is not None:
            seconds = round(self._loop.time() - self._since, 1)
            log(logging.INFO, "reauthorize-back", after=seconds)
        self._since, self._times = None, 0
