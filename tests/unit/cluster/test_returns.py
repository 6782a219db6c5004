"""What a hub has sent and waits for."""

from __future__ import annotations

import asyncio

from realtime.cluster.returns import Returns


def test_what_comes_back_is_done_with_its_number() -> None:
    returns, done = Returns(), list[tuple[str, int]]()
    for name in ("a", "b"):
        returns.expect(name, lambda number, name=name: done.append((name, number)))
    assert returns.returned("a", 5)
    assert returns.returned("b", 6)
    assert done == [("a", 5), ("b", 6)]
    assert not returns.returned("b", 6), "it is nobody's any more"
    assert not len(returns)


def test_what_stands_behind_something_waits_for_it() -> None:
    returns, done = Returns(), list[str]()
    returns.after(lambda: done.append("at once"))
    returns.expect("a", lambda number: done.append("a"))
    returns.after(lambda: done.append("after a"))
    returns.expect("b", lambda number: done.append("b"))
    returns.after(lambda: done.append("after both"))
    assert done == ["at once"]
    returns.returned("b", 1)
    assert done == ["at once", "b"]
    returns.returned("a", 2)
    assert done == ["at once", "b", "a", "after a", "after both"]


def test_what_does_not_come_is_not_done() -> None:
    returns, done = Returns(), list[str]()
    returns.expect("a", lambda number: done.append("a"))
    returns.after(lambda: done.append("after a"))
    count = returns.count
    returns.expect("b", lambda number: done.append("b"))
    returns.settle(count)
    assert done == ["after a"]
    assert len(returns) == 1
    assert returns.oldest == 3
    assert not returns.returned("a", 1)
    assert returns.returned("b", 2)
    assert done == ["after a", "b"]


def test_in_an_outage_all_is_done_at_once_and_no_more_when_it_comes() -> None:
    returns, done = Returns(), list[tuple[str, int]]()
    returns.expect("a", lambda number: done.append(("a", number)))
    returns.after(lambda: done.append(("after a", 0)))
    returns.expect("b", lambda number: done.append(("b", number)))
    returns.returned("b", 7)
    returns.give_up()
    assert done == [("b", 7), ("a", 0), ("after a", 0)]
    assert returns.early == {"a"}
    assert returns.returned("a", 8)
    assert len(done) == 3
    assert not returns.early


async def test_waiting_for_all() -> None:
    returns = Returns()
    await returns.wait()
    returns.expect("a", lambda number: None)
    waiting = asyncio.ensure_future(returns.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    returns.returned("a", 1)
    await waiting
