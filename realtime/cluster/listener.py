"""Reading a channel of the layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from ..execution.tasks import Tasks
from .layer_connection import MIN_PAUSE

# The longest pause between attempts to receive.
MAX_PAUSE = 1.0

# After so many messages handled in one go, others get their turn.
MESSAGES_PER_SLICE = 32


class Listener:
    """
    Reads one channel, for ever, and hands over what comes.

    `failed(error, again)` is told of what the layer raises, and whether it has done so just before.
    """

    def __init__(
        self,
        tasks: Tasks,
        handle: Callable[[Any], None],
        failed: Callable[[Exception, bool], None],
    ) -> None:
        self.received = 0
        self._tasks = tasks
        self._handle = handle
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    def listen(self, layer: Any, channel: str) -> None:
        """Read a channel from now on, if not at it already."""
        if self._task is None or self._task.done():
            self._task = self._tasks.supervise(partial(self._listen, layer, channel), "listener")

    def stop(self) -> None:
        """Read the channel no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _listen(self, layer: Any, channel: str) -> None:
        pause = MIN_PAUSE
        while True:
            try:
                message = await layer.receive(channel)
            except Exception as error:
                self._failed(error, pause > MIN_PAUSE)
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE)
                continue
            pause = MIN_PAUSE
            self.received += 1
            self._handle(message)
            if self.received % MESSAGES_PER_SLICE == 0:
                await asyncio.sleep(0)
