"""Tasks that are kept until they are done, and whose failures are logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from ..logs import log
from ..running import as_error


class Tasks:
    """A set of tasks on one event loop: who starts one need not hold it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(
        self, work: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Run `work` in a task, in a context of its own where one is given."""
        task = self._loop.create_task(as_error(work), context=context)
        self.keep(task)
        task.add_done_callback(lambda _: work.close())  # if it was cancelled before its start
        return task

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keep a task that somebody else has started."""
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log(logging.ERROR, "task-failed", exc_info=error)

    def others(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that run, without the one that asks."""
        return self._running - {asyncio.current_task(self._loop)}

    async def finish(self, grace: float) -> None:
        """Wait for all tasks, and cancel those that are not done after `grace` seconds."""
        deadline = self._loop.time() + grace
        while (waiting := self.others()) and (timeout := deadline - self._loop.time()) > 0:
            await asyncio.wait(waiting, timeout=timeout)
        self.cancel()

    def cancel(self) -> None:
        """Cancel all tasks but the one that asks."""
        for task in self.others():
            task.cancel()
