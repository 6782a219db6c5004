"""
Calls of a site's hooks and handlers: here where they are coroutine functions, in a thread where
they are plain ones.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextvars import Context, ContextVar
from types import CodeType, CoroutineType
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, getweakrefcount

from asgiref.sync import SyncToAsync, iscoroutinefunction, sync_to_async
from django.db import connections

from .executors import DaemonContext

Result = TypeVar("Result")
# What of asgiref gives a context a thread of its own; None in a version that does it otherwise.
_current_context = getattr(SyncToAsync, "thread_sensitive_context", None)
_executors = getattr(SyncToAsync, "context_to_thread_executor", None)

# Whether contexts can have threads of their own, which are released by their executors; otherwise
# whatever runs in threads shares those that asgiref gives it.
HAS_OWN_THREADS = isinstance(_current_context, ContextVar) and isinstance(
    _executors, MutableMapping
)

# Whether nothing is in it that nobody refers to weakly, which is quicker to know.
_IS_WEAK = isinstance(_executors, WeakKeyDictionary)


class Hub(Protocol):
    """What is to be known of the hub whose hooks run."""

    loop: asyncio.AbstractEventLoop
    closing: bool


def give_thread(context: Context) -> DaemonContext:
    """
    Let whatever runs in threads in a context share one thread of its own.

    It is started when it is needed first; see `release_thread`.
    """
    threads = DaemonContext()
    if HAS_OWN_THREADS:
        context.run(SyncToAsync.thread_sensitive_context.set, threads)
    return threads


def uses_thread(threads: DaemonContext) -> bool:
    """Tell whether anything has run in that thread."""
    if _IS_WEAK and getweakrefcount(threads) == 0:
        return False
    return HAS_OWN_THREADS and threads in SyncToAsync.context_to_thread_executor


async def release_thread(threads: DaemonContext) -> None:
    """
    Close the database connections of the thread, and end it.

    One whose task is cancelled waits no longer for what runs there.
    """
    executor = SyncToAsync.context_to_thread_executor.pop(threads, None)
    if executor is None:
        return
    closing = asyncio.get_running_loop().run_in_executor(executor, connections.close_all)
    executor.shutdown(wait=False)
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        await closing


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
    Call a plain hook or handler in its socket's thread, and return what it returns.

    A plain wrapper of an `async def` returns a coroutine, which runs here.
    """
    async with slots:
        result = await sync_to_async(_with_database)(hook, *args)
    return await result if isinstance(result, CoroutineType) else result


async def call_apart(hook: Callable[..., Any], *args: Any, slots: Any) -> Any:
    """
    Call a hook and return what it returns (see `call_hook`), in a thread that is not the socket's.
    """
    if not HAS_OWN_THREADS:
        return await call_hook(hook, *args, slots=slots)
    threads = DaemonContext()
    token = SyncToAsync.thread_sensitive_context.set(threads)
    try:
        return await call_hook(hook, *args, slots=slots)
    finally:
        SyncToAsync.thread_sensitive_context.reset(token)
        if uses_thread(threads):
            await release_thread(threads)


def _with_database(hook: Callable[..., Any], *args: Any) -> Any:
    try:
        return call_for_future(hook, *args)
    finally:
        connections.close_all()


def call_for_future(hook: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a plain function in a thread, for somebody who awaits what it returns or raises."""
    try:
        return hook(*args, **options)
    except (StopIteration, GeneratorExit) as error:
        # No future carries the one (`async def` does the same, PEP 479); the other would end the
        # coroutine that waits.
        raise RuntimeError(f"{hook!r} raised {type(error).__name__}") from error


def raise_if_cancelled() -> None:
    """Raise a cancellation of the task itself again, which no hook may swallow."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def raise_if_stopping(error: BaseException, hub: Hub) -> None:
    """
    Raise again what a hook has raised where that is the end of its hub, its loop or its process.

    Whatever else it is - SystemExit, KeyboardInterrupt, the cancellation of a task by itself - it
    is a failure of the hook like any other.
    """
    if isinstance(error, GeneratorExit) and not _runs_on(hub.loop):
        raise error  # nobody goes on with this coroutine: its loop has ended
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        if hub.closing:
            raise asyncio.CancelledError
        while task.cancelling():
            task.uncancel()
    raise_if_signalled(error)


async def as_error(work: Awaitable[Result]) -> Result:
    """
    Await what runs in a task, and turn SystemExit and KeyboardInterrupt of a site's code into an
    error: a task that raises one of these ends its event loop.
    """
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise_if_signalled(error)
        raise RuntimeError(f"{error!r} in a task") from error


def raise_if_signalled(error: BaseException) -> None:
    """Raise again what a signal's handler has raised to end the process, wherever it came in."""
    if not isinstance(error, (SystemExit, KeyboardInterrupt)):
        return
    if threading.current_thread() is not threading.main_thread():
        return  # there are no signals
    if isinstance(error, KeyboardInterrupt) and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler  # which has no frame
    ):
        raise error
    handlers = set(_signal_handlers())
    if any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__)):
        raise error


def _signal_handlers() -> Iterator[CodeType]:
    """Yield the code of the functions that handle signals now."""
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        code = getattr(getattr(handler, "func", handler), "__code__", None)
        if code is not None:
            yield code


def _runs_on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
