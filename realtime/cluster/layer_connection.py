"""
The connection to the channel layer, and what to do while it fails.

A call that fails says little: the layer may be down, or may not want this one message. So it is
asked by a probe, and only one that fails is an outage. Other calls wait for the answer, which takes
no time: where the layer was started again, and has forgotten the groups, what they send is lost.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from channels.exceptions import ChannelFull

from ..execution.tasks import Tasks
from ..logs import log

Result = TypeVar("Result")

# The layer does not answer, or it takes what is sent and nothing comes back.
LAYER_DOWN, LAYER_DEAF = "layer-down", "layer-deaf"

# A call that takes longer has failed: a network that swallows packets says nothing.
CALL_TIMEOUT = 30.0

# Calls that run side by side: so many connections a layer may open for us.
PARALLEL = 4

# The first and the longest pause between attempts to come back.
MIN_PAUSE, MAX_PAUSE = 0.1, 5.0

# A call that fails so often, while the layer works otherwise, is given up.
MAX_ATTEMPTS = 4


class LayerRefused(Exception):
    """The layer works, but not for this call."""


class LayerConnection:
    """
    A channel layer that comes back after an outage.

    `probe` is awaited after a call that failed, and raises where that is an outage. After one,
    `restore` is awaited before calls go on: it puts back what the layer may have forgotten, and
    raises while the layer still fails. `up` is set while all is well; `on_down` is called when it
    no longer is, and `fault` is the word for why: LAYER_DOWN or LAYER_DEAF.
    """

    def __init__(
        self,
        layer: Any,
        tasks: Tasks,
        probe: Callable[[], Awaitable[None]],
        restore: Callable[[], Awaitable[None]],
        on_down: Callable[[], None],
    ) -> None:
        self.layer = layer
        self.up = asyncio.Event()
        self.up.set()
        self.fault = LAYER_DOWN
        self.tasks = tasks
        self._probe = probe
        self._probing: asyncio.Task[None] | None = None
        self._restore = restore
        self._on_down = on_down

    async def call(self, make: Callable[[], Awaitable[Result]]) -> Result:
        """
        Return what the layer answers to the awaitable that `make` makes, however long it is down.

        Raises ChannelFull at once, LayerRefused for a call that fails while others do not.
        """
        attempts = 0
        while True:
            await self._wait()
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    return await make()
            except ChannelFull:
                raise
            except Exception as error:
                attempts += self.up.is_set()  # an outage that is known already is not its fault
                await self.examine(error)
                if attempts >= MAX_ATTEMPTS:
                    raise LayerRefused(repr(error)) from error

    async def _wait(self) -> None:
        """Wait until the layer is known to work."""
        while self._probing is not None or not self.up.is_set():
            if self._probing is not None:
                await asyncio.wait([self._probing])
            else:
                await self.up.wait()

    async def examine(self, error: Exception) -> bool:
        """Find out whether a failure is an outage, and take note if so; tell if it is not."""
        if self._probing is None and self.up.is_set():
            self._probing = self.tasks.spawn(self._examine(error))
        if self._probing is not None:
            await asyncio.wait([self._probing])
        return self.up.is_set()

    async def _examine(self, error: Exception) -> None:
        try:
            await self._probe()
        except Exception:
            self.failed(error)  # which says more than that of the probe
        finally:
            self._probing = None

    def failed(self, error: Exception | None, what: str = LAYER_DOWN) -> None:
        """Take note of an outage, and work on its end."""
        if self.up.is_set():
            self.fault = what
            self.up.clear()
            log(logging.ERROR, what, error=repr(error) if error else "-")
            self._on_down()
            self.tasks.supervise(self._recover, "recovery")

    async def _recover(self) -> None:
        pause = MIN_PAUSE
        attempts = 0
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            attempts += 1
            try:
                await self._restore()
                break
            except Exception as error:
                pause = min(pause * 2, MAX_PAUSE)
                log(logging.DEBUG, "layer-still-down", error=repr(error), retry_in=pause)
        self.up.set()
        log(logging.WARNING, "layer-back", attempts=attempts)
