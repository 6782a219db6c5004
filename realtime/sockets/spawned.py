"""The tasks that a consumer has spawned: they end with its socket."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

from ..execution.calls import give_thread, release_thread, uses_thread
from ..execution.executors import DaemonContext
from ..execution.tasks import have_ended
from .interfaces import Hub

Work = Coroutine[Any, Any, Any]
Run = Callable[[Work], Awaitable[None]]


def check_work(work: Any) -> None:
    """Raise TypeError for what is no coroutine."""
    if not inspect.iscoroutine(work):
        called = "()" if inspect.iscoroutinefunction(work) else ""
        name = getattr(work, "__name__", None) or repr(work)
        hint = f"self.spawn(self.{name}{called})" if called else "self.spawn(self.feed())"
        raise TypeError(
            f"spawn() takes a coroutine, which an `async def` returns when it is called, and not "
            f"{name}. Write {hint}."
        )


class Spawned:
    """
    The tasks of one socket. Each has a thread of its own for what it calls in one, such as the ORM.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Work, run: Run, hub: Hub, context: Context) -> asyncio.Task[None]:
        """Let `run` await work in a task of the hub, in a context of its own."""
        task = hub.spawn(_run(work, run, give_thread(context)), context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before its first step has not begun the work, nor ended it.
        task.add_done_callback(lambda _: work.close())
        return task

    def cancel(self) -> None:
        """Cancel all tasks that the socket has spawned."""
        for task in self._tasks:
            task.cancel()

    async def wait(self, timeout: float) -> bool:
        """Wait until all tasks have ended; tell whether that came within the time."""
        return await have_ended(self._tasks, timeout)


async def _run(work: Work, run: Run, threads: DaemonContext) -> None:
    try:
        await run(work)
    finally:
        if uses_thread(threads):
            await release_thread(threads)
