"""The thread in which presence talks to the database, with a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from django.db import InterfaceError, OperationalError, connections

Result = TypeVar("Result")

# How long the end of an event loop waits for the last work.
JOIN_TIMEOUT = 2.0


class Work(NamedTuple):
    """A function to call, and who waits for what it returns."""

    function: Callable[[], Any]
    answer: asyncio.Future[Any]


class DatabaseThread:
    """
    Calls functions in one thread, in order. Its connection stays open between them.

    The thread is a daemon: a database that never answers does not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()
        self._guard = self._stop_with_loop()

    async def end_with_loop(self) -> None:
        """Let the thread end no later than the loop."""
        await anext(self._guard)

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """
        Return or raise what the function does.

        Where the connection turns out to be broken, it is called once more with a new one.
        """
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(Work(lambda: _with_connection(function, *args), answer))
        return await answer

    def stop(self) -> None:
        """Close the connection and end the thread after the work that it has."""
        self._queue.put(None)

    async def _stop_with_loop(self) -> AsyncGenerator[None]:
        """Go on until the loop ends, which ends generators first: so no connection outlives it."""
        try:
            yield
        finally:
            self.stop()
            self._thread.join(JOIN_TIMEOUT)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            error, result = None, None
            try:
                result = work.function()
            except Exception as exception:
                error = exception
            try:
                self._loop.call_soon_threadsafe(_answer, work.answer, result, error)
            except RuntimeError:  # the loop is closed
                break
        connections.close_all()


def _with_connection(function: Callable[..., Result], *args: Any) -> Result:
    try:
        try:
            return function(*args)
        except (OperationalError, InterfaceError):
            connections.close_all()
            return function(*args)
    except Exception:
        connections.close_all()
        raise


def _answer(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
