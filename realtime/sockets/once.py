"""
Events that are handled once for each key of a client: `@event(once="key")`.

The first try runs the handler. Others with its key, also those of other connections and processes,
wait for its acknowledgement, or get the one that was kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from ..exceptions import EventError, OnceError, ServerError
from ..execution.calls import call_hook
from ..execution.tasks import Tasks
from ..logs import log
from . import claims
from .attempts import Attempt, Store, key_text, new_attempt
from .claims import Claims
from .stored_answers import LOST, MAX_ANSWER, decode_result, encode_refusal, encode_result

Call = Callable[[], Awaitable[Any]]


class Hub(claims.Hub, Protocol):
    """The hub whose events are handled."""

    services: Tasks
    closing: bool


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
    How a try has ended: with an `answer`, or with none that others could get; and the error that
    the first one is to raise.
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
    """The events of one hub that are handled once."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._claims = Claims(hub)
        self._runs: dict[str, Run] = {}
        self._upkeep: asyncio.Task[None] | None = None

    def keep_in(self, store: Store) -> None:
        """Keep tries and answers in a store. Without one nothing is handled."""
        self._claims.store = store

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
            raise claims.reused()
        try:
            async with asyncio.timeout(claims.WAIT):
                outcome = await asyncio.shield(other.told)
                if outcome.answer is None:
                    await asyncio.shield(other.settled)
        except TimeoutError:
            raise claims.still_running() from None
        return outcome

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
            if (answer := await self._claims.claim(attempt)) is not None:
                run.tell(Outcome(answer))
                return
        except OnceError as error:
            run.tell(Outcome(error=error))
            return
        run.claimed = True
        if self._upkeep is None:
            keep_up = partial(self._claims.keep_up, self._running)
            self._upkeep = self._hub.services.supervise(keep_up, "once")
        outcome = await self._call(call)
        kept = None if outcome.answer is None else _bounded(outcome.answer, attempt)
        await self._claims.settle(attempt, kept, partial(run.tell, outcome))

    def _running(self) -> list[Attempt]:
        return [run.attempt for run in self._runs.values() if run.claimed]

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


def _bounded(answer: bytes, attempt: Attempt) -> bytes:
    """Return what is kept of an answer: nothing, where it is too large."""
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
