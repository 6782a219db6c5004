"""Tasks that are kept until they are done, and whose failures are logged; services go on after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from contextvars import Context
from typing import Any

from ..logs import log, write
from .calls import as_error

Make = Callable[[], Coroutine[Any, Any, None]]

# The first and the longest pause before a service that failed is started again, in seconds.
MIN_PAUSE, MAX_PAUSE = 0.1, 5.0

# A service that ran for so long works: its next failure is the first again.
STEADY = 10.0

# How long after its last failure a service is told to have failed.
TOLD_FOR = 60.0


async def have_ended(tasks: Collection[asyncio.Task[Any]], timeout: float | None) -> bool:
    """Wait until tasks have ended, at most so many seconds (None: any); tell whether all have."""
    if not tasks:
        return True
    _, late = await asyncio.wait(tasks, timeout=timeout)
    return not late


class Fault:
    """The failures of a service: how many in a row, its last `error`, and when that was."""

    __slots__ = ("at", "error", "times")

    def __init__(self) -> None:
        self.times = 0
        self.error = ""
        self.at = 0.0


class Tasks:
    """A set of tasks on one event loop: who starts one need not hold it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[Any]] = set()
        self._faults: dict[str, Fault] = {}

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

    def supervise(
        self, make: Make, name: str, context: Context | None = None
    ) -> asyncio.Task[None]:
        """
        Run `make()` in a task, and again whenever it fails, until it returns or is cancelled.

        Each failure is logged under the service's `name`, and told by `faults`; between two there
        is a pause, which grows. So is a CancelledError that nobody has asked this task for.
        """
        return self.spawn(self._supervise(make, name), context)

    async def _supervise(self, make: Make, name: str) -> None:
        task = asyncio.current_task()
        fault = Fault()
        while True:
            started = self._loop.time()
            try:
                await make()
            except (Exception, asyncio.CancelledError) as error:
                if task is not None and task.cancelling():
                    raise
                if self._loop.time() - started >= STEADY:
                    fault.times = 0
                fault.times += 1
                fault.error, fault.at = repr(error), self._loop.time()
                self._faults[name] = fault
                pause = min(MAX_PAUSE, MIN_PAUSE * 2 ** min(fault.times - 1, 10))
                write(
                    logging.ERROR,
                    "service-failed",
                    service=name,
                    times=fault.times,
                    retry_in=pause,
                    exc_info=error,
                )
            else:
                return
            await asyncio.sleep(pause)

    def faults(self) -> dict[str, Fault]:
        """Return what services have failed lately, by their names; from any thread."""
        limit = self._loop.time() - TOLD_FOR
        return {name: fault for name, fault in tuple(self._faults.items()) if fault.at > limit}

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
