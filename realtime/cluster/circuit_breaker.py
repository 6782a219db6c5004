"""A circuit breaker: a channel layer that is down is waited for once, not by all who send."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from ..execution.tasks import Tasks
from ..logs import log

# What failures in a row may cost before the layer is taken for down, in seconds. Those that come at
# once, as from connections that an outage has broken, cost nearly nothing.
PATIENCE = 0.5

# The first and the longest pause between attempts to reach it again.
MIN_PAUSE, MAX_PAUSE = 0.1, 1.0


class CircuitBreaker:
    """
    Knows whether the layer is down: `error` is what it failed with then, and None otherwise.

    While it is, nobody else need wait for it: `ask` is called again and again until it answers.
    """

    def __init__(
        self,
        tasks: Tasks,
        ask: Callable[[], Awaitable[None]],
    ) -> None:
        self.error: Exception | None = None
        self._tasks = tasks
        self._ask = ask
        self._cost = 0.0

    async def call(self, work: Awaitable[None]) -> None:
        """Await what the layer has to do, and learn from it how the layer is."""
        started = monotonic()
        try:
            await work
        except Exception as error:
            self._cost += monotonic() - started
            if self._cost >= PATIENCE and self.error is None:
                self.error = error
                log(logging.ERROR, "layer-down", error=repr(error))
                self._tasks.supervise(self._recover, "recovery")
            raise
        self._cost = 0.0

    async def _recover(self) -> None:
        pause, attempts, back = MIN_PAUSE, 0, False
        while not back:
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE)
            attempts += 1
            try:
                await self._ask()
                back = True
            except Exception as error:
                log(logging.DEBUG, "layer-still-down", error=repr(error), retry_in=pause)
        self.error = None
        self._cost = 0.0
        log(logging.WARNING, "layer-back", attempts=attempts)
