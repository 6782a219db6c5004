"""The channel layer, and what to do while it fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from channels.exceptions import ChannelFull

from ..logs import log

Result = TypeVar("Result")
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]

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


class Link:
    """
    A channel layer that comes back after an outage.

    `restore` is awaited before calls go on: it puts back what the layer may have forgotten, and
    raises while the layer still fails. `up` is set while all is well; `on_down` is called when it
    no longer is.
    """

    def __init__(
        self,
        layer: Any,
        spawn: Spawn,
        restore: Callable[[], Awaitable[None]],
        on_down: Callable[[], None],
    ) -> None:
        self.layer = layer
        self.up = asyncio.Event()
        self.up.set()
        self.spawn = spawn
        self._restore = restore
        self._on_down = on_down

    async def call(self, make: Callable[[], Awaitable[Result]]) -> Result:
        """
        Return what the layer answers to the awaitable that `make` makes, however long it is down.

        Raises ChannelFull at once, LayerRefused for a call that fails while others do not.
        """
        for _ in range(MAX_ATTEMPTS):
            await self.up.wait()
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    return await make()
            except ChannelFull:
                raise
            except Exception as error:
                self.failed(error)
                last = error
        raise LayerRefused(repr(last)) from last

    def failed(self, error: Exception | None, what: str = "layer-down") -> None:
        """Take note of an outage, and work on its end."""
        if self.up.is_set():
            self.up.clear()
            log(logging.ERROR, what, error=repr(error) if error else "-")
            self._on_down()
            self.spawn(self._recover())

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
