"""Lines about lost messages: one at once, then one in a while with the number since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime.cluster.loss_log import LossLog
from realtime.utils.limits import LOG_INTERVAL

from ..probes import Timer


class Loop:
    """The clock and the timers of an event loop, whose time a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and carry out what is due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now]
        self.timers = [timer for timer in self.timers if timer.at > self.now]
        for timer in due:
            if not timer.cancelled:
                timer.call()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def losses(loop: Loop) -> LossLog:
    return LossLog(loop)  # type: ignore[arg-type]


def told(records: list[Any]) -> list[int]:
    """Return the numbers in the lines so far."""
    assert {record.args[0] for record in records} <= {"layer-lost"}
    return [record.realtime["lost"] for record in records]


def test_a_flood_takes_a_line_a_second(loop: Loop, losses: LossLog, records: list[Any]) -> None:
    for number in range(1000):
        losses.note(1, lane=f"lane {number}")
        loop.pass_time(LOG_INTERVAL / 100)
    loop.pass_time(LOG_INTERVAL)
    assert told(records)[0] == 1
    assert 10 <= len(records) <= 12
    assert sum(told(records)) == 1000
    assert records[-1].realtime == {"lane": "lane 999", "lost": told(records)[-1]}


def test_the_last_ones_are_told_though_nothing_follows(
    loop: Loop, losses: LossLog, records: list[Any]
) -> None:
    for lost in (3, 2, 1):
        losses.note(lost)
    assert told(records) == [3]
    loop.pass_time(LOG_INTERVAL)
    assert told(records) == [3, 3]
    losses.note(5)  # too early for a line after that one
    assert told(records) == [3, 3]
    loop.pass_time(LOG_INTERVAL)
    assert told(records) == [3, 3, 5]
    loop.pass_time(10 * LOG_INTERVAL)
    losses.note(1)
    assert told(records) == [3, 3, 5, 1]


def test_the_rest_at_the_end(loop: Loop, losses: LossLog, records: list[Any]) -> None:
    losses.note(1)
    losses.note(2)
    losses.tell()
    losses.tell()
    loop.pass_time(10 * LOG_INTERVAL)
    assert told(records) == [1, 2]
