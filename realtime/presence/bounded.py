"""Questions to the database from code that waits for the answer, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from django.db import connections

from ..execution.threads import with_connections

Result = TypeVar("Result")
Call = tuple["Future[Any]", Callable[[], Any]]

# How long an answer is waited for, and how long nobody asks again, but for one who tries, after
# there was none.
TIMEOUT = 2.0
RETRY = 3.0

# Calls at a time; more of them fail.
MOST = 50

# How long a thread, with its connection, waits for the next call.
LINGER = 1.0


class NoAnswer(Exception):
    """There was no answer in time, or it is known that there will be none."""


class BoundedCalls:
    """
    Calls functions in threads that are left alone where they take longer than `timeout` seconds.

    What has begun cannot be stopped: it ends with its connection. So that not each caller leaves a
    thread behind, calls fail at once after one that was late, but for one in `retry` seconds, until
    one is answered.
    """

    def __init__(
        self,
        *,
        timeout: float = TIMEOUT,
        retry: float = RETRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout
        self._retry = retry
        self._clock = clock
        self._lock = Lock()
        self._idle: list[Caller] = []
        self._running = 0
        # When it may be tried again, after there was no answer.
        self._retry_at: float | None = None

    def call(self, function: Callable[[], Result]) -> Result:
        """Return or raise what a function does. Raises NoAnswer where there is none in time."""
        caller = self._pop_idle()
        future: Future[Result] = Future()
        caller.give(future, partial(copy_context().run, function))
        try:
            wait([future], self._timeout)
        finally:
            with self._lock:
                self._running -= 1
                late = not future.done()
                self._retry_at = self._clock() + self._retry if late else None
        if late:
            raise NoAnswer
        return future.result()

    def _pop_idle(self) -> Caller:
        """Return a thread for a call, an idle one where there is one. Raises NoAnswer."""
        with self._lock:
            if self._retry_at is not None:
                if self._clock() < self._retry_at:
                    raise NoAnswer
                self._retry_at = self._clock() + self._retry
            if self._running >= MOST:
                raise NoAnswer
            self._running += 1
            return self._idle.pop() if self._idle else Caller(self)

    def rest(self, caller: Caller) -> None:
        """Keep a thread for the next call."""
        with self._lock:
            self._idle.append(caller)

    def dismiss(self, caller: Caller) -> bool:
        """Forget a thread; tell whether nobody has taken it meanwhile."""
        with self._lock:
            if caller not in self._idle:
                return False
            self._idle.remove(caller)
            return True


class Caller(Thread):
    """A thread that makes one call after the other, and ends when there is none for a while."""

    def __init__(self, calls: BoundedCalls) -> None:
        super().__init__(name="realtime-count", daemon=True)
        self._calls = calls
        self._queue: SimpleQueue[Call] = SimpleQueue()

    def give(self, future: Future[Any], function: Callable[[], Any]) -> None:
        """Make a call, whose result the future gets."""
        self._queue.put((future, function))
        if not self.is_alive():
            self.start()

    def run(self) -> None:
        try:
            while (call := self._next()) is not None:
                self._answer(*call)
                del call
        finally:
            connections.close_all()

    def _next(self) -> Call | None:
        while True:
            try:
                return self._queue.get(timeout=LINGER)
            except Empty:
                if self._calls.dismiss(self):
                    return None

    def _answer(self, future: Future[Any], function: Callable[[], Any]) -> None:
        try:
            result = with_connections(function)
        except BaseException as error:
            self._calls.rest(self)
            future.set_exception(error)
        else:
            self._calls.rest(self)
            future.set_result(result)


calls = BoundedCalls()
