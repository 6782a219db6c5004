"""A writer whose database fails or hangs, and servers that are taken for dead."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from pytest_django import Settings

import realtime
from realtime.exceptions import PresenceUnavailable
from realtime.fields import DatabaseNow
from realtime.hub.hub import Hub
from realtime.models import Server
from realtime.outside.process import ensure_hub
from realtime.presence import writer as writer_module
from realtime.presence.changes import Changes
from realtime.presence.servers import Description
from realtime.presence.store import Lost, Retired, Store
from realtime.testing import Client

from ..conftest import Connect
from ..probes import DEADLINE
from .conftest import (
    Interference,
    add_server,
    ask,
    named,
    read_registry,
    rows,
    until,
    writer_of,
)


async def test_an_outage_stops_nothing_else(
    interference: Interference, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    first = await connect(auth={"rooms": ["a"]})
    interference.error = OperationalError("the database is away")
    clients = [await connect(auth={"rooms": ["b"]}) for _ in range(20)]
    await clients[0].disconnect()
    await first.call("join", "c")
    assert await first.call("echo", 1) == 1
    await until(lambda: named(records, "presence-down"))
    down = named(records, "presence-down")
    assert "the database is away" in down[0]["error"]
    assert down[0]["hint"]
    assert list(await rows()) == [first.sid]
    interference.error = None
    await until(lambda: named(records, "presence-back"))
    assert await rows() == read_registry(hub)
    assert await realtime.of().acount() == 20
    assert len(named(records, "presence-down")) == 1


async def test_nobody_counts_what_is_not_written(
    interference: Interference, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    for _ in range(5):
        await connect(auth={"rooms": ["a"]})
    interference.error = OperationalError("the database is away")
    left = await connect()
    await until(lambda: named(records, "presence-down"))
    await left.disconnect()
    for question in (realtime.of().acount, realtime.to("a").acount):
        with pytest.raises(PresenceUnavailable):
            await question()
    for ask_now in (realtime.of().count, realtime.count_clients):
        with pytest.raises(PresenceUnavailable):
            await ask(ask_now)
    interference.error = None
    await until(lambda: named(records, "presence-back"))
    assert await realtime.of().acount() == 5
    assert await ask(realtime.count_clients) == 5


async def test_a_part_of_the_rows_is_no_count(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, interference: Interference
) -> None:
    await asyncio.gather(*(connect() for _ in range(10)))
    monkeypatch.setattr(writer_module, "BATCH", 3)
    await ask(lambda: Server.objects.all().delete())
    counts: list[int] = []
    write = Store.write

    def look(self: Store, changes: Any, **options: Any) -> None:
        with contextlib.suppress(PresenceUnavailable):
            counts.append(realtime.of().count())
        write(self, changes, **options)

    monkeypatch.setattr(Store, "write", look)
    await writer_of(hub).idle()
    assert len(interference.batches) >= 4
    assert set(counts) <= {10}
    assert await realtime.of().acount() == 10


@pytest.mark.parametrize(
    ("others", "is_right"),
    [
        ({"seen": 1}, True),
        ({"seen": 1, "complete": False}, False),
        ({"seen": 0, "restored": 1}, False),  # this server was heard of before that
        ({"seen": 0, "restored": 16}, True),
        ({"seen": 20, "complete": False}, True),
        ({"seen": 20, "restored": 20}, True),
    ],
)
async def test_what_other_servers_rows_tell(
    hub: Hub, connect: Connect, others: dict[str, Any], is_right: bool
) -> None:
    await connect()

    def add() -> None:
        Server.objects.filter(pk=hub.server_id).update(seen_at=DatabaseNow() - timedelta(seconds=2))
        other = add_server("other1", others["seen"])
        other.complete = others.get("complete", True)
        if "restored" in others:
            other.restored_at = DatabaseNow() - timedelta(seconds=others["restored"])
        # In one statement, which has one time for both.
        other.seen_at = DatabaseNow() - timedelta(seconds=others["seen"])
        other.save(update_fields=["complete", "restored_at", "seen_at"])

    await ask(add)
    if is_right:
        assert await realtime.of().acount() == 1
        return
    with pytest.raises(PresenceUnavailable):
        await realtime.of().acount()
    if "restored" in others:
        await writer_of(hub).idle()  # it is heard of again
        assert await realtime.of().acount() == 1


async def test_rows_of_dead_servers_alone_tell_nothing() -> None:
    await ask(lambda: add_server("dead01", 20))
    with pytest.raises(PresenceUnavailable):
        await realtime.of().acount()
    await ask(lambda: Server.objects.all().delete())
    assert await realtime.of().acount() == 0


async def test_a_thread_that_hangs_is_given_up(
    settings: Settings,
    connect: Connect,
    interference: Interference,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    settings.REALTIME = {**settings.REALTIME, "SERVER_HEARTBEAT": 0.3}
    hub = ensure_hub()
    await connect(auth={"rooms": ["a"]})
    silent = threading.Event()
    write, stuck = Store.write, []

    def hang_once(self: Store, changes: Any, **options: Any) -> None:
        if not stuck:
            stuck.append(threading.current_thread())
            assert silent.wait(4 * DEADLINE)
        write(self, changes, **options)

    monkeypatch.setattr(Store, "write", hang_once)
    try:
        await connect(auth={"rooms": ["b"]})
        await until(lambda: named(records, "presence-back"), 2 * DEADLINE)
        assert named(records, "presence-given-up")
        assert await rows() == read_registry(hub)
    finally:
        silent.set()
    await until(lambda: not stuck[0].is_alive())
    await writer_of(hub).idle()
    assert await rows() == read_registry(hub), "the thread that is late writes nothing"


async def test_what_is_under_way_when_a_thread_is_given_up_is_rolled_back(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect()
    store = Store(Description(hub.server_id))
    socket = next(iter(hub.registry.sockets.values()))
    write = store._write

    def give_up_meanwhile(changes: Any) -> None:
        write(changes)
        store.retired = True

    monkeypatch.setattr(store, "_write", give_up_meanwhile)
    changes = Changes()
    changes.close(socket.sid)
    before = await rows()
    with pytest.raises(Retired):
        await ask(lambda: store.write(changes, beat=None))
    for call in (store.remove, partial(store.register, complete=True, restored=False)):
        with pytest.raises(Retired):
            await ask(call)
    assert await rows() == before


async def test_a_hub_that_starts_without_its_database(
    interference: Interference, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    interference.error = OperationalError("the database is away")
    client = await connect(auth={"rooms": ["a"]})
    assert await rows() == {}
    interference.error = None
    await until(lambda: named(records, "presence-back"))
    assert await rows() == {client.sid: ("/", {"a"})}


async def test_a_database_that_hangs_is_waited_for_once(
    interference: Interference,
    hub: Hub,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    await connect()
    monkeypatch.setattr(writer_module, "PATIENCE", 0.5)
    interference.gate.clear()
    start = hub.loop.time()
    for _ in range(20):
        await connect(auth={"rooms": ["a"]})
    assert 0.5 <= hub.loop.time() - start < 20 * 0.5
    (down,) = named(records, "presence-down")
    assert "no answer" in down["error"]
    interference.gate.set()
    await until(lambda: named(records, "presence-back"))
    assert await rows() == read_registry(hub)
    assert interference.registrations == 1  # nothing was lost, so nothing was written anew


@pytest.mark.parametrize("error", [IntegrityError("a row of a server that is gone"), Lost()])
async def test_one_refused_write_is_put_right_before_the_answer(
    error: Exception, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await connect(auth={"rooms": ["a"]})
    writer = writer_of(hub)
    write, errors = writer._store.write, [error]

    def refuse_once(changes: Any, beat: Any) -> None:
        if errors:
            raise errors.pop()
        write(changes, beat=beat)

    monkeypatch.setattr(writer._store, "write", refuse_once)
    second = await connect(auth={"rooms": ["b"]})
    assert not errors
    assert await rows() == {first.sid: ("/", {"a"}), second.sid: ("/", {"b"})}


async def test_a_broken_connection_is_opened_again(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    first = await connect()
    writer = writer_of(hub)
    write, errors = writer._store._write, [OperationalError("server closed the connection")]

    def break_once(changes: Any) -> None:
        if errors:
            raise errors.pop()
        write(changes)

    monkeypatch.setattr(writer._store, "_write", break_once)
    second = await connect()
    assert not errors
    assert set(await rows()) == {first.sid, second.sid}
    assert not named(records, "presence-")


async def test_more_sockets_than_one_batch_come_back(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, interference: Interference
) -> None:
    clients = await asyncio.gather(*(connect(auth={"rooms": ["a", "b"]}) for _ in range(50)))
    monkeypatch.setattr(writer_module, "BATCH", 7)
    await ask(lambda: Server.objects.all().delete())
    await clients[0].call("join", "c")
    assert await rows() == read_registry(hub)
    assert max(interference.batches[-8:]) == 7


async def test_closing_while_the_database_hangs_takes_a_bounded_time(
    interference: Interference, hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr(writer_module, "PATIENCE", 0.1)
    async with Client():
        pass
    interference.gate.clear()
    await Client().connect()
    start = hub.loop.time()
    await hub.close(grace=0.5)
    assert hub.loop.time() - start < 8  # the gate would open after 10
    assert len(named(records, "presence-left-behind")) == 1
