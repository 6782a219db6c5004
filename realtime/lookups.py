"""Where a hub looks up sessions and users: a few threads, with the connections that they have."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, NamedTuple

from django.db import close_old_connections, connections, reset_queries

from .threads import Result, Threads, with_connections

# Threads for lookups. There are more while the database is slow, or some of them are stuck.
SIZE = 4

# After so many seconds in one call a thread is taken for stuck, on a connection that has gone
# silent, and another one may take its place.
GIVE_UP_AFTER = 15.0

# How long a thread keeps its connection while it has nothing to look up, and how long before it
# looks whether to keep it otherwise.
LINGER = 0.1
KEEP = 1.0

# As many can share one call, and calls begin so many seconds after each other: while clients come
# one by one they need not wait, and while many come most share one.
TOGETHER = 100
GATHER = 0.02

# How long the hub's end waits for the last lookup.
CLOSE_TIMEOUT = 1.0


# A function that returns something for each item of a list. An exception is raised for the one who
# has asked.
Together = Callable[[list[Any]], list[Any]]

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Question(NamedTuple):
    """An item, and who waits for what is found for it."""

    item: Any
    answer: asyncio.Future[Any]


class LookupGivenUp(Exception):
    """Nothing was found, since nobody looks any more: the hub ends."""


class Batch:
    """Questions that share one call; `begun` tells whether that has been made."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.begun = False

    def answer(self, answers: list[Any]) -> None:
        """Tell those who still wait; an exception is raised for the one who has asked."""
        for question, answer in zip(self.questions, answers, strict=True):
            if question.answer.done():
                continue
            if isinstance(answer, BaseException):
                question.answer.set_exception(answer)
            else:
                question.answer.set_result(answer)

    def end(self, task: asyncio.Task[None]) -> None:
        """Let nobody wait for ever, whatever the task that was to answer has ended with."""
        error = LookupGivenUp() if task.cancelled() else task.exception() or LookupGivenUp()
        self.answer([error] * len(self.questions))


class Gathered:
    """What waits for calls of one function, which begin `interval` seconds after each other."""

    def __init__(
        self, function: Together, interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._function = function
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._last = Batch()
        self._last.begun = True
        self._next = 0.0

    def add(self, question: Question) -> Batch | None:
        """Let it wait; return a batch for which there is no call yet, if it is in a new one."""
        with self._lock:
            is_new = self._last.begun or len(self._last.questions) == TOGETHER
            if is_new:
                self._last = Batch()
            self._last.questions.append(question)
            return self._last if is_new else None

    def pause(self) -> float:
        """Return how many seconds from now the next call is to be made."""
        now = self._clock()
        at = max(now, self._next)
        self._next = at + self._interval
        return at - now

    def call(self, batch: Batch) -> list[Any]:
        """Return the answers for a batch. It blocks, and raises nothing."""
        with self._lock:
            batch.begun = True
        wanted = [not question.answer.done() for question in batch.questions]
        items = [each.item for each, want in zip(batch.questions, wanted, strict=True) if want]
        if not items:
            return [None] * len(wanted)
        try:
            found = _call(self._function, items)
            if len(found) != len(items):
                raise RuntimeError(f"{self._function!r} found {len(found)} of {len(items)} items")
        except BaseException as error:  # of the site's own classes, too
            return [error] * len(wanted)
        answers = iter(found)
        return [next(answers) if want else None for want in wanted]


class Lookups:
    """
    Calls functions that read from the database, at most `most` at a time.

    Connections are kept as Django keeps them between requests: `CONN_MAX_AGE` and
    `CONN_HEALTH_CHECKS` hold. Lookups that follow each other closely (within `LINGER`, for up to
    `KEEP`) count as one request there. So one connection serves many clients that come at once,
    and with a `CONN_MAX_AGE` of 0 it is closed right after the last of them. A lookup that finds
    the connection broken is made again with a new one.
    """

    def __init__(self, spawn: Spawn, most: int, *, gather: float = GATHER) -> None:
        self._spawn = spawn
        self._gather = gather
        self._gathered: dict[Together, Gathered] = {}
        self.threads = Threads(
            "realtime-lookup",
            size=min(SIZE, most),
            most=most,
            linger=LINGER,
            rest=_rest,
            give_up_after=GIVE_UP_AFTER,
        )

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Return or raise what a function does, in the context of the caller."""
        return await self.threads.run(_call, copy_context().run, function, *args)

    async def run_together(self, function: Together, item: Any) -> Any:
        """
        Return or raise what a function of a list of items has in the place of this one.

        Items that come before a thread is free share a call. It has nobody's context. Raises
        LookupGivenUp where the hub ends first.
        """
        gathered = self._gathered.get(function)
        if gathered is None:
            gathered = self._gathered[function] = Gathered(function, self._gather)
        question = Question(item, asyncio.get_running_loop().create_future())
        if (batch := gathered.add(question)) is not None:
            self._spawn(self._answer(gathered, batch)).add_done_callback(batch.end)
        return await question.answer

    async def _answer(self, gathered: Gathered, batch: Batch) -> None:
        if pause := gathered.pause():
            await asyncio.sleep(pause)
        batch.answer(await self.threads.run(gathered.call, batch))

    async def close(self) -> None:
        """End the threads, which closes their connections."""
        await self.threads.close(CLOSE_TIMEOUT)


class _Rested(threading.local):
    """When a thread looked last at its connections."""

    at = 0.0


_rested = _Rested()


def _rest() -> None:
    """Do with this thread's connections what Django does between requests."""
    _rested.at = time.monotonic()
    reset_queries()
    try:
        close_old_connections()
    except Exception:  # one that cannot even be asked, as after a test, is of no use
        connections.close_all()


def _call(function: Callable[..., Result], *args: Any) -> Result:
    if time.monotonic() - _rested.at > KEEP:
        _rest()
    return with_connections(function, *args)
