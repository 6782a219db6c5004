"""Transactions that are in each other's way."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from realtime import NamespaceConsumer
from realtime.models import Server, Socket
from realtime.presence.deadlocks import ATTEMPTS, is_deadlock, made_again
from realtime.presence.store import Store
from tests.unit.conftest import Connect, Serve

from .conftest import add_server, ask, rows


class Failure(Exception):
    """What a database's driver raises."""

    sqlstate: str | None = None


def failure(*args: Any, state: str | None = None) -> OperationalError:
    """Return Django's error for that of a driver."""
    cause = Failure(*args)
    cause.sqlstate = state
    error = OperationalError(*args)
    error.__cause__ = cause
    return error


DEADLOCK = (1213, "Deadlock found when trying to get lock; try restarting transaction")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (failure(*DEADLOCK), True),
        (failure(1205, "Lock wait timeout exceeded"), True),
        (failure("deadlock detected", state="40P01"), True),
        (failure("could not serialize access", state="40001"), True),
        (failure(2006, "Server has gone away"), False),
        (failure("terminating connection", state="57P01"), False),
        (failure("database is locked"), False),
        (failure(), False),
        (OperationalError("the connection is closed"), False),
    ],
)
def test_what_is_a_deadlock(error: OperationalError, is_one: bool) -> None:
    assert is_deadlock(error) is is_one


@pytest.mark.parametrize(("failures", "made"), [(ATTEMPTS - 1, True), (ATTEMPTS, False)])
def test_it_is_made_again_some_times(failures: int, made: bool) -> None:
    left = [failure(*DEADLOCK)] * failures

    @made_again
    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    if made:
        assert work() == "done"
    else:
        with pytest.raises(OperationalError, match="Deadlock"):
            work()


def test_nothing_else_is_made_again() -> None:
    calls = []

    @made_again
    def work() -> None:
        calls.append(1)
        raise failure(2006, "Server has gone away")

    with pytest.raises(OperationalError):
        work()
    assert len(calls) == 1


async def test_clients_notice_nothing(
    serve: Serve, connect: Connect, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Consumer(NamespaceConsumer):
        async def connect(self, auth: Any) -> None:
            self.join("a")

    original, failing = Store._write, [True, True, True]

    def write(self: Store, changes: Any) -> None:
        original(self, changes)
        if failing:
            failing.pop()
            raise failure(*DEADLOCK)

    serve(Consumer)
    monkeypatch.setattr(Store, "_write", write)
    client = await connect()
    assert await rows() == {client.sid: ("/", frozenset(["a"]))}
    assert await ask(Socket.objects.online().count) == 1
    assert not failing
    assert not [record for record in records if record.getMessage().startswith("presence-")]


def test_a_real_one() -> None:
    """
    Two transactions lock two rows in different orders: the database ends one of them.

    With SQLite, whose writers take turns, the second waits until the first is over.
    """
    names = ["first0", "other0"]
    for name in names:
        add_server(name)
    both = threading.Barrier(2)
    can_deadlock = connection.vendor != "sqlite"
    attempts = []

    @made_again
    def update(names: list[str], pid: int) -> None:
        attempts.append(pid)
        with transaction.atomic():
            Server.objects.filter(pk=names[0]).update(pid=pid)
            if len(attempts) <= 2 and can_deadlock:
                both.wait(10)
            Server.objects.filter(pk=names[1]).update(pid=pid)

    def work(names: list[str], pid: int) -> None:
        try:
            update(names, pid)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=work, args=(names, 1)),
        threading.Thread(target=work, args=(names[::-1], 2)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if can_deadlock:
        assert len(attempts) >= 3  # one that comes too soon again is ended again
    else:
        assert len(attempts) == 2
    (pid,) = set(Server.objects.values_list("pid", flat=True))
    if can_deadlock:
        assert pid == attempts[-1], "the one that was made again came last"
