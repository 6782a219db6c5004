"""The threads of plain functions: daemons, of which there are no more than are needed."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from contextvars import copy_context

import pytest
from asgiref.sync import SyncToAsync, sync_to_async

from realtime.execution.calls import give_thread, release_thread, uses_thread
from realtime.execution.executors import DaemonExecutor

DEADLINE = 10.0


def test_calls_are_made_in_one_daemon_thread_in_order() -> None:
    executor = DaemonExecutor()
    before = threading.active_count()
    calls: list[int] = []
    futures = [executor.submit(calls.append, number) for number in range(20)]
    assert threading.active_count() == before + 1
    thread = executor.submit(threading.current_thread).result(DEADLINE)
    assert thread.daemon
    assert [future.result(DEADLINE) for future in futures] == [None] * 20
    assert calls == list(range(20))
    executor.shutdown()
    assert not thread.is_alive()


@pytest.mark.parametrize("error", [ValueError(), SystemExit(1), KeyboardInterrupt()])
def test_what_a_function_raises(error: BaseException) -> None:
    def fail() -> None:
        raise error

    executor = DaemonExecutor()
    assert executor.submit(fail).exception(DEADLINE) is error
    assert executor.submit(len, "goes on").result(DEADLINE) == 7
    executor.shutdown()


def test_what_is_cancelled_is_not_called() -> None:
    executor, gate = DaemonExecutor(), threading.Event()
    calls: list[str] = []
    executor.submit(gate.wait, DEADLINE)
    cancelled, last = executor.submit(calls.append, "never"), executor.submit(calls.append, "last")
    assert cancelled.cancel()
    gate.set()
    last.result(DEADLINE)
    assert calls == ["last"]
    executor.shutdown()


def test_a_thread_ends_with_an_executor_that_nobody_has_any_more() -> None:
    executor = DaemonExecutor()
    thread = executor.submit(threading.current_thread).result(DEADLINE)
    del executor
    gc.collect()
    thread.join(DEADLINE)
    assert not thread.is_alive()


async def test_what_runs_in_a_context_has_a_thread_of_its_own() -> None:
    context = copy_context()
    threads = give_thread(context)
    assert not uses_thread(threads)
    look = sync_to_async(threading.current_thread)
    loop = asyncio.get_running_loop()
    first, second = [await loop.create_task(look(), context=context) for _ in range(2)]
    assert first is second
    assert first.daemon
    assert uses_thread(threads)
    await release_thread(threads)
    assert not uses_thread(threads)
    assert threads not in SyncToAsync.context_to_thread_executor
    first.join(DEADLINE)
    assert not first.is_alive()
    await release_thread(threads)


async def test_nobody_who_is_cancelled_waits_for_a_thread() -> None:
    context, gate, began = copy_context(), threading.Event(), threading.Event()
    threads = give_thread(context)

    def block() -> None:
        began.set()
        gate.wait(DEADLINE)

    async def work() -> None:
        try:
            await sync_to_async(block)()
        finally:
            await release_thread(threads)

    task = asyncio.get_running_loop().create_task(work(), context=context)
    assert await asyncio.to_thread(began.wait, DEADLINE)
    task.cancel()
    try:
        async with asyncio.timeout(DEADLINE / 2):
            with pytest.raises(asyncio.CancelledError):
                await task
    finally:
        gate.set()


BUSY = """
import asyncio, contextvars, time
from asgiref.sync import sync_to_async
import django.conf
django.conf.settings.configure()
from realtime.execution.calls import give_thread

async def main():
    context = contextvars.copy_context()
    threads = give_thread(context)
    asyncio.get_running_loop().create_task(sync_to_async(time.sleep)(60), context=context)
    await asyncio.sleep(0.1)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
print("end")
"""


def test_a_process_that_ends_does_not_wait_for_them() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "end\n"
    assert time.monotonic() - began < 40
