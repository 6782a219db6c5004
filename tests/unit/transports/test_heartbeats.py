"""The heartbeats and deadlines of sessions, which share one timer. The tests turn the clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from realtime.conf import get_settings
from realtime.hub.hub import Hub
from realtime.transports.heartbeats import SLOTS, TimerWheel

from ..conftest import Serve
from ..probes import Timer, Wire

PING = "2"


class Clock:
    """A loop's clock and timers, as far as the wheel needs them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.errors: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def waiting(self) -> list[Timer]:
        """Return the timers that are set."""
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return self.timers

    def go(self, until: float) -> None:
        """Let time pass, and call what is due meanwhile."""
        while due := [timer for timer in self.waiting() if timer.at <= until]:
            timer = min(due, key=lambda timer: timer.at)
            timer.cancelled = True
            self.now = max(self.now, timer.at)
            timer.call()
        self.now = until


class Noter:
    """Notes when it is called, and may fail."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[float] = []
        self.fails = False

    def on_timer(self, slot: int) -> None:
        self.calls.append(self.clock.now)
        if self.fails:
            raise ValueError("no")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test turns it."""
    return Clock()


@pytest.fixture
def wheel(clock: Clock) -> TimerWheel:
    """A wheel by that clock, of a hundred slots a second."""
    return _wheel(clock, PING_INTERVAL=3, PING_TIMEOUT=1, CONNECT_TIMEOUT=2)


def _wheel(clock: Clock, **times: float) -> TimerWheel:
    with override_settings(REALTIME=times):
        return TimerWheel(clock, get_settings())  # type: ignore[arg-type]


# The wheel


def test_nobody_is_looked_at_early_nor_more_than_a_tick_late(
    clock: Clock, wheel: TimerWheel
) -> None:
    assert wheel.tick == 1 / SLOTS
    chance = random.Random(1)
    expected: list[tuple[Noter, float]] = []
    for _ in range(500):
        seconds = chance.uniform(0.001, 5)
        noter = Noter(clock)
        wheel.add(noter, wheel.after(seconds))
        expected.append((noter, clock.now + seconds))
        clock.go(clock.now + chance.uniform(0, 0.02))
        assert len(clock.waiting()) <= 1, "all share one timer"
    clock.go(clock.now + 6)
    for noter, due in expected:
        (looked,) = noter.calls
        assert due - 1e-9 <= looked <= due + wheel.tick + 1e-9
    assert not clock.waiting()


def test_who_comes_one_after_the_other_is_looked_at_so(clock: Clock, wheel: TimerWheel) -> None:
    noters = []
    for _ in range(50):
        noters.append(Noter(clock))
        wheel.add(noters[-1], wheel.after(1))
        clock.go(clock.now + 0.02)
    clock.go(clock.now + 2)
    assert len({noter.calls[0] for noter in noters}) == 50


def test_an_earlier_one_moves_the_timer(clock: Clock, wheel: TimerWheel) -> None:
    late, early = Noter(clock), Noter(clock)
    wheel.add(late, wheel.after(3))
    wheel.add(early, wheel.after(1))
    clock.go(clock.now + 1.5)
    assert (len(early.calls), len(late.calls)) == (1, 0)
    clock.go(clock.now + 2)
    assert len(late.calls) == 1


def test_a_clock_that_stood_still(clock: Clock, wheel: TimerWheel) -> None:
    noters = [Noter(clock) for _ in range(3)]
    for seconds, noter in enumerate(noters, 1):
        wheel.add(noter, wheel.after(seconds))
    (timer,) = clock.waiting()
    clock.now += 10  # as where something has blocked the loop
    timer.cancel()
    timer.call()
    assert [len(noter.calls) for noter in noters] == [1, 1, 1]


def test_removed_ones(clock: Clock, wheel: TimerWheel) -> None:
    gone, stays = Noter(clock), Noter(clock)
    slot = wheel.after(1)
    for noter in (gone, stays):
        wheel.add(noter, slot)
    wheel.remove(gone, slot)
    wheel.remove(gone, slot + 1)
    clock.go(clock.now + 2)
    assert (gone.calls, len(stays.calls)) == ([], 1)
    wheel.remove(stays, slot)


def test_one_that_fails_harms_no_other(clock: Clock, wheel: TimerWheel) -> None:
    noters = [Noter(clock) for _ in range(4)]
    noters[1].fails = True
    for noter in noters:
        wheel.add(noter, wheel.after(1))
    wheel.add(noters[0], wheel.after(2))
    clock.go(clock.now + 3)
    assert [len(noter.calls) for noter in noters] == [2, 1, 1, 1]
    assert [type(error["exception"]) for error in clock.errors] == [ValueError]


def test_closed(clock: Clock, wheel: TimerWheel) -> None:
    noter = Noter(clock)
    wheel.add(noter, wheel.after(1))
    wheel.close()
    assert not clock.waiting()
    clock.go(clock.now + 2)
    assert not noter.calls


# Sessions


@pytest.fixture
def turned(clock: Clock, hub: Hub) -> Clock:
    """That clock, by which the hub's sessions go."""
    hub.timers = TimerWheel(clock, hub.settings)  # type: ignore[arg-type]
    return clock


async def frames(wire: Wire) -> list[str | bytes | None]:
    """Return what the server has sent since."""
    await asyncio.sleep(0)
    return [await wire.next() for _ in range(wire.pending())]


async def fed(wire: Wire, *sent: str) -> None:
    """Let the server read frames, and wait until it has."""
    wire.feed(*sent)
    while wire.unread():
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_client_that_does_not_answer(turned: Clock, new_wire: Any) -> None:
    wire, start = new_wire(), turned.now
    await wire.connect()
    turned.go(start + 24.9)
    assert await frames(wire) == []
    turned.go(start + 25.2)
    assert await frames(wire) == [PING]
    turned.go(start + 44.9)
    assert not wire.session.closed.happened
    turned.go(start + 45.4)
    assert await frames(wire) == [None]
    turned.go(start + 200)
    assert await frames(wire) == []


async def test_a_client_that_answers(turned: Clock, new_wire: Any) -> None:
    wire = new_wire()
    await wire.connect()
    for _ in range(5):
        turned.go(turned.now + 25.2)
        assert await frames(wire) == [PING]
        turned.go(turned.now + 19)
        await fed(wire, "3")
        answered = turned.now
        turned.go(answered + 24.9)
        assert await frames(wire) == [], "25 seconds from the answer on"
        turned.now = answered
    assert not wire.session.closed.happened


async def test_pings_that_are_more_frequent_than_patience_is_long(
    turned: Clock, serve: Serve, hub: Hub, new_wire: Any
) -> None:
    hub.settings.PING_INTERVAL = 2
    wire = new_wire()
    await wire.connect()
    for _ in range(5):
        turned.go(turned.now + 2.2)
        assert await frames(wire) == [PING]
        await fed(wire, "3")
    turned.go(turned.now + 2.2)
    assert await frames(wire) == [PING]
    turned.go(turned.now + 19.8)
    assert await frames(wire) == []
    turned.go(turned.now + 0.5)
    assert await frames(wire) == [None]


async def test_whoever_sends_anything_has_as_long_again(turned: Clock, new_wire: Any) -> None:
    wire = new_wire()
    await wire.connect()
    turned.go(turned.now + 25.2)
    await fed(wire, '42["late"]')
    turned.go(turned.now + 20.2)
    assert await frames(wire) == [PING]
    turned.go(turned.now + 19.5)
    assert await frames(wire) == []
    turned.go(turned.now + 1)
    assert await frames(wire) == [None]


async def test_a_client_that_never_enters_a_namespace(turned: Clock, new_wire: Any) -> None:
    idle, late = new_wire(), new_wire()
    start = turned.now
    for at in (25.2, 44.9):
        turned.go(start + at)
        for wire in (idle, late):
            await fed(wire, "3")
    assert await frames(idle) == await frames(late) == [PING]
    await late.connect()
    turned.go(start + 45.2)
    assert await frames(idle) == [None]
    assert not late.session.closed.happened
    await fed(late, "41")
    turned.go(start + 60)
    assert not late.session.closed.happened, "once it was in, it may leave"


async def test_nothing_is_left_of_those_who_left(turned: Clock, hub: Hub, new_wire: Any) -> None:
    wires = [new_wire() for _ in range(10)]
    for wire in wires:
        await wire.connect()
    turned.go(turned.now + 25.2)
    for wire in wires[:5]:
        await fed(wire, "3")
    for wire in wires:
        wire.close()
    assert not any(hub.timers._slots.values())
