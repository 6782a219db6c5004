"""What one process asks of the store of events that are handled once, and tells it."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from ..conf import Settings
from ..exceptions import OnceError
from ..identity.lookups import Lookups
from ..logs import describe, log
from .attempts import Attempt, Found, State, Store

# How long a try waits for another one that is running, before its client is told so.
WAIT = 60.0

# For how many heartbeats a process that runs one has to be silent while that is looked at: after an
# outage of the database one that lives is heard again within the first.
SILENT_BEATS = 2

# Pauses between two looks at a try of another process.
MIN_PAUSE, MAX_PAUSE = 0.05, 1.0

# How long one attempt to keep an answer may take: its connection may have gone silent.
PATIENCE = 15.0

# Pauses between attempts to keep an answer while the database is down.
MIN_RETRY, MAX_RETRY = 0.1, 5.0

# How often each process removes what nobody asks for any more.
SWEEP_INTERVAL = 300.0


class Hub(Protocol):
    """The hub whose events they are."""

    loop: asyncio.AbstractEventLoop
    settings: Settings
    lookups: Lookups

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` in a task that is kept."""


class Claims:
    """Claims keys in a store, and keeps there what became of them, as well as it answers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.store: Store | None = None

    @property
    def _found(self) -> Store:
        if self.store is None:
            raise OnceError("there is no database to handle this once")
        return self.store

    async def claim(self, attempt: Attempt) -> bytes | None:
        """
        Return the answer of another try, once it has one, or None where this one is to run.

        Raises OnceError where there will be none, or not soon.
        """
        clock = self._hub.loop.time
        deadline, pause = clock() + WAIT, MIN_PAUSE
        silent_since: float | None = None
        while True:
            found = await self._ask(attempt)
            if found.state is State.CLAIMED:
                return None
            if found.state is State.HANDLED:
                return found.answer
            if found.state is State.OTHER:
                raise reused()
            if found.state is State.FULL:
                raise OnceError("there are too many keys", code="too_many_keys")
            if found.state is State.RUNNING:
                silent_since = None
            elif silent_since is None:
                silent_since = clock()
            elif clock() - silent_since >= self._hub.settings.SERVER_HEARTBEAT * SILENT_BEATS:
                raise OnceError("nobody knows whether this was done", code="interrupted")
            if clock() >= deadline:
                raise still_running()
            await asyncio.sleep(pause * random.uniform(0.8, 1))
            pause = min(MAX_PAUSE, pause * 1.5)

    async def _ask(self, attempt: Attempt) -> Found:
        """Claim a key, if it can be claimed now. Raises OnceError where the store does not tell."""
        ticket = threading.Lock()  # who acquires it first, this coroutine or the thread, has it
        call = self._hub.lookups.run(_claim, self._found, attempt, ticket)
        claim = self._hub.loop.create_task(call)
        try:
            await asyncio.wait({claim}, timeout=self._hub.settings.LOOKUP_TIMEOUT)
            if claim.done():
                return claim.result()
            error: Exception = TimeoutError("the database does not answer")
        except Exception as failure:
            error = failure
        finally:
            if not claim.done():
                if ticket.acquire(blocking=False):
                    claim.cancel()
                else:  # it may be claimed yet, and nobody is there to run it
                    claim.add_done_callback(partial(self._give_back, attempt))
        log(logging.ERROR, "once-unavailable", **_fields(attempt, error))
        raise OnceError from error

    def _give_back(self, attempt: Attempt, claim: asyncio.Task[Found]) -> None:
        """Release a key that was claimed too late."""
        if claim.cancelled() or claim.exception() or claim.result().state is not State.CLAIMED:
            return
        self._hub.spawn(self.settle(attempt, None, lambda: None))

    async def settle(
        self, attempt: Attempt, answer: bytes | None, go_on: Callable[[], None]
    ) -> None:
        """
        Keep a try's answer, or forget the try where there is none, however long that takes.

        Where it takes long, or cannot be done at once, `go_on` is called before it is done.
        """
        write = partial(self._found.release, attempt)
        if answer is not None:
            write = partial(self._found.finish, attempt, answer)
        impatience = self._hub.loop.call_later(self._hub.settings.LOOKUP_TIMEOUT, go_on)
        pause = MIN_RETRY
        try:
            while True:
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self._hub.lookups.run(write)
                    return
                except Exception as error:
                    log(logging.ERROR, "once-unkept", **_fields(attempt, error))
                finally:
                    go_on()
                await asyncio.sleep(pause * random.uniform(0.8, 1))
                pause = min(MAX_RETRY, pause * 2)
        finally:
            impatience.cancel()

    async def keep_up(self, running: Callable[[], Sequence[Attempt]]) -> None:
        """Tell from time to time which tries are running still, and remove what is old."""
        clock, settings = self._hub.loop.time, self._hub.settings
        next_sweep = clock() + SWEEP_INTERVAL * random.random()
        while True:
            await asyncio.sleep(settings.SERVER_HEARTBEAT * random.uniform(0.8, 1))
            if attempts := running():
                await self._try(self._found.renew, attempts)
            if clock() >= next_sweep and await self._try(self._found.sweep) is not False:
                next_sweep = clock() + SWEEP_INTERVAL * random.uniform(0.5, 1.5)

    async def _try(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            async with asyncio.timeout(self._hub.settings.LOOKUP_TIMEOUT):
                return await self._hub.lookups.run(function, *args)
        except Exception as error:
            log(logging.WARNING, "once-upkeep-failed", error=describe(error))


def _claim(store: Store, attempt: Attempt, ticket: threading.Lock) -> Found:
    """Claim a key. Raises TimeoutError where nobody waits for that any more."""
    if not ticket.acquire(blocking=False):
        raise TimeoutError
    return store.claim(attempt)


def _fields(attempt: Attempt, error: Exception) -> dict[str, Any]:
    return {
        "namespace": attempt.namespace,
        "event": attempt.event,
        "error": describe(error),
    }


def reused() -> OnceError:
    """Return what a client is told whose key was used with other arguments."""
    return OnceError("this key was used for something else", code="key_reused")


def still_running() -> OnceError:
    """Return what a client is told after it has waited long enough."""
    return OnceError("this is still being done", code="still_running")
