"""
How a site's hooks and handlers run: at once where they need not wait, in a thread where they are
plain functions, and always inside their socket's own context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any, NamedTuple

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, iscoroutinefunction, sync_to_async
from django.db import connections


class Job(NamedTuple):
    """Work that a frame asks for, and the context to run it in."""

    work: Coroutine[Any, Any, None]
    context: Context


@coroutine
def drive(job: Job, suspended: Callable[[], None]) -> Generator[Any, Any, None]:
    """
    Await a job inside its context; call `suspended()` if it comes to wait for something.

    A job that never waits costs neither a task nor a turn of the event loop. One that waits goes
    on in the task that awaits this, so that `asyncio.timeout` and `current_task` hold throughout.
    """
    run, work = job.context.run, job.work
    try:
        awaited = run(work.send, None)
    except StopIteration:
        return
    suspended()
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            resume, argument = work.throw, error
        else:
            resume, argument = work.send, value  # type: ignore[assignment]
        try:
            awaited = run(resume, argument)
        except StopIteration:
            return


async def call_hook(hook: Callable[..., Any], *args: Any, slots: Any) -> Any:
    """
    Call a hook or handler, and return what it returns.

    An `async def` runs here; a plain function in a thread of its own, as Django runs sync views,
    while fewer than the number of `slots` (a semaphore) do. Whatever runs in threads on the way,
    the ORM's async methods included, shares one thread for each call, whose database connections
    are closed at the end.
    """
    async with ThreadSensitiveContext() as context:
        if not iscoroutinefunction(hook):
            async with slots:
                return await sync_to_async(_with_database)(hook, *args)
        try:
            return await hook(*args)
        finally:
            if context in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()


def _with_database(hook: Callable[..., Any], *args: Any) -> Any:
    try:
        return hook(*args)
    except StopIteration as error:  # which no future carries; `async def` does the same (PEP 479)
        raise RuntimeError(f"{hook!r} raised StopIteration") from error
    finally:
        connections.close_all()


def raise_if_cancelled() -> None:
    """Go on with a cancellation of the task itself, which no hook may swallow."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
