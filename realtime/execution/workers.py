"""
Jobs that begin at once, and go on in a task only where they come to wait.

Most handlers never wait, and then cost no turn of the event loop.

Python 3.12 and newer begin a task at once (`eager_start`): `EagerRunner`. Before that there is
`SpareTaskRunner`. There the first part of a job runs inside `run`. `asyncio.current_task()` is a
task all the same: a spare one, which has nothing to do yet. Where the job comes to wait, that task
goes on with it. What it runs is a `JobCoroutine`::

    parked ────────────> told ─────────────> going on ──────────> done
       │    take_over():       send(): the             the job's
       │    the job that       task takes what         own end
       │    waits              the job waits for
       └──> done: it was cancelled, and is no spare task any more

What asyncio wants of whoever runs a coroutine:

- `Future.__await__` sets ``_asyncio_future_blocking``, and yields the future. A task that gets it
  clears that and waits for the future. While it is set nobody else can await the future ("await
  wasn't used with future"). A spare task gets it one turn of the loop later. So `take_over`
  clears it at once, and `_tell` sets it again just before the task gets the future.
- `_enter_task` says that a task is current, until `_leave_task`. There is one at most: the
  caller's is left while the job's first part runs, and entered again after it.
- `Task.cancel` cancels what the task waits for, at once. A task that was told nothing yet gets an
  error thrown in with its next step instead. So a `SpareTask` passes the cancellation on to what
  its job waits for, and the `JobCoroutine` takes note of that.

A job may run another one in its midst, in another context.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import _enter_task, _leave_task, current_task  # all of them documented
from collections.abc import Coroutine, Generator
from contextvars import Context
from sys import getrefcount
from typing import Any

from .tasks import Tasks

Job = Coroutine[Any, Any, None]

# What a coroutine that has ended raises, beside its errors.
_ENDS = (StopIteration, asyncio.CancelledError)

# How many refer to a spare task while it comes to rest: the loop, `run` and the counting.
_REFERENCES = 3


class EagerRunner:
    """Runs jobs on one event loop. Those that come to wait are kept among `tasks`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: Tasks) -> None:
        self._loop = loop
        self._tasks = tasks

    def run(self, job: Job, context: Context) -> None:
        """
        Run a job inside its context until it is done or waits for something, in a task of its own.

        Raises what the job raises before it waits, other than a cancellation.
        """
        task = asyncio.Task(  # type: ignore[call-arg]  # Python 3.11 has no eager start
            job, loop=self._loop, context=context, eager_start=True
        )
        if not task.done():
            self._tasks.keep(task)
        elif not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def close(self) -> None:
        """Do nothing: no task waits for a job."""


class SpareTaskRunner:
    """Runs jobs on one event loop, as `EagerRunner` does, where tasks cannot be begun at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: Tasks) -> None:
        self._loop = loop
        self._tasks = tasks
        # Those that are parked: one, and more only where a job has run another one.
        self._spare: list[SpareTask] = []

    def run(self, job: Job, context: Context) -> None:
        """
        Run a job inside its context until it is done or waits for something.

        It goes on in the task that `asyncio.current_task` names in it from its start, so that
        `asyncio.timeout` and the like hold. Raises what the job raises before it waits, other than
        a cancellation.
        """
        loop = self._loop
        task = self._spare.pop() if self._spare else SpareTask(loop)
        if task.cancelling():
            task = SpareTask(loop)
        caller = current_task(loop)
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        is_done = True
        try:
            awaited = context.run(job.send, None)
            is_done = False
        except _ENDS:
            pass
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)
            if is_done:
                # For the next job, unless somebody has kept it, and could cancel that.
                if getrefcount(task) > _REFERENCES:
                    task.cancel()
                else:
                    self._spare.append(task)
        if not is_done:
            self._tasks.keep(task)
            task.coroutine.take_over(job, context, awaited)

    def close(self) -> None:
        """Let the tasks go that wait for a job."""
        for task in self._spare:
            task.cancel()


class SpareTask(asyncio.Task[None]):
    """A task that has nothing to do until its `JobCoroutine` takes over a job."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.coroutine = JobCoroutine()
        super().__init__(self.coroutine, loop=loop, context=Context())

    def cancel(self, msg: Any = None) -> bool:
        """Request the task to cancel itself: as every task's."""
        self.coroutine.cancel(msg)
        return super().cancel(msg)


class JobCoroutine(Coroutine[Any, Any, None]):
    """
    What the task of a job runs: it waits to take over the job, and then is the job.

    A coroutine by its methods, because a task may be cancelled before its first step, which an
    `async def` would not notice.
    """

    __slots__ = ("_awaited", "_cancelled", "_context", "_is_future", "_job", "_parked", "_told")

    def __init__(self) -> None:
        self._job: Job | None = None
        self._context = Context()
        self._parked: asyncio.Future[None] | None = None
        # What the job waits for, until the task is told; None is the next turn of the loop.
        self._awaited: Any = None
        # Whether that is a future, by `await`.
        self._is_future = False
        # Whether that was cancelled for the task's sake.
        self._cancelled = False
        self._told = False

    def take_over(self, job: Job, context: Context, awaited: Any) -> None:
        """Make the task of this coroutine go on with a job, which waits for `awaited`."""
        self._job, self._context, self._awaited = job, context, awaited
        if getattr(awaited, "_asyncio_future_blocking", None):
            self._is_future = True
            awaited._asyncio_future_blocking = False
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)

    def cancel(self, message: Any) -> None:
        """Cancel what the job waits for, if the task does not know of it yet."""
        if self._is_future and not self._told and not self._cancelled:
            self._cancelled = self._awaited.cancel(message)

    def send(self, value: Any) -> Any:
        """Go on, as every coroutine's `send` does: with the job, once there is one."""
        if self._job is None:
            return self._park()
        if not self._told:
            self._told = True
            # A new task's first step may come before that of a job that waits for the next turn.
            if self._awaited is not None or self._parked is None:
                return self._tell()
        return self._context.run(self._job.send, value)

    def throw(self, *error: Any) -> Any:
        """
        Go on with an error, as every coroutine's `throw` does; it is a cancellation as a rule.
        """
        if self._job is None:
            if _is_cancelled():
                raise error[0]
            return self._park()
        if not self._told:
            self._told = True
            if not _is_cancelled() or self._cancelled:
                return self._tell()
            # The job has cancelled itself before it came to wait.
            if self._is_future and self._awaited.cancel(*error[0].args):
                return self._tell()
            self._awaited = None
        return self._context.run(self._job.throw, *error)

    def _park(self) -> Any:
        self._parked = asyncio.get_running_loop().create_future()
        return next(self._parked.__await__())

    def _tell(self) -> Any:
        """Return what the job waits for, as the job itself would have to the task."""
        awaited, self._awaited = self._awaited, None
        if self._is_future:
            awaited._asyncio_future_blocking = True
        return awaited

    def close(self) -> None:
        """End the job, as every coroutine's `close` does."""
        if self._job is not None:
            self._context.run(self._job.close)

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("a JobCoroutine belongs to one task")


def _is_cancelled() -> bool:
    """Tell whether the task is, and nobody has taken that back."""
    task = current_task()
    return task is not None and task.cancelling() > 0


JobRunner = EagerRunner if sys.version_info >= (3, 12) else SpareTaskRunner
