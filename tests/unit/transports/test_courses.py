"""When a polling client's requests come through another server for good."""

from __future__ import annotations

import itertools
import random

import pytest

from realtime.transports.courses import MAX_SECONDS, REQUESTS, SECONDS, Course


def feed(course: Course, server: str, count: int, start: float, seconds: float) -> list[bool]:
    """Return what a course says of requests that come evenly in this time."""
    step = seconds / max(1, count - 1)
    return [course.note(server, start + number * step) for number in range(count)]


def test_enough_of_them_in_enough_time() -> None:
    said = feed(Course(), "two", REQUESTS + 3, 1000.0, 10 * SECONDS)
    assert said == [number >= REQUESTS - 1 for number in range(REQUESTS + 3)]


def test_a_burst_does_not_count() -> None:
    course = Course()
    assert not any(feed(course, "two", 100 * REQUESTS, 1000.0, 0.99 * SECONDS))
    assert course.note("two", 1000.0 + SECONDS)


def test_few_in_a_long_time_do_not_count() -> None:
    assert not any(feed(Course(), "two", REQUESTS - 1, 0.0, 1_000_000.0))


@pytest.mark.parametrize("servers", [("", "two"), ("two", "three"), ("two", "three", "")])
def test_requests_in_turn_never_count(servers: tuple[str, ...]) -> None:
    """An empty name stands for a request at the session's own server here."""
    course = Course()
    for number, server in zip(range(10_000), itertools.cycle(servers), strict=False):
        if server:
            assert not course.note(server, float(number))
        else:
            course.break_off()


@pytest.mark.parametrize("servers", [2, 3])
def test_requests_at_random_do_not_count(servers: int) -> None:
    chance, course = random.Random(7), Course()
    for number in range(10_000):
        if place := chance.randrange(servers):
            assert not course.note(str(place), float(number))
        else:
            course.break_off()


@pytest.mark.parametrize("other", ["three", "", None], ids=["other", "unknown", "own"])
def test_one_request_elsewhere_begins_it_anew(other: str | None) -> None:
    course = Course()
    feed(course, "two", REQUESTS - 1, 0.0, SECONDS)
    if other is None:
        course.break_off()
    else:
        course.note(other, SECONDS)
    said = feed(course, "two", REQUESTS, SECONDS, SECONDS)
    assert said == [False] * (REQUESTS - 1) + [True]


def test_servers_that_do_not_say_who_they_are() -> None:
    assert not any(feed(Course(), "", 10 * REQUESTS, 0.0, 1_000_000.0))


def test_who_could_not_move_is_asked_less_and_less() -> None:
    course, now, waits = Course(), 0.0, []
    for _ in range(12):
        began = now
        while not course.note("two", now):
            now += SECONDS / REQUESTS
        waits.append(now - began)
        course.stay()
    expected = [min(2**number * SECONDS, MAX_SECONDS) for number in range(12)]
    assert waits == pytest.approx(expected, abs=2 * SECONDS / REQUESTS)
