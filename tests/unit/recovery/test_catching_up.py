"""The connection on which a hub hears breaks: what was sent meanwhile is read from the log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from realtime.cluster import catching_up
from realtime.cluster.targets import Target
from realtime.identity.user_rooms import user_rooms
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.recovery.test_shared_log import Server, _dead, _quick, texts, two, until, valkey

__all__ = ["_quick", "two", "valkey"]

Two = tuple[Server, Server]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No outage lasts for so long that clients get what is sent before it comes back."""
    monkeypatch.setattr("realtime.hub.bus.OUTAGE", 1_000.0)


@contextlib.asynccontextmanager
async def deaf(server: Server) -> AsyncIterator[None]:
    """Let a hub hear nothing in the block, and wait behind it until it hears again."""
    link: Any = server.hub.cluster.link  # type: ignore[union-attr]
    hearing = server.layer._hearing
    make, hearing._make = hearing._make, _dead
    await hearing._connection.disconnect(nowait=True)
    await until(lambda: not link.up.is_set())
    yield
    hearing._make = make
    async with asyncio.timeout(20):
        await link.up.wait()


def gap_of(server: Server) -> float:
    """Return up to where a hub's clients may have missed something."""
    return server.hub.recovery.log.gap  # type: ignore[union-attr]


async def test_who_is_connected_misses_nothing(two: Two) -> None:
    one, other = two
    here, there = await one.client("a"), await other.client("a", "b")
    one.emit("a", 1)
    assert await texts(here, 1) == await texts(there, 1) == [1]
    async with deaf(other):
        for number in (2, 3):
            one.emit("a", number)
        one.emit("b", 4)
        one.emit(there.sid, 5)
        assert await texts(here, 2) == [2, 3]
    one.emit("a", 6)
    assert await texts(there, 5) == [2, 3, 4, 5, 6]
    there.drop()
    one.emit("a", 7)
    await one.take(there)
    assert there.recovered
    assert await texts(there, 1) == [7]
    assert not there.pending()
    assert gap_of(other) == gap_of(one) == 0


async def test_what_is_for_a_user_is_caught_up_with(two: Two) -> None:
    """It comes with what is for the namespace, and stands in a stream of its own."""
    one, other = two
    ada = User(pk=7, username="ada", password="a")
    here, there = await one.take(Client(user=ada)), await other.take(Client(user=ada))
    bob = await other.take(Client(user=User(pk=8, username="bob", password="a")))
    target = Target("/", user_rooms((ada,)))
    async with deaf(other):
        one.hub.emit(target, Message("/", "n", (1,)))
        assert await texts(here, 1) == [1]
    one.hub.emit(target, Message("/", "n", (2,)))
    one.emit(bob.sid, 3)
    assert await texts(there, 2) == [1, 2]
    assert await texts(bob, 1) == [3]
    assert not bob.pending()
    assert gap_of(other) == 0


async def test_what_it_sends_itself_waits_for_its_place(two: Two) -> None:
    one, other = two
    here, there = await one.client("a"), await other.client("a")
    async with deaf(other):
        one.emit("a", 1)
        assert await texts(here, 1) == [1]
        other.emit("a", 2)
    assert await texts(here, 1) == [2]
    assert await texts(there, 2) == [1, 2]
    assert gap_of(other) == 0


async def test_what_was_sent_to_a_room_before_it_was_heard_is_for_nobody(two: Two) -> None:
    one, other = two
    here, there = await one.client("a"), await other.client()
    for number in (1, 2):
        one.emit("a", number)
    assert await texts(here, 2) == [1, 2]
    assert await there.call("enter", "a") == ["a"]
    async with deaf(other):
        one.emit("a", 3)
        assert await texts(here, 1) == [3]
    assert await texts(there, 1) == [3]


async def test_what_others_want_of_clients_is_done(two: Two) -> None:
    one, other = two
    moved, closed = await other.client("a"), await other.client("c")
    async with deaf(other):
        await one.command(Target("/", ("a",)), "join", "b")
        one.emit("b", 1)
        await one.command(Target("/", ("c",)), "close")
    assert await texts(moved, 1) == [1]
    assert (await moved.call("state"))["rooms"] == ["a", "b"]
    await until(lambda: closed.sid not in other.hub.registry.sockets)


async def test_who_drops_while_its_process_is_deaf(two: Two) -> None:
    one, other = two
    here, there = await one.client("a"), await other.client("a")
    async with deaf(other):
        one.emit("a", 1)
        assert await texts(here, 1) == [1]
        there.drop()
        one.emit("a", 2)
    await one.take(there)
    assert there.recovered
    assert await texts(there, 2) == [1, 2]
    assert not there.pending()


async def test_who_comes_back_while_its_process_is_deaf(two: Two) -> None:
    """It gets what the log has, once that can be told."""
    one, other = two
    here, there = await one.client("a"), await other.client("a")
    one.emit("a", 1)
    assert await texts(here, 1) == await texts(there, 1) == [1]
    there.drop()
    async with deaf(other):
        one.emit("a", 2)
        coming = asyncio.ensure_future(other.take(there))
    await coming
    assert there.recovered
    one.emit("a", 3)
    assert await texts(there, 2) == [2, 3]
    assert not there.pending()


async def test_what_is_in_no_log_is_nothing_to_tell_of(two: Two) -> None:
    """Volatile events are missed, and counted, and nobody is told of a loss."""
    one, other = two
    here, there = await one.client("a"), await other.client("a")
    async with deaf(other):
        message = Message("/", "n", ("gone",), volatile=True)
        one.hub.emit(Target("/", ("a",)), message)
        one.emit("a", 1)
        assert await texts(here, 2) == ["gone", 1]
    one.emit("a", 2)
    assert await texts(there, 2) == [1, 2]
    assert gap_of(other) == 0


async def test_more_than_can_be_caught_up_with(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who drops then is told, by whatever process it comes back."""
    monkeypatch.setattr(catching_up, "MAX_BYTES", 10)
    one, other = two
    here, there = await one.client("a"), await other.client("a")
    async with deaf(other):
        one.emit("a", 1)
        assert await texts(here, 1) == [1]
    await until(lambda: 0 < gap_of(other) < float("inf"))
    there.drop()
    await one.take(there)
    assert not there.recovered
    assert (await there.call("state"))["lost"]


async def test_a_redis_that_was_started_anew(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    here, there = await one.client("a"), await other.client("a")
    async with deaf(other):
        one.emit("a", 1)
        assert await texts(here, 1) == [1]
        monkeypatch.setattr(other.layer, "run_id", _another)
    await until(lambda: 0 < gap_of(other) < float("inf"))
    there.drop()
    await one.take(there)
    assert not there.recovered


async def _another() -> str:
    return "another one"
