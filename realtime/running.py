"""
How a site's hooks and handlers run: here where they are coroutine functions, in a thread where they
are plain ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from types import CoroutineType
from typing import Any
from weakref import getweakrefcount

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, iscoroutinefunction, sync_to_async
from django.db import connections


def give_thread(context: Context) -> ThreadSensitiveContext:
    """
    Let whatever runs in threads in a context share one thread of its own.

    It is started when it is needed first; see `release_thread`.
    """
    threads = ThreadSensitiveContext()
    context.run(SyncToAsync.thread_sensitive_context.set, threads)
    return threads


def uses_thread(threads: ThreadSensitiveContext) -> bool:
    """Tell whether anything has run in that thread."""
    # A weak dictionary: what nobody refers to weakly is not in it, and that is quicker to know.
    return getweakrefcount(threads) > 0 and threads in SyncToAsync.context_to_thread_executor


async def release_thread(threads: ThreadSensitiveContext) -> None:
    """Close the database connections of the thread, and end it."""
    await sync_to_async(connections.close_all)()
    executor = SyncToAsync.context_to_thread_executor.pop(threads, None)
    if executor is not None:
        executor.shutdown()


async def call_hook(hook: Callable[..., Any], *args: Any, slots: Any) -> Any:
    """
    Call a hook or handler, and return what it returns.

    An `async def` runs here; a plain function in its socket's thread, as Django runs sync views,
    while fewer than the number of `slots` (a semaphore) do.
    """
    if iscoroutinefunction(hook):
        return await hook(*args)
    return await call_in_thread(hook, *args, slots=slots)


async def call_in_thread(hook: Callable[..., Any], *args: Any, slots: Any) -> Any:
    """
    Do that with a plain function.

    A plain wrapper of an `async def` returns a coroutine, which runs here.
    """
    async with slots:
        result = await sync_to_async(_with_database)(hook, *args)
    return await result if isinstance(result, CoroutineType) else result


async def call_apart(hook: Callable[..., Any], *args: Any, slots: Any) -> Any:
    """Do what `call_hook` does, with a thread that is not the socket's."""
    async with ThreadSensitiveContext() as threads:
        try:
            return await call_hook(hook, *args, slots=slots)
        finally:
            if uses_thread(threads):
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
