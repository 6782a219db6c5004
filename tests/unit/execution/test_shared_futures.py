"""Jobs and tasks that wait for the same things at once, beside plain tasks that do the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from realtime.execution.tasks import Tasks
from realtime.execution.workers import JobRunner

from ..probes import DEADLINE

NewLoop = Callable[[], asyncio.AbstractEventLoop]

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]

# More than anything here takes to come to rest.
TURNS = 25


class Actor:
    """Somebody who waits: how that ended, and the task it runs in."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.end = "waits"

    async def run(self, wait: Callable[[], Awaitable[Any]]) -> None:
        self.task = asyncio.current_task()
        try:
            self.end = f"got {await wait()}"
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise
        except Exception as error:
            self.end = f"{type(error).__name__}: {error}"


class World:
    """A loop with one of each thing to wait for, and who waits: as jobs, or as plain tasks."""

    def __init__(self, new_loop: NewLoop, *, jobs: bool = False) -> None:
        self.loop = new_loop()
        self.loop.set_exception_handler(lambda *_: None)  # nobody asks what some have ended with
        self.loop.run_until_complete(self._make(jobs))
        self.actors: list[Actor] = []

    async def _make(self, jobs: bool) -> None:
        self.future = self.loop.create_future()
        self.gate = self.loop.create_future()
        self.single_flight = self.loop.create_task(self._pass())
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.narrow: asyncio.Queue[int] = asyncio.Queue(1)
        self.narrow.put_nowait(0)
        self.event, self.condition = asyncio.Event(), asyncio.Condition()
        self.lock, self.semaphore = asyncio.Lock(), asyncio.Semaphore(0)
        self.holds_lock = await self.lock.acquire()
        self.tasks = Tasks(self.loop)
        self._workers = JobRunner(self.loop, self.tasks) if jobs else None

    async def _pass(self) -> Any:
        return await asyncio.shield(self.gate)

    def start(self, group: list[tuple[bool, str, str]]) -> None:
        """Let several begin to wait in one turn: jobs (or tasks for them), then plain tasks."""

        async def begin(group: list[tuple[bool, str, str]]) -> None:
            for is_plain, what, how in group:
                actor = Actor()
                self.actors.append(actor)
                work = actor.run(lambda what=what, how=how: self._wait(what, how))
                if self._workers is None or is_plain:
                    self.tasks.spawn(work)
                else:
                    self._workers.run(work, copy_context())

        group = sorted(group)
        jobs = [each for each in group if not each[0]]
        self.loop.run_until_complete(begin(jobs))
        if self._workers is None:
            self.turn()  # a task begins one turn later than a job
        self.loop.run_until_complete(begin(group[len(jobs) :]))
        if any(is_plain for is_plain, _, _ in group):
            self.turn(4)  # and tasks that it waits for later still

    async def _wait(self, what: str, how: str) -> Any:
        wait = WAYS[what](self)
        if how == "timeout":
            async with asyncio.timeout(DEADLINE * 20):
                return await wait
        if how == "wait_for":
            return await asyncio.wait_for(wait, DEADLINE * 20)
        if how == "over":
            async with asyncio.timeout(-1):
                return await wait
        return await wait

    def turn(self, number: int = 1) -> None:
        async def turn() -> None:
            for _ in range(number):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def happen(self, what: str, who: int) -> None:
        """Let something happen, without a turn of the loop."""

        async def happen() -> None:
            if what == "cancel":
                if who < len(self.actors) and (task := self.actors[who].task) is not None:
                    task.cancel("why")
            elif what == "set" and not self.future.done():
                self.future.set_result("it")
            elif what == "fail" and not self.future.done():
                self.future.set_exception(LookupError("none"))
            elif what == "open" and not self.gate.done():
                self.gate.set_result("all")
            elif what == "put":
                self.queue.put_nowait(who)
            elif what == "get" and not self.narrow.empty():
                self.narrow.get_nowait()
            elif what == "event":
                self.event.set()
            elif what == "release" and self.holds_lock:  # and not that of an actor
                self.holds_lock = False
                self.lock.release()
            elif what == "permit":
                self.semaphore.release()

        self.loop.run_until_complete(happen())

    def state(self) -> Any:
        """Return what is to be the same whoever runs the jobs."""
        self.turn(TURNS)
        return (
            [actor.end for actor in self.actors],
            [each.done() and each.cancelled() for each in (self.future, self.single_flight)],
            (self.queue.qsize(), self.narrow.qsize()),
            (self.lock.locked(), self.semaphore._value),
        )

    def close(self) -> None:
        async def close() -> None:
            if self._workers is not None:
                self._workers.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        self.loop.run_until_complete(close())
        if self.future.done() and not self.future.cancelled():
            self.future.exception()
        self.loop.close()


async def _locked(world: World) -> str:
    async with world.lock:
        await asyncio.sleep(0)
        return "lock"


async def _permitted(world: World) -> str:
    async with world.semaphore:
        await asyncio.sleep(0)
        return "permit"


async def _any(*waits: Awaitable[Any]) -> int:
    done, pending = await asyncio.wait(
        [asyncio.ensure_future(each) for each in waits], return_when=asyncio.FIRST_COMPLETED
    )
    for each in pending:
        if isinstance(each, asyncio.Task):
            each.cancel()
    return len(done)


async def _yield() -> str:
    await asyncio.sleep(0)
    return "turn"


# What there is to wait for; the same future or task for all, where it is one.
WAYS: dict[str, Callable[[World], Coroutine[Any, Any, Any] | asyncio.Future[Any]]] = {
    "future": lambda world: world.future,
    "single flight": lambda world: world.single_flight,
    "shield": lambda world: asyncio.shield(world.single_flight),
    "gather": lambda world: asyncio.gather(world.future, world.single_flight),
    "patient gather": lambda world: asyncio.gather(world.future, return_exceptions=True),
    "wait": lambda world: _any(world.future, world.single_flight),
    "wait for a queue": lambda world: _any(world.queue.get(), world.future),
    "queue": lambda world: world.queue.get(),
    "full queue": lambda world: world.narrow.put(1),
    "event": lambda world: world.event.wait(),
    "lock": _locked,
    "semaphore": _permitted,
    "turn": lambda world: _yield(),
}

HOWS = ("plain", "timeout", "wait_for", "over")
HAPPENINGS = ("set", "fail", "open", "put", "get", "event", "release", "permit")

actors = st.tuples(st.booleans(), st.sampled_from(sorted(WAYS)), st.sampled_from(HOWS))
happenings = st.tuples(st.one_of(st.just("cancel"), st.sampled_from(HAPPENINGS)), st.integers(0, 7))


class Beside(RuleBasedStateMachine):
    """Lets the same happen among jobs and among plain tasks."""

    new_loop: NewLoop

    def __init__(self) -> None:
        super().__init__()
        # The same kind of loop: uvloop takes another turn from one happening to the next.
        new_loop = type(self).new_loop
        self.plain, self.jobs = World(new_loop), World(new_loop, jobs=True)

    @rule(
        group=st.lists(actors, min_size=1, max_size=4),
        turns=st.integers(0, 3),
        burst=st.lists(happenings, max_size=4),
    )
    def wait(
        self, group: list[tuple[bool, str, str]], turns: int, burst: list[tuple[str, int]]
    ) -> None:
        """Some begin to wait, and soon much happens, or nothing."""
        groups = [group]
        if any(how == "over" for *_, how in group):
            # A timeout of its own cancels it soon; in which turn of the others' nobody promises.
            groups, turns = [[each] for each in group], TURNS
        for each in groups:
            for world in (self.plain, self.jobs):
                world.start(each)
            self.plain.turn(TURNS)
            self.jobs.turn(turns)
        for what, who in burst:
            for world in (self.plain, self.jobs):
                world.happen(what, who)

    @rule(burst=st.lists(happenings, min_size=1, max_size=4))
    def happen(self, burst: list[tuple[str, int]]) -> None:
        for what, who in burst:
            for world in (self.plain, self.jobs):
                world.happen(what, who)

    @invariant()
    def are_alike(self) -> None:
        jobs, plain = self.jobs.state(), self.plain.state()
        assert jobs == plain, f"{jobs}, and plain tasks {plain}"

    def teardown(self) -> None:
        for world in (self.plain, self.jobs):
            world.close()


@pytest.mark.slow
@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_jobs_wait_as_tasks_do(new_loop: NewLoop) -> None:
    machine = type("Machine", (Beside,), {"new_loop": staticmethod(new_loop)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=6,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("turns", [0, 1], ids=["new task", "task that waits"])
@pytest.mark.parametrize("what", ["future", "single flight", "shield", "gather", "wait", "event"])
def test_a_plain_task_comes_between(new_loop: NewLoop, what: str, turns: int) -> None:
    """It waits for the same, in the turn in which jobs have begun to."""
    world = World(new_loop, jobs=True)
    first, *others = [Actor() for _ in range(4)]

    async def begin() -> None:
        async def quick() -> None: ...

        assert world._workers is not None
        world._workers.run(quick(), copy_context())
        for _ in range(turns):
            await asyncio.sleep(0)
        waits = [actor.run(lambda: WAYS[what](world)) for actor in (first, *others)]
        task = world.tasks.spawn(waits.pop())
        for wait in waits:
            world._workers.run(wait, copy_context())
        await asyncio.wait({task, asyncio.ensure_future(asyncio.sleep(0))}, timeout=0)

    world.loop.run_until_complete(begin())
    for happening in ("set", "open", "event"):
        world.happen(happening, 0)
    world.turn(TURNS)
    assert {actor.end[:3] for actor in (first, *others)} == {"got"}
    world.close()
