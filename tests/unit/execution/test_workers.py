"""Jobs that begin at once, and go on in the task that was current from their start."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from realtime.execution.tasks import Tasks
from realtime.execution.workers import JobRunner

from ..probes import DEADLINE

name: ContextVar[str] = ContextVar("name")


class Crew:
    """A JobRunner on the test's loop, and notes of what its jobs did."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.tasks = Tasks(loop)
        self.workers = JobRunner(loop, self.tasks)
        self.notes: list[Any] = []

    def run(self, job: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        self.workers.run(job, context or copy_context())

    async def done(self) -> list[Any]:
        """Wait for every job, and return the notes."""
        async with asyncio.timeout(DEADLINE):
            while self.tasks.others():
                await asyncio.wait(self.tasks.others())
        return self.notes


@pytest.fixture
async def crew() -> Crew:
    return Crew()


async def test_a_job_that_never_waits_is_done_at_once(crew: Crew) -> None:
    async def job() -> None:
        crew.notes.append("done")

    crew.run(job())
    assert crew.notes == ["done"]
    assert len(crew.tasks) == 0


async def test_a_job_goes_on_in_the_task_it_began_in(crew: Crew) -> None:
    async def job() -> None:
        tasks = [asyncio.current_task()]
        for _ in range(2):
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())
        crew.notes.append(tasks)

    caller = asyncio.current_task()
    crew.run(job())
    assert asyncio.current_task() is caller
    assert len(crew.tasks) == 1
    [(first, *others)] = await crew.done()
    assert first is not caller
    assert others == [first, first]


async def test_a_job_runs_from_a_callback_too(crew: Crew) -> None:
    async def job() -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.sleep(0)
        crew.notes.append("done")

    asyncio.get_running_loop().call_soon(crew.run, job(), copy_context())
    await asyncio.sleep(0)
    assert await crew.done() == ["done"]


async def test_many_jobs_wait_at_once_and_each_in_its_context(crew: Crew) -> None:
    async def job(number: int) -> None:
        name.set(f"job {number}")
        await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        crew.notes.append((number, name.get()))

    for number in range(20):
        crew.run(job(number))
    assert await crew.done() == [(number, f"job {number}") for number in range(20)]
    assert name.get(None) is None


@pytest.mark.parametrize("turns", [0, 1], ids=["new task", "task that waits"])
async def test_a_timeout_that_is_over_before_the_first_wait(crew: Crew, turns: int) -> None:
    async def quick() -> None: ...

    async def job() -> None:
        never = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(-1):
                await never
        except TimeoutError:
            crew.notes.append(never.cancelled())
        await asyncio.sleep(0)
        crew.notes.append("went on")

    crew.run(quick())
    for _ in range(turns):
        await asyncio.sleep(0)
    crew.run(job())
    assert await crew.done() == [True, "went on"]


@pytest.mark.parametrize("turns", [0, 1], ids=["new task", "task that waits"])
async def test_a_job_that_cancels_itself_is_cancelled_where_it_waits(
    crew: Crew, turns: int
) -> None:
    async def job(wait: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await wait()
        except asyncio.CancelledError:
            crew.notes.append(task.cancelling())
            task.uncancel()
        await asyncio.sleep(0)
        crew.notes.append("went on")

    async def done_already() -> None:
        future = asyncio.get_running_loop().create_future()
        await asyncio.gather(future, asyncio.sleep(0))

    for wait in (lambda: asyncio.sleep(0), lambda: asyncio.sleep(DEADLINE), done_already):
        crew.run(job(wait))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await crew.done() == [1, "went on"]
        crew.notes.clear()


async def test_a_job_that_cancels_itself_and_ends_spoils_no_other(crew: Crew) -> None:
    async def spoil() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def job() -> None:
        await asyncio.sleep(0)
        crew.notes.append("done")

    for _ in range(3):
        crew.run(spoil())
        crew.run(job())
    assert await crew.done() == ["done"] * 3


async def test_a_cancelled_job_ends_cancelled(crew: Crew) -> None:
    async def job() -> None:
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            crew.notes.append("ended")

    crew.run(job())
    [task] = crew.tasks.others()
    task.cancel()
    assert await crew.done() == ["ended"]
    assert task.cancelled()


async def test_what_a_job_raises_before_it_waits_is_raised(crew: Crew) -> None:
    async def job() -> None:
        raise LookupError("none")

    async def next_job() -> None:
        crew.notes.append("done")

    with pytest.raises(LookupError):
        crew.run(job())
    assert len(crew.tasks) == 0
    crew.run(next_job())
    assert crew.notes == ["done"]


async def test_what_a_job_raises_later_is_logged(crew: Crew, records: list[Any]) -> None:
    async def job() -> None:
        await asyncio.sleep(0)
        raise LookupError("none")

    crew.run(job())
    await crew.done()
    await asyncio.sleep(0)
    assert [record.args[0] for record in records] == ["task-failed"]


async def test_the_task_that_waits_ends_with_the_hub(crew: Crew) -> None:
    async def quick() -> None: ...

    before = asyncio.all_tasks()
    crew.run(quick())
    waiting = asyncio.all_tasks() - before
    await asyncio.sleep(0)
    crew.workers.close()
    for task in waiting:
        await asyncio.wait({task}, timeout=DEADLINE)
        assert task.cancelled()


@pytest.mark.parametrize("waits", ["neither", "inner", "outer", "both"])
async def test_a_job_may_run_another_one(crew: Crew, waits: str) -> None:
    async def inner() -> None:
        task = asyncio.current_task()
        if waits in ("inner", "both"):
            await asyncio.sleep(0)
        crew.notes.append(("inner", asyncio.current_task() is task, task))

    async def outer() -> None:
        task = asyncio.current_task()
        crew.run(inner())
        assert asyncio.current_task() is task
        if waits in ("outer", "both"):
            await asyncio.sleep(0)
        crew.notes.append(("outer", asyncio.current_task() is task, task))

    for _ in range(3):
        crew.run(outer())
        notes = await crew.done()
        assert sorted(note[:2] for note in notes) == [("inner", True), ("outer", True)]
        assert notes[0][2] is not notes[1][2]
        notes.clear()


async def test_a_job_that_runs_another_one_which_fails(crew: Crew) -> None:
    async def inner() -> None:
        raise LookupError("none")

    async def outer() -> None:
        with pytest.raises(LookupError):
            crew.run(inner())
        await asyncio.sleep(0)
        crew.notes.append("went on")

    crew.run(outer())
    assert await crew.done() == ["went on"]


async def test_what_is_no_future_is_said_to_the_job(crew: Crew) -> None:
    """As by a task: what a coroutine of another library yields, say."""

    @types.coroutine
    def bare(value: Any) -> Generator[Any, Any, None]:
        yield value

    async def job(value: Any) -> None:
        try:
            await bare(value)
        except RuntimeError as error:
            crew.notes.append(str(error))

    future = asyncio.get_running_loop().create_future()
    crew.run(job(5))
    crew.run(job(future))
    one, other = await crew.done()
    assert "bad yield: 5" in one
    assert "yield was used instead of yield from" in other
    assert not future.done()


async def test_a_cancellation_carries_its_message(crew: Crew) -> None:
    async def job() -> None:
        try:
            await asyncio.sleep(DEADLINE)
        except asyncio.CancelledError as error:
            crew.notes.append(error.args)
            raise

    for turns in range(3):
        crew.run(job())
        for _ in range(turns):
            await asyncio.sleep(0)
        [task] = crew.tasks.others()
        task.cancel("why")
        assert await crew.done() == [("why",)]
        crew.notes.clear()


@pytest.mark.parametrize("turns", [0, 1], ids=["new task", "task that waits"])
async def test_a_task_that_somebody_keeps_runs_no_other_job(crew: Crew, turns: int) -> None:
    """As one keeps it who cancels it later."""
    kept: list[Any] = []

    async def quick() -> None: ...

    async def keep() -> None:
        kept.append(asyncio.current_task())

    async def job() -> None:
        await asyncio.sleep(0)
        crew.notes.append("done")

    crew.run(quick())
    for _ in range(turns):
        await asyncio.sleep(0)
    crew.run(keep())
    crew.run(job())
    kept[0].cancel()
    assert await crew.done() == ["done"]


async def test_no_task_is_left_of_jobs_that_never_wait(crew: Crew) -> None:
    async def quick() -> None: ...

    before = asyncio.all_tasks()
    for _ in range(10):
        crew.run(quick())
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) <= 1
