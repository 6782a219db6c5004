"""
Events that are handled once for each key of a client: `@event(once="key")`.

The first try runs the handler. Others with its key, also those of other connections and processes,
wait for its acknowledgement, or get the one that was kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from ..conf import Settings
from ..exceptions import EventError, OnceError, ServerError
from ..execution.calls import call_hook
from ..execution.tasks import Tasks
from ..identity.lookups import Lookups
from ..logs import describe, log
from .attempts import Attempt, Found, State, Store, key_text, new_attempt
from .interfaces import Hub as SocketHub
from .stored_answers import LOST, MAX_ANSWER, decode_result, encode_refusal, encode_result

# How long a try waits for another one that is running, before its client is told so.
WAIT = 60.0

# Pauses between two looks at a try of another process.
MIN_PAUSE, MAX_PAUSE = 0.05, 1.0

# Pauses between attempts to keep an answer while the database is down.
MIN_RETRY, MAX_RETRY = 0.1, 5.0

# How often each process removes what nobody asks for any more.
SWEEP_INTERVAL = 300.0

Call = Callable[[], Awaitable[Any]]


class Hub(SocketHub, Protocol):
    """The hub whose events are handled."""

    server_id: str
    settings: Settings
    lookups: Lookups
    services: Tasks


def handled_once(function: Any, event: str, name: str, position: int) -> Callable[..., Any]:
    """
    Return a coroutine function that runs a handler once for each key of a client, which is the
    argument `name`, at a `position`.
    """

    async def handle(consumer: Any, *args: Any) -> Any:
        socket = consumer._socket
        hub = socket.hub
        key = key_text(name, args[position])
        attempt = new_attempt(socket, hub.server_id, event, key, args)
        call = partial(call_hook, function, consumer, *args, slots=hub.sync_handlers)
        return await hub.once.handle(attempt, call)

    return handle


class Outcome(NamedTuple):
    """
    How a try has ended: with an `answer`, or with nothing to tell others; and what it has raised
    itself.
    """

    answer: bytes | None = None
    error: BaseException | None = None


class Run:
    """
    A try of this process that has not ended everywhere.

    `told` is its outcome for those who wait here; `settled` is done when the store has that, too.
    """

    def __init__(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
        self.attempt = attempt
        # Whether it is the first one everywhere, and its handler runs, or has run.
        self.claimed = False
        self.told: asyncio.Future[Outcome] = loop.create_future()
        self.settled: asyncio.Future[None] = loop.create_future()

    def tell(self, outcome: Outcome) -> None:
        """Let those go on who wait here."""
        if not self.told.done():
            self.told.set_result(outcome)


class Once:
    """
    The events of one hub that are handled once.

    `store` is where all processes keep them; without one none is handled.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.store: Store | None = None
        self._runs: dict[str, Run] = {}
        self._upkeep: asyncio.Task[None] | None = None

    async def handle(self, attempt: Attempt, call: Call) -> Any:
        """
        Return or raise what the first try with this key does, which may be this one: it calls.

        Raises OnceError where that is not known.
        """
        while (other := self._runs.get(attempt.key)) is not None:
            outcome = await self._wait(other, attempt)
            if outcome.answer is not None:
                return decode_result(outcome.answer)
            if isinstance(outcome.error, OnceError) and not other.claimed:
                raise outcome.error
        run = self._begin(attempt, call)
        outcome = await asyncio.shield(run.told)
        if outcome.error is not None:
            raise outcome.error
        return decode_result(outcome.answer or LOST)

    async def _wait(self, other: Run, attempt: Attempt) -> Outcome:
        """Wait for the outcome of a try of this process; after a failure until that is settled."""
        if other.attempt.arguments != attempt.arguments:
            raise _reused()
        try:
            async with asyncio.timeout(WAIT):
                outcome = await asyncio.shield(other.told)
                if outcome.answer is None:
                    await asyncio.shield(other.settled)
        except TimeoutError:
            raise _still_running() from None
        return outcome

    # The first try here

    def _begin(self, attempt: Attempt, call: Call) -> Run:
        """Run a try, in a task of its own: what has begun goes on, also without its client."""
        run = self._runs[attempt.key] = Run(attempt, self._hub.loop)
        self._hub.spawn(self._run(run, call)).add_done_callback(lambda _: self._end(run))
        return run

    def _end(self, run: Run) -> None:
        """Forget a run. Where the hub ends first, nobody knows how its handler does."""
        self._runs.pop(run.attempt.key, None)
        run.tell(Outcome(error=OnceError()))
        if not run.settled.done():
            run.settled.set_result(None)

    async def _run(self, run: Run, call: Call) -> None:
        attempt = run.attempt
        try:
            if (answer := await self._claim(attempt)) is not None:
                run.tell(Outcome(answer))
                return
        except OnceError as error:
            run.tell(Outcome(error=error))
            return
        run.claimed = True
        store = self._require_store()
        if self._upkeep is None:
            self._upkeep = self._hub.services.supervise(partial(self._keep_up, store), "once")
        outcome = await self._call(call)
        if outcome.answer is None:
            await self._settle(run, outcome, store.release, attempt)
        else:
            kept = _bounded(outcome.answer, attempt)
            await self._settle(run, outcome, store.finish, attempt, kept)

    async def _call(self, call: Call) -> Outcome:
        """Call the handler. What it has done is not undone by an answer that cannot be sent."""
        try:
            result = await call()
        except EventError as error:
            return Outcome(encode_refusal(error), error)
        except BaseException as error:
            if isinstance(error, GeneratorExit) or self._is_ending():
                raise  # the handler may be at work still, in its thread
            return Outcome(error=error)
        try:
            return Outcome(encode_result(result))
        except Exception as error:
            return Outcome(encode_refusal(ServerError()), error)

    def _is_ending(self) -> bool:
        task = asyncio.current_task()
        return self._hub.closing and task is not None and task.cancelling() > 0

    # The others, in other processes

    async def _claim(self, attempt: Attempt) -> bytes | None:
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
                raise _reused()
            if found.state is State.FULL:
                raise OnceError("there are too many keys", code="too_many_keys")
            if found.state is State.RUNNING:
                silent_since = None
            elif silent_since is None:
                silent_since = clock()
            # After an outage of the database a process that lives is heard again soon.
            elif clock() - silent_since >= self._hub.settings.SERVER_HEARTBEAT:
                raise OnceError("nobody knows whether this was done", code="interrupted")
            if clock() >= deadline:
                raise _still_running()
            await asyncio.sleep(pause * random.uniform(0.8, 1))
            pause = min(MAX_PAUSE, pause * 1.5)

    async def _ask(self, attempt: Attempt) -> Found:
        """Claim a key, if it can be claimed now. Raises OnceError where the store does not tell."""
        store = self._require_store()
        claim = self._hub.loop.create_task(self._hub.lookups.run(store.claim, attempt))
        try:
            await asyncio.wait({claim}, timeout=self._hub.settings.LOOKUP_TIMEOUT)
            if claim.done():
                return claim.result()
            error: BaseException = TimeoutError("the database does not answer")
        except Exception as failure:
            error = failure
        finally:
            if not claim.done():  # nobody runs what may be claimed yet
                claim.add_done_callback(partial(self._give_back, attempt))
        log(logging.ERROR, "once-unavailable", **_fields(attempt, error))
        raise OnceError from error

    def _give_back(self, attempt: Attempt, claim: asyncio.Task[Found]) -> None:
        if claim.cancelled() or claim.exception() or claim.result().state is not State.CLAIMED:
            return
        release = self._require_store().release
        self._hub.spawn(self._settle(Run(attempt, self._hub.loop), Outcome(), release, attempt))

    def _require_store(self) -> Store:
        if self.store is None:
            raise OnceError("there is no database to handle this once")
        return self.store

    # The store

    async def _settle(
        self, run: Run, outcome: Outcome, write: Callable[..., None], *args: Any
    ) -> None:
        """Keep how a try has ended, however long the database is away; nobody waits for that."""
        impatience = self._hub.loop.call_later(self._hub.settings.LOOKUP_TIMEOUT, run.tell, outcome)
        pause = MIN_RETRY
        try:
            while True:
                try:
                    await self._hub.lookups.run(write, *args)
                    return
                except Exception as error:
                    log(logging.ERROR, "once-unkept", **_fields(run.attempt, error))
                finally:
                    run.tell(outcome)
                await asyncio.sleep(pause * random.uniform(0.8, 1))
                pause = min(MAX_RETRY, pause * 2)
        finally:
            impatience.cancel()

    async def _keep_up(self, store: Store) -> None:
        """Tell from time to time that handlers run still, and remove what is old."""
        clock, settings = self._hub.loop.time, self._hub.settings
        next_sweep = clock() + SWEEP_INTERVAL * random.random()
        while True:
            await asyncio.sleep(settings.SERVER_HEARTBEAT * random.uniform(0.8, 1))
            if running := [run.attempt for run in self._runs.values() if run.claimed]:
                await self._try(store.renew, running)
            if clock() >= next_sweep and await self._try(store.sweep) is not False:
                next_sweep = clock() + SWEEP_INTERVAL * random.uniform(0.5, 1.5)

    async def _try(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            async with asyncio.timeout(self._hub.settings.LOOKUP_TIMEOUT):
                return await self._hub.lookups.run(function, *args)
        except Exception as error:
            log(logging.WARNING, "once-upkeep-failed", error=describe(error))


def _bounded(answer: bytes, attempt: Attempt) -> bytes:
    if len(answer) <= MAX_ANSWER:
        return answer
    log(
        logging.ERROR,
        "once-too-large",
        namespace=attempt.namespace,
        event=attempt.event,
        bytes=len(answer),
    )
    return LOST


def _fields(attempt: Attempt, error: BaseException) -> dict[str, Any]:
    return {
        "namespace": attempt.namespace,
        "event": attempt.event,
        "error": describe(error),
    }


def _reused() -> OnceError:
    return OnceError("this key was used for something else", code="key_reused")


def _still_running() -> OnceError:
    return OnceError("this is still being done", code="still_running")
