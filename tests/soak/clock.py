"""An event loop whose time passes as fast as its work is done."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

# How long the loop looks for the answers of threads before it looks again, in real seconds.
GLANCE = 0.05


class SimulatedLoop(asyncio.SelectorEventLoop):
    """
    A loop whose clock stands still while there is work, and else jumps to the next timer.

    It waits in real time for what runs in threads.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, future: Any) -> None:
        self.threads -= 1


class JumpingSelector(selectors.DefaultSelector):
    """Moves its loop's clock where the loop would wait."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self._loop.threads:
            return super().select(GLANCE)
        ready = super().select(0)
        if not ready:
            self._loop.now += timeout
        return ready
