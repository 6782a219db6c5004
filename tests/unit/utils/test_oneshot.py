"""An event that happens once."""

from __future__ import annotations

import asyncio

import pytest

from realtime.utils.oneshot import OneShotEvent


async def test_all_who_wait_go_on() -> None:
    latch = OneShotEvent()
    waiters = [latch.wait() for _ in range(3)]
    assert not latch.happened
    latch.set()
    assert latch.happened
    await asyncio.gather(*waiters)


async def test_nobody_waits_for_what_has_happened() -> None:
    latch = OneShotEvent()
    latch.set()
    assert latch.wait().done()


async def test_one_who_gives_up_keeps_nobody_waiting() -> None:
    latch = OneShotEvent()
    first, second = latch.wait(), latch.wait()
    first.cancel()
    latch.set()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_those_who_gave_up_are_not_kept() -> None:
    latch = OneShotEvent()
    for _ in range(5):
        latch.wait().cancel()
    waiter = latch.wait()
    assert latch._waiters == (waiter,)
