"""Threads that call what blocks, for an event loop that must not: a few, which are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from django.db import InterfaceError, OperationalError, connections

Result = TypeVar("Result")

# How long the end of an event loop waits for the last work.
JOIN_TIMEOUT = 2.0

# How often it is looked whether another thread would help those who wait.
LOOK_INTERVAL = 0.02

# One that takes longer for one call is stuck, and another thread takes its place.
PATIENCE = 1.0

# The process has time to spare where, in so many looks in a row, it has used less of a core than
# this, and the look itself was no later than that.
IDLE_LOOKS = 3
BUSY = 0.5
LATE = 0.1 * LOOK_INTERVAL


class Work(NamedTuple):
    """A function to call, and who waits for what it returns."""

    function: Callable[[], Any]
    answer: asyncio.Future[Any]


class Worker(Thread):
    """
    One thread, `extra` where it is not to stay.

    `since` tells when its call has begun; `ended` is done when it is over.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Worker], None],
        ended: asyncio.Future[None],
        extra: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._work_for = work
        self.since: float | None = None
        self.ended = ended
        self.extra = extra

    def run(self) -> None:
        self._work_for(self)


class Threads:
    """
    Calls functions in threads that are started when they are needed, in the order of the calls.

    There are `size` of them, and extra ones, up to `most`, while calls wait though the process has
    time to spare, or because threads are stuck. One that has had nothing to do for `linger` seconds
    calls `rest`, and ends if it is an extra one.

    They are daemons: what never returns does not keep the process alive.
    """

    def __init__(
        self,
        name: str,
        *,
        size: int = 1,
        most: int = 1,
        linger: float | None = None,
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._size = size
        self._most = most
        self._linger = linger
        self._rest = rest
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._workers: list[Worker] = []
        # Calls that are not answered yet.
        self._open = 0
        self._watch: asyncio.TimerHandle | None = None
        # When it was looked last, what the process had used of its core until then, and how many
        # looks in a row have found it idle.
        self._looked, self._used = 0.0, 0.0
        self._idle_looks = 0
        self._guard: AsyncGenerator[None] | None = None

    def __len__(self) -> int:
        return len(self._workers)

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """
        Return or raise what the function does.

        Nothing is called for one who does not wait any more when it is its turn.
        """
        if self._guard is None:
            self._guard = self._stop_with_loop()
            await anext(self._guard)
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(Work(partial(function, *args), answer))
        self._open += 1
        self._help()
        return await answer

    def stop(self) -> None:
        """End the threads after the work that they have, and close their connections."""
        for _ in self._workers:
            self._queue.put(None)

    async def close(self, timeout: float) -> None:
        """Do that, and wait for it, but not longer than `timeout` seconds."""
        self.stop()
        if self._workers:
            await asyncio.wait([worker.ended for worker in self._workers], timeout=timeout)

    async def _stop_with_loop(self) -> AsyncGenerator[None]:
        """Go on until the loop ends, which ends generators first: so no connection outlives it."""
        try:
            yield
        finally:
            self.stop()
            deadline = time.monotonic() + JOIN_TIMEOUT
            for worker in self._workers:
                worker.join(max(0.0, deadline - time.monotonic()))

    # On the loop

    @property
    def _waiting(self) -> bool:
        """Whether a call has no thread yet."""
        return self._open > len(self._workers)

    def _help(self) -> None:
        """Start a thread for a call that has none; beyond `size` only after a while."""
        if not self._waiting:
            return
        if len(self._workers) < self._size:
            self._start()
        elif len(self._workers) < self._most and self._watch is None:
            self._look_later()

    def _start(self, extra: bool = False) -> None:
        worker = Worker(self._name, self._work, self._loop.create_future(), extra)
        self._workers.append(worker)
        worker.start()

    def _look_later(self) -> None:
        self._looked, self._used = time.monotonic(), time.process_time()
        self._watch = self._loop.call_later(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        """Start a thread, if that helps."""
        self._watch = None
        if not self._waiting or len(self._workers) >= self._most:
            self._idle_looks = 0
            return
        now = time.monotonic()
        self._idle_looks = self._idle_looks + 1 if self._is_idle(now - self._looked) else 0
        if self._idle_looks >= IDLE_LOOKS or len(self._workers) - self._stuck(now) < self._size:
            self._start(extra=True)
        self._look_later()

    def _is_idle(self, passed: float) -> bool:
        """
        Tell whether the process had time to spare since the last look.

        One that has to wait for its core uses little of it, and is late.
        """
        used = time.process_time() - self._used
        return used < passed * BUSY and passed < LOOK_INTERVAL + LATE

    def _stuck(self, now: float) -> int:
        begun = [worker.since for worker in self._workers]
        return sum(1 for since in begun if since is not None and now - since > PATIENCE)

    def _answer(self, work: Work, result: Any, error: BaseException | None) -> None:
        self._open -= 1
        if work.answer.done():
            return
        if error is None:
            work.answer.set_result(result)
        elif isinstance(error, StopIteration):  # which no future carries
            work.answer.set_exception(RuntimeError(f"{work.function!r} raised StopIteration"))
        else:
            work.answer.set_exception(error)

    def _forget(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.ended.set_result(None)
        self._help()

    # In the threads

    def _work(self, worker: Worker) -> None:
        try:
            while self._work_once(worker):
                pass
        finally:
            try:
                connections.close_all()
            finally:
                self._tell(self._forget, worker)

    def _work_once(self, worker: Worker) -> bool:
        """Do the next work. What it was about is not kept while there is none."""
        work = self._next(worker)
        if work is None:
            return False
        error, result = None, None
        worker.since = time.monotonic()
        try:
            if not work.answer.cancelled():
                result = work.function()
        except BaseException as raised:
            error = raised
        worker.since = None
        return self._tell(self._answer, work, result, error)

    def _tell(self, call: Callable[..., None], *args: Any) -> bool:
        """Call something on the loop, unless that has ended."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            return False
        return True

    def _next(self, worker: Worker) -> Work | None:
        if self._rest is not None:
            try:
                return self._queue.get(timeout=self._linger)
            except Empty:
                self._rest()
            if worker.extra:
                return None
        return self._queue.get()


def with_connections(function: Callable[..., Result], *args: Any) -> Result:
    """
    Return or raise what a function does with the connections that its thread has kept.

    Where one of them turns out to be broken, it is called once more with new ones. After an error
    none is kept.
    """
    kept = any(each.connection is not None for each in connections.all(initialized_only=True))
    try:
        try:
            return function(*args)
        except (OperationalError, InterfaceError):
            if not kept:
                raise
            connections.close_all()
            return function(*args)
    except BaseException:
        connections.close_all()
        raise
