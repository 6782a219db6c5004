"""Threads that call what blocks: how many there are, what they answer, and how they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from realtime.execution.threads import Threads

from ..probes import DEADLINE

Make = Callable[..., Threads]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """A function with the options of `Threads`, whose threads end with the test."""
    made: list[Threads] = []

    def make(**options: Any) -> Threads:
        made.append(Threads("tested", **options))
        return made[-1]

    yield make
    for each in made:
        await each.close(DEADLINE)
        assert not each, "all have ended"


@pytest.fixture
async def gate(make: Make) -> AsyncIterator[threading.Event]:
    """What tests let threads wait for; it opens before they have to end."""
    gate = threading.Event()
    yield gate
    gate.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


async def test_calls_are_answered_in_order_by_one_thread(make: Make) -> None:
    done: list[int] = []
    one = make()
    assert not one, "none is started before there is work"
    await asyncio.gather(*(one.run(done.append, n) for n in range(100)))
    assert done == list(range(100))
    assert len(one) == 1


async def test_what_a_call_raises(make: Make) -> None:
    def fail(error: BaseException) -> None:
        raise error

    one = make()
    for error in (ValueError("no"), SystemExit(), asyncio.CancelledError("no")):
        with pytest.raises(type(error)):
            await one.run(fail, error)
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await one.run(fail, StopIteration())
    assert await one.run(int, "7") == 7


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_no_more_threads_while_nobody_waits_long(make: Make) -> None:
    some = make(size=3, most=9, grow_after=DEADLINE)
    used = await asyncio.gather(*(some.run(threading.get_ident) for _ in range(200)))
    assert len(set(used)) <= 3
    assert len(some) == 3


async def test_calls_that_wait_too_long_get_more_threads(make: Make, gate: threading.Event) -> None:
    some = make(size=2, most=5, grow_after=0.001)
    hung = [asyncio.create_task(some.run(gate.wait)) for _ in range(4)]
    assert await asyncio.wait_for(some.run(int, "7"), DEADLINE) == 7, "the fifth thread"
    await asyncio.sleep(0)
    hung.append(asyncio.create_task(some.run(gate.wait)))
    late = asyncio.create_task(some.run(int, "8"))
    await until(lambda: some._queue.qsize() == 1)
    assert len(some) == 5, "and no more"
    gate.set()
    assert await asyncio.wait_for(late, DEADLINE) == 8
    assert all(await asyncio.gather(*hung))


async def test_it_is_the_oldest_call_that_counts(make: Make, gate: threading.Event) -> None:
    clock = Clock()
    some = make(size=1, most=3, grow_after=0.001, clock=clock)
    work = [asyncio.create_task(some.run(gate.wait)) for _ in range(3)]
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert len(some) == 1, "none has waited for a moment, by this clock"
    clock.now += 1
    await until(lambda: len(some) == 3)
    gate.set()
    await asyncio.gather(*work)


async def test_a_stuck_thread_is_given_up_for_another_one(
    make: Make, gate: threading.Event
) -> None:
    clock = Clock()
    some = make(size=2, most=2, grow_after=0.001, give_up_after=10.0, clock=clock)
    hung = [asyncio.create_task(some.run(gate.wait)) for _ in range(2)]
    waits = asyncio.create_task(some.run(int, "7"))
    await until(lambda: some._queue.qsize() == 1)
    clock.now += 9
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert not waits.done(), "they are given the time"
    clock.now += 2
    assert await asyncio.wait_for(waits, DEADLINE) == 7
    assert len(some) == 2
    hung += [asyncio.create_task(some.run(gate.wait)) for _ in range(2)]
    await until(lambda: some._queue.qsize() == 1)
    clock.now += 9
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert some._queue.qsize() == 1, "one in so many seconds"
    clock.now += 2
    await until(lambda: some._queue.qsize() == 0)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("tested") == 4
    gate.set()
    assert all(await asyncio.gather(*hung)), "they are answered all the same"
    await until(lambda: [t.name for t in threading.enumerate()].count("tested") == 2)


async def test_those_who_are_abandoned_end_after_their_call(
    make: Make, gate: threading.Event
) -> None:
    some = make(size=2, most=2)
    await asyncio.gather(some.run(int, "1"), some.run(int, "2"))
    stuck = asyncio.create_task(some.run(gate.wait))
    await asyncio.sleep(0)
    await until(lambda: some._queue.qsize() == 0)
    some.abandon()
    assert not some
    await until(lambda: [t.name for t in threading.enumerate()].count("tested") <= 1)
    gate.set()
    assert await stuck
    await until(lambda: "tested" not in {thread.name for thread in threading.enumerate()})


async def test_who_is_abandoned_at_the_start_of_a_call_gets_no_successor(
    make: Make, gate: threading.Event
) -> None:
    """A thread has taken a call, and has not noted that yet."""
    main, begins = threading.current_thread(), threading.Event()

    def clock() -> float:
        if threading.current_thread() is not main and begins.is_set():
            gate.wait()
        return 0.0

    some = make(size=2, most=2, clock=clock)
    await asyncio.gather(some.run(int, "1"), some.run(int, "2"))
    begins.set()
    late = asyncio.create_task(some.run(int, "3"))
    await asyncio.sleep(0)
    await until(lambda: some._queue.qsize() == 0)
    some.abandon()
    await until(lambda: [t.name for t in threading.enumerate()].count("tested") <= 1)
    gate.set()
    assert await late == 3
    await until(lambda: "tested" not in {thread.name for thread in threading.enumerate()})
    assert not some


async def test_those_that_are_too_many_end_and_the_others_rest(
    make: Make, gate: threading.Event
) -> None:
    rested: list[int] = []
    some = make(
        size=2,
        most=5,
        linger=0.02,
        rest=lambda: rested.append(threading.get_ident()),
        grow_after=0.001,
    )
    hung = [asyncio.create_task(some.run(gate.wait)) for _ in range(5)]
    await until(lambda: len(some) == 5)
    gate.set()
    await asyncio.gather(*hung)
    await until(lambda: len(some) == 2 and len(rested) == 5)
    rested.clear()
    assert await some.run(threading.get_ident) in {worker.ident for worker in some._workers}
    await until(lambda: bool(rested))


async def test_a_thread_that_fails_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)

    def rest() -> None:
        raise OSError("while it rested")

    some = make(linger=0.001, rest=rest)
    first = await some.run(threading.current_thread)
    await until(lambda: failures and not some)
    assert [failure.exc_type for failure in failures] == [OSError]
    assert await some.run(threading.current_thread) is not first


async def test_who_has_left_is_not_worked_for(make: Make, gate: threading.Event) -> None:
    done: list[str] = []
    one = make()
    first = asyncio.create_task(one.run(gate.wait))
    left, stays = (asyncio.create_task(one.run(done.append, who)) for who in ("left", "stays"))
    await until(lambda: one._queue.qsize() == 2)
    left.cancel()
    gate.set()
    await asyncio.gather(first, stays)
    assert done == ["stays"]
    assert left.cancelled()


async def test_close_waits_for_work_but_not_for_ever(make: Make, gate: threading.Event) -> None:
    one = make()
    work = asyncio.create_task(one.run(gate.wait))
    await until(lambda: len(one) == 1)
    await one.close(0.01)
    assert len(one) == 1, "it is still at work"
    gate.set()
    await one.close(DEADLINE)
    assert not one
    assert await work
    assert await one.run(int, "7") == 7, "who comes late is served"


def test_threads_end_with_the_loop() -> None:
    async def main() -> threading.Thread:
        return await Threads("tested", size=2).run(threading.current_thread)

    thread = asyncio.run(main())
    assert not thread.is_alive()
