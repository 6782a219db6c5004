"""An event loop in a thread of its own, for code that has none, or whose own does not last."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..exceptions import NotRunning, WouldDeadlock

Result = TypeVar("Result")

# How long the end of a process waits for what is at work.
CLOSE_TIMEOUT = 2.0


class Background:
    """A daemon thread with an event loop. A forked child has none of it."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.process = os.getpid()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()  # which closes the connections of channels_redis, too

    def close(self) -> None:
        """End the thread, in the process that has it."""
        closed, self._closed = self._closed, True
        if not closed and os.getpid() == self.process:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(CLOSE_TIMEOUT)

    def wait(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """
        Run async work on the loop and wait for it, from any other thread.

        Raises WouldDeadlock on the loop's own, and NotRunning after `close`.
        """
        if threading.current_thread() is self._thread:
            raise WouldDeadlock(
                "This blocks the event loop. Use the twin whose name starts with a."
            )
        if self._closed:
            raise NotRunning(
                "This process is about to end, and has left the channel layer. Send earlier."
            )
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result()
