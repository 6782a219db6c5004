"""Where a hub looks up sessions and users: a few threads, with the connections that they have."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, NamedTuple

from django.db import close_old_connections, connections, reset_queries

from ..execution.calls import call_for_future
from ..execution.threads import Result, Threads, with_connections

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


# A function that does something for all items of a list.
Together = Callable[[list[Any]], object]

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class LookupGivenUp(Exception):
    """Nothing was found, since nobody looks any more: the hub ends."""


class Waiter(NamedTuple):
    """One who waits for a call, and the item that it is for."""

    item: Any
    done: asyncio.Future[None]


class SharedCall:
    """One call for all who wait for it; `begun` tells whether it has been made."""

    def __init__(self, begun: bool = False) -> None:
        self.waiters: list[Waiter] = []
        self.begun = begun

    def end(self, error: BaseException | None) -> None:
        """Tell those who still wait that it is done, or why it is not."""
        for waiter in self.waiters:
            if waiter.done.done():
                continue
            if error is None:
                waiter.done.set_result(None)
            else:
                waiter.done.set_exception(error)

    def end_with(self, task: asyncio.Task[None]) -> None:
        """Let nobody wait for ever, whatever the task has ended with that was to tell them."""
        self.end(LookupGivenUp())


class CallBatcher:
    """Those who wait for calls of one function, which begin `interval` seconds after each other."""

    def __init__(
        self, function: Together, interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._function = function
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._last = SharedCall(begun=True)
        self._next = clock()

    def is_alone(self) -> bool:
        """Tell whether one who comes now is the first for a while; others will not be."""
        now = self._clock()
        with self._lock:
            if not self._last.begun or now < self._next:
                return False
        self._next = now + self._interval
        return True

    def add(self, waiter: Waiter) -> SharedCall | None:
        """Let one wait for a shared call; return that where it is new, and is to be made."""
        with self._lock:
            is_new = self._last.begun or len(self._last.waiters) == TOGETHER
            if is_new:
                self._last = SharedCall()
            self._last.waiters.append(waiter)
            return self._last if is_new else None

    def pause(self) -> float:
        """Return how many seconds from now the next call is to be made."""
        now = self._clock()
        at = max(now, self._next)
        self._next = at + self._interval
        return at - now

    def call(self, call: SharedCall) -> None:
        """Make a shared call. It blocks."""
        with self._lock:
            call.begun = True
        items = [waiter.item for waiter in call.waiters if not waiter.done.done()]
        if items:
            _call(call_for_future, self._function, items)


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
        self._gathered: dict[Together, CallBatcher] = {}
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

    async def share(self, function: Together, item: Any) -> None:
        """
        Let a function do what it does for a list of items for this one, among others who come now.

        Items that come before a thread is free share a call, which has nobody's context. For one
        who comes alone nothing is done: there is nobody to share it with. Raises what the function
        does, and LookupGivenUp where the hub ends first.
        """
        gathered = self._gathered.get(function)
        if gathered is None:
            gathered = self._gathered[function] = CallBatcher(function, self._gather)
        if gathered.is_alone():
            return
        waiter = Waiter(item, asyncio.get_running_loop().create_future())
        if (call := gathered.add(waiter)) is not None:
            self._spawn(self._call_for(gathered, call)).add_done_callback(call.end_with)
        await waiter.done

    async def _call_for(self, gathered: CallBatcher, call: SharedCall) -> None:
        if pause := gathered.pause():
            await asyncio.sleep(pause)
        try:
            await self.threads.run(gathered.call, call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # of the site's own classes, too
            call.end(error)
        else:
            call.end(None)

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
