"""Rate limits, and limits of connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from realtime import NamespaceConsumer, event
from realtime.exceptions import RateLimited, TooManyConnections
from realtime.hub.hub import Hub
from realtime.utils.limits import (
    ConnectionLimits,
    EventLimiter,
    LineLimiter,
    LogLimiter,
    Rate,
    find_limits,
    parse_rate,
)

from ..conftest import Connect


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/s", Rate(5, 1)),
        ("100/m", Rate(100, 60)),
        ("20/10s", Rate(20, 10)),
        ("1/2h", Rate(1, 7200)),
    ],
)
def test_rates(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/s", "0/s", "5/0s", "-1/s", "5/d", "5 / s", 5, None]
)
def test_no_rates(text: Any) -> None:
    with pytest.raises(ValueError, match="a rate is a text like"):
        parse_rate(text)


def test_an_event_limit_and_one_for_all_others() -> None:
    clock = Clock()
    limiter = EventLimiter({"say": "2/s", "*": "3/s"}, clock)
    limiter.check("say")
    limiter.check("say")
    with pytest.raises(RateLimited, match=r"more than 2/s of 'say'"):
        limiter.check("say")
    for name in ("a", "b", "c"):
        limiter.check(name)
    with pytest.raises(RateLimited, match="more than 3/s of 'd'"):
        limiter.check("d")
    clock.now += 0.5
    limiter.check("say")
    with pytest.raises(RateLimited):
        limiter.check("say")


@given(st.lists(st.floats(0, 3), max_size=200))
def test_no_more_than_the_rate_in_any_time(pauses: list[float]) -> None:
    clock = Clock()
    limiter = EventLimiter({"*": "5/2s"}, clock)
    accepted: list[float] = []
    for pause in pauses:
        clock.now += pause
        try:
            limiter.check("e")
        except RateLimited:
            continue
        accepted.append(clock.now)
    for start in accepted:
        inside = [moment for moment in accepted if start <= moment < start + 2]
        assert len(inside) <= 5 + 5, "a full bucket, and what flows in meanwhile"


@pytest.mark.parametrize("kind", [LogLimiter, partial(EventLimiter, {"*": "1/s"})])
def test_one_log_line_a_second(kind: Callable[[Clock], LogLimiter]) -> None:
    clock = Clock()
    limiter = kind(clock)
    assert limiter.should_log()
    assert not limiter.should_log()
    clock.now += 1
    assert limiter.should_log()


def test_lines_that_are_left_out_are_counted() -> None:
    clock = Clock()
    limiter = LineLimiter(clock)
    rate = Rate(2, 2.0)
    assert [limiter.admit("a", rate) for _ in range(4)] == [0, 0, None, None]
    assert limiter.admit("b", rate) == 0
    clock.now += 1
    assert limiter.admit("a", rate) == 2
    assert limiter.admit("a", rate) is None
    assert limiter.pop_skipped() == {"a": 1}
    assert limiter.pop_skipped() == {}


def test_which_limits_hold() -> None:
    settings = {"*": {"*": "100/s", "say": "9/s"}, "/orders/*": {"say": "5/s"}}
    assert find_limits(settings, "/", {}) == {"*": "100/s", "say": "9/s"}
    assert find_limits(settings, "/orders/7", {}) == {"*": "100/s", "say": "5/s"}
    assert find_limits(settings, "/orders/7", {"say": "1/s"})["say"] == "1/s"


async def test_a_client_that_sends_too_much(
    serve: Any, connect: Connect, records: list[Any], hub: Hub
) -> None:
    heard: list[int] = []

    class Main(NamespaceConsumer):
        rate_limits = {"say": "3/h"}

        @event
        async def say(self, number: int) -> int:
            heard.append(number)
            return number

        @event
        async def other(self) -> str:
            return "fine"

    serve(Main)
    client, neighbour = await connect(), await connect()
    answers = [await client.call("say", number) for number in range(5)]
    refusal = {"error": {"code": "rate_limited", "message": "more than 3/h of 'say'", "data": None}}
    assert answers == [0, 1, 2, refusal, refusal]
    client.emit("say", 5)
    assert await client.call("other") == "fine"
    assert await neighbour.call("say", 6) == 6
    assert heard == [0, 1, 2, 6]
    assert hub.counters.limited == 3
    assert [record.args[0] for record in records].count("rate-limited") == 1


async def test_rate_limits_of_the_settings(serve: Any, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> str:
            return "ok"

    serve(Main, RATE_LIMITS={"*": {"*": "1/h"}})
    client = await connect()
    assert await client.call("a") == "ok"
    assert (await client.call("b"))["error"]["code"] == "rate_limited"


def test_wrong_rate_limits_of_a_class() -> None:
    class Main(NamespaceConsumer):
        rate_limits = {"say": "often"}

    with pytest.raises(ValueError, match="'often'"):
        Main.as_asgi()


def test_connections_are_counted_by_user_and_address() -> None:
    limits = ConnectionLimits(per_user=2, per_address=3)
    leave = [limits.admit(1, "a"), limits.admit(1, "b")]
    with pytest.raises(TooManyConnections, match="this user has 2 connections"):
        limits.admit(1, "c")
    leave += [limits.admit(None, "a"), limits.admit(2, "a")]
    with pytest.raises(TooManyConnections, match="this address has 3 connections"):
        limits.admit(3, "a")
    limits.admit(None, "")()
    leave.pop(0)()
    limits.admit(1, "a")
    for each in leave:
        each()


async def test_a_user_with_too_many_connections(serve: Any, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        pass

    serve(Main, MAX_CONNECTIONS_PER_USER=1)
    user = User(pk=7, username="ada")
    first = await connect(user=user)
    await connect(user=User(pk=8))
    await connect()
    with pytest.raises(TooManyConnections):
        await connect(user=user)
    await first.disconnect()
    await connect(user=user)


def test_an_unproven_connection_counts_for_its_address_alone() -> None:
    limits = ConnectionLimits(per_user=1, per_address=3)
    leave = [limits.admit_unproven("1", "a"), limits.admit_unproven("1", "a")]
    leave.append(limits.admit("1", ""))
    with pytest.raises(TooManyConnections, match="this user has 1 connections"):
        limits.admit_unproven("1", "a")
    limits.admit_unproven("2", "a")
    with pytest.raises(TooManyConnections, match="this address has 3 connections"):
        limits.admit_unproven("2", "a")
    for each in leave:
        each()
    limits.admit_unproven("1", "a")
