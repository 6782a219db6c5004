"""
Jobs that begin at once, and go on in a task only where they come to wait.

Most handlers never wait, and then cost neither a task nor a turn of the event loop.
"""

from __future__ import annotations

import asyncio
from asyncio import _enter_task, _leave_task  # which the documentation has for this
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any

from .tasks import Tasks

Job = Coroutine[Any, Any, None]
Runner = Generator[Any, Any, None]


# What a runner yields when its job is done.
_DONE = object()


@coroutine
def _runner() -> Generator[Any, Any, None]:
    """
    Run the jobs that are sent to it, one after the other.

    To begin and end a coroutine from outside takes longer than most jobs, as its end is an
    exception; to await it here, in something that was begun before, does not.
    """
    job = yield _DONE
    while True:
        yield from job
        job = yield _DONE


def _new_runner() -> Runner:
    runner = _runner()
    runner.send(None)
    return runner


class Workers:
    """Runs jobs on one event loop. Those that come to wait are kept among `tasks`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: Tasks) -> None:
        self._loop = loop
        self._tasks = tasks
        self._spare: asyncio.Task[None] | None = None
        self._worker = Worker()
        self._runner = _new_runner()

    def run(self, job: Job, context: Context) -> None:
        """
        Run a job inside its context until it is done or waits for something.

        It goes on in the task that `asyncio.current_task` names in it from its start, so that
        `asyncio.timeout` and the like hold. Raises what the job raises before it waits.
        """
        task = self._spare
        if task is None or task.cancelling():
            task = self._hire()
        loop = self._loop
        caller = asyncio.current_task(loop)
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        runner = self._runner
        try:
            awaited = context.run(runner.send, job)
        except BaseException:
            self._runner = _new_runner()
            raise
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)
        if awaited is not _DONE:
            self._spare = None
            self._runner = _new_runner()
            self._tasks.keep(task)
            self._worker.take_over(runner, context, awaited)

    def _hire(self) -> asyncio.Task[None]:
        self._worker = Worker()
        self._spare = self._loop.create_task(self._worker, context=Context())
        return self._spare

    def close(self) -> None:
        """Let the task go that waits for a job."""
        if self._spare is not None:
            self._spare.cancel()


class Worker(Coroutine[Any, Any, None]):
    """
    What the task of a job runs: it waits to take over the job, and then is the job.

    A coroutine by its methods, because a task may be cancelled before its first step, which an
    `async def` would not notice.
    """

    __slots__ = ("_awaited", "_context", "_parked", "_runner")

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._context = Context()
        # What the job waits for, until the task has been told.
        self._awaited: Any = None
        self._parked: asyncio.Future[None] | None = None

    def take_over(self, runner: Runner, context: Context, awaited: Any) -> None:
        """Go on with a runner's job, which waits for something."""
        self._runner, self._context, self._awaited = runner, context, (awaited,)
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)

    def send(self, value: Any) -> Any:
        """Go on: as every coroutine's."""
        if self._runner is None:
            return self._park()
        if self._awaited is not None:
            return self._tell()
        return self._go_on(self._runner.send, value)

    def _park(self) -> Any:
        self._parked = asyncio.get_running_loop().create_future()
        return next(self._parked.__await__())

    def throw(self, *error: Any) -> Any:
        """Go on with an error, which is a cancellation as a rule: as every coroutine's."""
        if self._runner is None:
            if _is_cancelled():
                raise error[0]
            return self._park()
        if self._awaited is not None:
            if not _is_cancelled():
                return self._tell()
            # The task was cancelled between the job's start and now: so is what it waits for.
            cancel = getattr(self._awaited[0], "cancel", None)
            if cancel is not None and cancel():
                return self._tell()
            self._awaited = None
        return self._go_on(self._runner.throw, *error)

    def _go_on(self, step: Callable[..., Any], *value: Any) -> Any:
        awaited = self._context.run(step, *value)
        if awaited is _DONE:
            raise StopIteration
        return awaited

    def _tell(self) -> Any:
        (awaited,), self._awaited = self._awaited, None
        return awaited

    def close(self) -> None:
        """End: as every coroutine's."""
        if self._runner is not None:
            self._context.run(self._runner.close)

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("a worker belongs to one task")


def _is_cancelled() -> bool:
    """Tell whether the task is, and nobody has taken that back."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
