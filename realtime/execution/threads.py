"""Threads that call what blocks, for an event loop that must not: a few, which are kept."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from django.db import InterfaceError, OperationalError, connections

Result = TypeVar("Result")

# How long the end of an event loop waits for the last work.
JOIN_TIMEOUT = 2.0

# How long the oldest call waits before one more thread is started for those that wait.
GROW_AFTER = 0.05


class Work(NamedTuple):
    """A function to call, and who waits for what it returns."""

    function: Callable[[], Any]
    answer: asyncio.Future[Any]


class PoolThread(Thread):
    """
    A thread of a pool.

    It ends when it has nothing to do, where it is `extra`, or after its call, where it is
    `given_up`. `at` is that call: when it has begun, and who waits for it. `ended` is done
    when it is over.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[PoolThread], None],
        ended: asyncio.Future[None],
        extra: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._work_for = work
        self.at: tuple[float, asyncio.Future[Any]] | None = None
        self.ended = ended
        self.extra = extra
        self.given_up = False

    def run(self) -> None:
        self._work_for(self)


class Threads:
    """
    Calls functions in threads that are started when they are needed, in the order of the calls.

    There are `size` of them, and extra ones, up to `most`, while the oldest call waits longer than
    `grow_after` seconds. One that has had nothing to do for `linger` seconds calls `rest`, and ends
    if it is an extra one.

    Where all are at work, one whose call has taken longer than `give_up_after` seconds, such as on
    a connection that has gone silent, is counted no more, so that another one can take its place:
    at most one in so many seconds.

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
        grow_after: float = GROW_AFTER,
        give_up_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._size = size
        self._most = most
        self._linger = linger
        self._rest = rest
        self._grow_after = grow_after
        self._give_up_after = give_up_after
        self._clock = clock
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._workers: list[PoolThread] = []
        # Calls that are not answered yet, and since when each of those waits that have no thread.
        self._open: set[asyncio.Future[Any]] = set()
        self._waiting: deque[float] = deque()
        self._given_up_at = clock()
        self._watch: asyncio.TimerHandle | None = None
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
        self._waiting.append(self._clock())
        self._queue.put(Work(partial(function, *args), answer))
        self._open.add(answer)
        self._help()
        return await answer

    def stop(self) -> None:
        """End the threads after the work that they have, and close their connections."""
        for _ in self._workers:
            self._queue.put(None)

    async def close(self, timeout: float) -> None:
        """End the threads as `stop` does, and wait for that, at most `timeout` seconds."""
        self.stop()
        if self._workers:
            await asyncio.wait([worker.ended for worker in self._workers], timeout=timeout)

    def abandon(self) -> None:
        """Wait for none of the threads any more: each ends after its call, if that ever returns."""
        self.stop()
        for worker in tuple(self._workers):
            self._give_up(worker)
        self._open.clear()  # also what a thread is just about to begin: no other is to do it

    async def _stop_with_loop(self) -> AsyncGenerator[None]:
        """
        Stop the threads when the loop ends, which ends generators first: no connection outlives it.
        """
        try:
            yield
        finally:
            self.stop()
            deadline = time.monotonic() + JOIN_TIMEOUT
            for worker in self._workers:
                worker.join(max(0.0, deadline - time.monotonic()))

    # On the loop

    def _help(self) -> None:
        """Start a thread for a call that has none; beyond `size` only after a while."""
        if len(self._open) <= len(self._workers):
            return
        if len(self._workers) < self._size:
            self._start()
        elif self._watch is None and (
            len(self._workers) < self._most or self._give_up_after is not None
        ):
            self._watch = self._loop.call_later(self._grow_after, self._grow)

    def _start(self, extra: bool = False) -> None:
        worker = PoolThread(self._name, self._work, self._loop.create_future(), extra)
        self._workers.append(worker)
        worker.start()

    def _grow(self) -> None:
        """Start one more thread, if the oldest call waits too long."""
        self._watch = None
        oldest = self._oldest()
        if oldest is not None and self._clock() - oldest >= self._grow_after:
            if len(self._workers) >= self._most:
                self._give_up_stuck()
            if len(self._workers) < self._most:
                self._start(extra=len(self._workers) >= self._size)
        self._help()

    def _oldest(self) -> float | None:
        """Return since when the oldest call has been waiting for a thread."""
        try:
            return self._waiting[0]
        except IndexError:  # a thread has taken the last one
            return None

    def _give_up_stuck(self) -> None:
        """Count the thread no more whose call has taken the longest, where that is too long."""
        now, patience = self._clock(), self._give_up_after
        if patience is None or now - self._given_up_at < patience:
            return
        begun = [(at[0], worker) for worker in self._workers if (at := worker.at) is not None]
        since, stuck = min(begun, key=lambda pair: pair[0], default=(now, None))
        if stuck is not None and now - since >= patience:
            self._given_up_at = now
            self._give_up(stuck)

    def _give_up(self, worker: PoolThread) -> None:
        worker.given_up = True
        self._workers.remove(worker)
        if (at := worker.at) is not None:
            self._open.discard(at[1])

    def _answer(self, work: Work, result: Any, error: BaseException | None) -> None:
        self._open.discard(work.answer)
        if work.answer.done():
            return
        if error is None:
            work.answer.set_result(result)
        elif isinstance(error, StopIteration):  # which no future carries
            work.answer.set_exception(RuntimeError(f"{work.function!r} raised StopIteration"))
        else:
            work.answer.set_exception(error)

    def _forget(self, worker: PoolThread) -> None:
        if not worker.given_up:
            self._workers.remove(worker)
        worker.ended.set_result(None)
        self._help()

    # In the threads

    def _work(self, worker: PoolThread) -> None:
        try:
            while self._work_once(worker):
                pass
        finally:
            try:
                connections.close_all()
            finally:
                self._tell(self._forget, worker)

    def _work_once(self, worker: PoolThread) -> bool:
        """Do the next work. What it was about is not kept while there is none."""
        work = self._next(worker)
        if work is None:
            return False
        self._waiting.popleft()
        error, result = None, None
        worker.at = (self._clock(), work.answer)
        try:
            if not work.answer.cancelled():
                result = work.function()
        except BaseException as raised:
            error = raised
        worker.at = None
        return self._tell(self._answer, work, result, error) and not worker.given_up

    def _tell(self, call: Callable[..., None], *args: Any) -> bool:
        """Call something on the loop, unless that has ended."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            return False
        return True

    def _next(self, worker: PoolThread) -> Work | None:
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
