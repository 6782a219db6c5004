"""Where a hub looks up sessions and users: a few threads, with the connections that they have."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, NamedTuple

from django.db import close_old_connections, connections, reset_queries

from .running import call_for_future
from .threads import Result, Threads, with_connections

# Threads for lookups. There are more while the database is slow, or some of them are stuck.
SIZE = 4

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


class Gathered:
    """Items that wait for a call of one function."""

    def __init__(self, function: Together) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._waiting: list[Question] = []
        self._open: set[asyncio.Future[Any]] = set()
        self._next = 0.0

    def add(self, question: Question) -> bool:
        """Let it wait; return whether another call is needed for those who wait."""
        self._open.add(question.answer)
        question.answer.add_done_callback(self._open.discard)
        with self._lock:
            self._waiting.append(question)
            return len(self._waiting) % TOGETHER == 1

    def pause(self) -> float:
        """Return how many seconds from now the next call is to be made."""
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + GATHER
        return at - now

    def call(self) -> list[tuple[Question, Any]]:
        """Return answers to those who wait, and who still want one."""
        with self._lock:
            taken, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        taken = [question for question in taken if not question.answer.cancelled()]
        if not taken:
            return []
        try:
            items = [question.item for question in taken]
            answers = _call(call_for_future, self._function, items)
        except BaseException as error:  # of the site's own classes, too
            answers = [error] * len(taken)
        return list(zip(taken, answers, strict=True))

    def called(self, task: asyncio.Task[None]) -> None:
        """Let nobody wait for ever after a call that has been given up."""
        if task.cancelled() or task.exception() is not None:
            for answer in list(self._open):
                answer.cancel()


class Lookups:
    """
    Calls functions that read from the database, at most `most` at a time.

    Connections are kept as Django keeps them between requests: `CONN_MAX_AGE` and
    `CONN_HEALTH_CHECKS` hold. Lookups that follow each other closely (within `LINGER`, for up to
    `KEEP`) count as one request there. So one connection serves many clients that come at once,
    and with a `CONN_MAX_AGE` of 0 it is closed right after the last of them. A lookup that finds
    the connection broken is made again with a new one.
    """

    def __init__(self, spawn: Spawn, most: int) -> None:
        self._spawn = spawn
        self._gathered: dict[Together, Gathered] = {}
        self.threads = Threads(
            "realtime-lookup", size=min(SIZE, most), most=most, linger=LINGER, rest=_rest
        )

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Return or raise what a function does, in the context of the caller."""
        return await self.threads.run(_call, copy_context().run, function, *args)

    async def run_together(self, function: Together, item: Any) -> Any:
        """
        Return or raise what a function of a list of items has in the place of this one.

        Items that come before a thread is free share a call. It has nobody's context.
        """
        gathered = self._gathered.get(function)
        if gathered is None:
            gathered = self._gathered[function] = Gathered(function)
        question = Question(item, asyncio.get_running_loop().create_future())
        if gathered.add(question):
            self._spawn(self._answer(gathered)).add_done_callback(gathered.called)
        return await question.answer

    async def _answer(self, gathered: Gathered) -> None:
        if pause := gathered.pause():
            await asyncio.sleep(pause)
        for question, answer in await self.threads.run(gathered.call):
            if question.answer.done():
                continue
            if isinstance(answer, BaseException):
                question.answer.set_exception(answer)
            else:
                question.answer.set_result(answer)

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
