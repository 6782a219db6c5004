"""Questions to the database that are waited for only so long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from realtime.presence import bounded
from realtime.presence.bounded import BoundedCalls, NoAnswer

from ..probes import DEADLINE

SOON = 0.05


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What calls wait for; it opens at the test's end."""
    gate = threading.Event()
    yield gate
    gate.set()


def threads() -> int:
    """Return how many threads there are for such calls."""
    return sum(thread.name == "realtime-count" for thread in threading.enumerate())


def test_what_a_function_returns_or_raises() -> None:
    calls = BoundedCalls()
    assert calls.call(lambda: 7) == 7
    for error in (ValueError("no"), SystemExit(), TimeoutError("its own")):
        with pytest.raises(type(error)):
            calls.call(lambda error=error: _raise(error))  # type: ignore[misc]
    assert calls.call(lambda: 7) == 7, "errors are answers"


def _raise(error: BaseException) -> None:
    raise error


def test_it_runs_in_the_context_of_the_caller() -> None:
    tenant = ContextVar("tenant", default="none")
    tenant.set("one")
    assert BoundedCalls().call(tenant.get) == "one"


def test_a_thread_serves_many_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LINGER", SOON)
    calls = BoundedCalls()
    used = {calls.call(threading.current_thread) for _ in range(20)}
    assert len(used) <= 2
    deadline = time.monotonic() + DEADLINE
    while any(thread.is_alive() for thread in used):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert calls.call(lambda: 7) == 7


def test_one_that_takes_too_long_is_left_alone(gate: threading.Event) -> None:
    clock, before = Clock(), threads()
    calls = BoundedCalls(timeout=SOON, retry=3, clock=clock)
    with pytest.raises(NoAnswer):
        calls.call(gate.wait)
    for _ in range(100):
        with pytest.raises(NoAnswer):
            calls.call(lambda: 7)
    assert threads() <= before + 1, "nobody asks for a while"
    clock.now += 3
    with pytest.raises(NoAnswer):
        calls.call(gate.wait)
    with pytest.raises(NoAnswer):
        calls.call(lambda: 7)
    clock.now += 3
    assert calls.call(lambda: 7) == 7
    assert calls.call(lambda: 8) == 8, "it is over"


def test_not_too_many_at_a_time(gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST", 3)
    calls = BoundedCalls(timeout=DEADLINE)
    begun = threading.Semaphore(0)

    def wait() -> bool:
        begun.release()
        return gate.wait(DEADLINE)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(calls.call, wait) for _ in range(3)]
        for _ in range(3):
            assert begun.acquire(timeout=DEADLINE)
        with pytest.raises(NoAnswer):
            calls.call(lambda: 7)
        gate.set()
        assert all(each.result() for each in waiting)
    assert calls.call(lambda: 7) == 7
