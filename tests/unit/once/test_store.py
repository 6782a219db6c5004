"""The table of events that are handled once: which try is the first, and what others find."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from pytest_django import Settings

from realtime.fields import DatabaseNow
from realtime.models import HandledEvent
from realtime.once import allowances, store
from realtime.once.store import DatabaseStore
from realtime.sockets.attempts import Attempt, Found, State


def attempt(key: str = "k", *, owner: str = "o", arguments: str = "a") -> Attempt:
    """Return a new try."""
    return Attempt(key, owner, "/shop", "pay", arguments, "server", secrets.token_urlsafe(16))


def age(seconds: float) -> None:
    """Let all rows be as old as that."""
    HandledEvent.objects.update(seen_at=DatabaseNow() - timedelta(seconds=seconds))


@pytest.fixture
def table() -> DatabaseStore:
    return DatabaseStore()


def test_the_first_try_has_the_key(table: DatabaseStore) -> None:
    first = attempt()
    assert table.claim(first) == Found(State.CLAIMED)
    assert table.claim(attempt()) == Found(State.RUNNING)
    assert table.claim(first) == Found(State.CLAIMED)  # the same one, asked again
    assert table.claim(attempt("another")) == Found(State.CLAIMED)


@pytest.mark.parametrize("answer", [b"", b"\x00\xff'\"", b"x" * 65_536])
def test_the_answer_of_a_try_is_there_for_the_others(table: DatabaseStore, answer: bytes) -> None:
    first = attempt()
    table.claim(first)
    table.finish(first, answer)
    table.finish(first, answer)
    assert table.claim(attempt()) == Found(State.HANDLED, answer)


def test_a_try_that_came_to_nothing_leaves_the_key_to_the_next(table: DatabaseStore) -> None:
    first, second = attempt(), attempt()
    table.claim(first)
    table.release(first)
    table.release(first)
    assert table.claim(second) == Found(State.CLAIMED)
    table.release(first)  # not its own any more
    table.finish(first, b"late")
    assert table.claim(attempt()) == Found(State.RUNNING)


def test_other_arguments_are_another_thing(table: DatabaseStore) -> None:
    first = attempt()
    table.claim(first)
    assert table.claim(attempt(arguments="b")) == Found(State.OTHER)
    table.finish(first, b"done")
    assert table.claim(attempt(arguments="b")) == Found(State.OTHER)


def test_a_process_that_is_not_heard_any_more(table: DatabaseStore, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "SERVER_HEARTBEAT": 10}
    first = attempt()
    table.claim(first)
    age(25)
    assert table.claim(attempt()) == Found(State.RUNNING)
    age(35)
    assert table.claim(attempt()) == Found(State.SILENT)
    table.renew([first, attempt("gone")])
    assert table.claim(attempt()) == Found(State.RUNNING)
    age(35)
    table.finish(first, b"done after all")
    assert table.claim(attempt()) == Found(State.HANDLED, b"done after all")


def test_what_is_old_is_as_if_it_had_never_been(table: DatabaseStore, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "ONCE_SECONDS": 100}
    first = attempt()
    table.claim(first)
    table.finish(first, b"done")
    age(90)
    assert table.claim(attempt()).state is State.HANDLED
    age(110)
    second = attempt(arguments="b")
    assert table.claim(second) == Found(State.CLAIMED)
    table.finish(first, b"late")
    assert table.claim(attempt(arguments="b")) == Found(State.RUNNING)
    table.finish(second, b"done again")
    assert table.claim(attempt(arguments="b")) == Found(State.HANDLED, b"done again")


def test_what_is_old_is_removed(
    table: DatabaseStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME = {**settings.REALTIME, "ONCE_SECONDS": 100}
    monkeypatch.setattr(store, "CHUNK", 10)
    for number in range(25):
        table.claim(attempt(str(number)))
    age(110)
    table.claim(attempt("new"))
    assert [table.sweep(), table.sweep(), table.sweep()] == [False, False, True]
    assert list(HandledEvent.objects.values_list("pk", flat=True)) == ["new"]


def test_only_one_of_many_at_once_is_the_first(table: DatabaseStore) -> None:
    others = 8
    barrier = threading.Barrier(others)

    def claim(key: str) -> State:
        try:
            barrier.wait(10)
            return table.claim(attempt(key)).state
        finally:
            connections.close_all()

    for key in "abcde":
        with ThreadPoolExecutor(others) as threads:
            states = list(threads.map(claim, [key] * others))
        assert states.count(State.CLAIMED) == 1
        assert states.count(State.RUNNING) == others - 1


def test_only_one_of_many_takes_what_is_old(table: DatabaseStore, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "ONCE_SECONDS": 100}
    others = 8
    barrier = threading.Barrier(others)
    table.claim(attempt())
    age(110)

    def claim(_: int) -> State:
        try:
            barrier.wait(10)
            return table.claim(attempt()).state
        finally:
            connections.close_all()

    with ThreadPoolExecutor(others) as threads:
        assert list(threads.map(claim, range(others))).count(State.CLAIMED) == 1


def test_any_name_fits(table: DatabaseStore) -> None:
    strange = attempt()._replace(namespace="/Köln/☃", event="no\0thing " + "é" * 300)
    assert table.claim(strange) == Found(State.CLAIMED)
    row = HandledEvent.objects.get()
    assert (row.namespace, row.event) == ("/Köln/☃", ("nothing " + "é" * 300)[:255])
    assert str(row) == f"/Köln/☃ {row.event}"


# How many there may be


@dataclass
class Counted:
    """A table with so many rows."""

    rows: int
    asked: int = 0

    def count(self, owner: str | None, most: int) -> int:
        self.asked += 1
        return min(self.rows, most)


def test_there_are_so_many_keys_of_one_client(
    table: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "MOST_OF_OWNER", 5)
    states = [table.claim(attempt(str(number))).state for number in range(7)]
    assert states == [State.CLAIMED] * 5 + [State.FULL] * 2
    assert table.claim(attempt("3")).state is State.RUNNING  # what is there is found still
    assert table.claim(attempt("7", owner="another")).state is State.CLAIMED
    age(90_000)
    assert table.claim(attempt("8")).state is State.CLAIMED


def test_there_are_so_many_keys_of_all(
    table: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "MOST", 3)
    states = [table.claim(attempt(str(n), owner=str(n))).state for n in range(5)]
    assert states == [State.CLAIMED] * 3 + [State.FULL] * 2


def test_not_each_key_is_counted() -> None:
    counted = Counted(rows=0)
    granted = allowances.Allowances(counted.count)
    assert all(granted.take("one") for _ in range(250))
    assert counted.asked == 3 + 1


def test_few_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "OWNERS", 3)
    counted: Any = Counted(rows=0)
    granted = allowances.Allowances(counted.count)
    assert all(granted.take(str(number)) for number in range(10))
    assert list(granted._of_owner) == ["7", "8", "9"]
