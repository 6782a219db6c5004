"""What other hubs were sending has reached the layer before a fence is passed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import Ask, Fence, open_parcel, unpack

from .conftest import Server, until
from .layer import Bus
from .moving import said
from .test_reports import GOOD, beat

Three = tuple[Server, Server, Server]


async def test_it_waits_for_what_is_on_its_way(three: Three) -> None:
    client = await three[1].client("a")
    three[2].layer.hang("group_send")
    three[2].emit(("a",), "slow")
    await until(lambda: three[2].layer.held)
    waiting = asyncio.create_task(three[0].cluster.fence())
    await three[0].cluster.ask(three[1].hub.server_id, Fence())
    assert not waiting.done()
    three[2].layer.resume()
    await waiting
    assert await said(client) == "slow"


def count_fences(bus: Bus) -> list[Any]:
    """Return a list that grows with each question for a fence."""
    found: list[Any] = []

    def note(channel: str, message: dict[str, Any]) -> int:
        found.extend(
            each.id
            for each in unpack(open_parcel(message))
            if isinstance(each, Ask) and isinstance(each.question, Fence)
        )
        return 1

    bus.copies = note
    return found


async def test_many_share_one(three: Three, bus: Bus) -> None:
    found = count_fences(bus)
    await asyncio.gather(*(three[0].cluster.fence() for _ in range(1000)))
    assert len(set(found)) == 1


async def test_who_comes_while_one_is_under_way_waits_for_the_next(three: Three, bus: Bus) -> None:
    found = count_fences(bus)
    three[2].layer.hang("send")
    first = asyncio.create_task(three[0].cluster.fence())
    await until(lambda: found and three[2].layer.held)
    later = [asyncio.create_task(three[0].cluster.fence()) for _ in range(100)]
    await asyncio.sleep(0)
    assert len(set(found)) == 1
    three[2].layer.resume()
    await asyncio.gather(first, *later)
    assert len(set(found)) == 2
    await three[0].cluster.fence()
    assert len(set(found)) == 3


async def test_nobody_waits_for_ever(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.fences.ANSWER_TIMEOUT", 0.05)
    three[2].layer.hang("send")
    await three[0].cluster.fence()
    three[2].layer.resume()
    await three[0].cluster.fence()


async def test_who_does_not_understand_is_not_asked(two: tuple[Server, Server]) -> None:
    beat(two[0], "aboard", GOOD)
    waiting = asyncio.create_task(two[0].cluster.fence())
    await two[0].cluster.ask(two[1].hub.server_id, Fence())
    await waiting
    assert "aboard" in two[0].cluster.peers


async def test_one_who_gives_up_keeps_nobody_else_from_it(three: Three) -> None:
    three[2].layer.hang("send")
    one, other = [asyncio.create_task(three[0].cluster.fence()) for _ in range(2)]
    await until(lambda: three[2].layer.held)
    one.cancel()
    three[2].layer.resume()
    await other
    assert one.cancelled()
