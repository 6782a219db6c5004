"""Presence is on, and each test has an empty database that threads can share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from realtime.cluster.envelopes import group_name
from realtime.fields import DatabaseNow
from realtime.hub.hub import Hub
from realtime.models import Membership, Server, Socket
from realtime.presence import writer as writer_module
from realtime.presence.changes import Changes
from realtime.presence.store import Beat, Store
from realtime.presence.writer import PresenceWriter

Rows = dict[str, tuple[str, frozenset[str]]]


@pytest.fixture(autouse=True)
def _presence(presence: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn presence on in every test, and do not wait long for a database that is away."""
    monkeypatch.setattr(writer_module, "MAX_RETRY", 0.02)


async def ask(question: Callable[[], Any]) -> Any:
    """Return what a function that uses the ORM returns, called in a thread."""

    def work() -> Any:
        try:
            return question()
        finally:
            connections.close_all()

    return await asyncio.to_thread(work)


def read_rows() -> Rows:
    """Return the namespace and the rooms of each socket in the database."""
    rooms: dict[str, set[str]] = {}
    for membership in Membership.objects.select_related("socket"):
        assert membership.namespace == membership.socket.namespace
        rooms.setdefault(membership.socket_id, set()).add(membership.room)
    sockets = Socket.objects.values_list("sid", "namespace")
    return {sid: (namespace, frozenset(rooms.get(sid, ()))) for sid, namespace in sockets}


def read_registry(hub: Hub) -> Rows:
    """Return the same of a hub's open sockets."""
    return {
        sid: (socket.namespace, frozenset(hub.registry.rooms_of(socket)))
        for sid, socket in hub.registry.sockets.items()
        if socket.observed
    }


async def rows() -> Rows:
    """Return what the database holds."""
    return dict(await ask(read_rows))


def writer_of(hub: Hub) -> PresenceWriter:
    """Return a hub's writer."""
    (writer,) = (observer for observer in hub.observers.all if isinstance(observer, PresenceWriter))
    return writer


async def until(condition: Callable[[], Any], timeout: float = 20.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def add_server(name: str, age: float = 0) -> Server:
    """Add another server, whose last heartbeat is so many seconds old by the database's clock."""
    return Server.objects.create(
        id=name,
        name=name,
        host="elsewhere",
        pid=1,
        software="",
        started_at=DatabaseNow(),
        seen_at=DatabaseNow() - timedelta(seconds=age),
    )


def add_socket(server: Server, sid: str, *rooms: str, namespace: str = "/", **fields: Any) -> None:
    """Add a socket of another server."""
    now = timezone.now()
    values = {"connection": sid[:12], "transport": "websocket", "connected_at": now} | fields
    socket = Socket.objects.create(sid=sid, server=server, namespace=namespace, **values)
    for room in rooms:
        Membership.objects.create(
            socket=socket,
            namespace=namespace,
            room=room,
            key=group_name(namespace, room),
            joined_at=now,
        )


def named(records: list[Any], what: str) -> list[dict[str, Any]]:
    """Return the fields of the log lines that begin so."""
    return [record.realtime for record in records if record.getMessage().startswith(what)]


class Interference:
    """
    Stands before every write: `error` is raised, and `gate` lets it through only while it is set.
    `batches` has how many sockets were new in each.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.registrations = 0

    def pass_through(self) -> None:
        """Let the caller go on, wait or fail."""
        self.entered.set()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error


@pytest.fixture
def interference(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interference]:
    """What happens to writes to the database."""
    interference = Interference()
    write, register = Store.write, Store.register

    def disturbed_write(self: Store, changes: Changes, *, beat: Beat | None) -> None:
        interference.pass_through()
        if changes:
            interference.batches.append(len(changes.opened))
        write(self, changes, beat=beat)

    def disturbed_register(self: Store, **state: bool) -> None:
        interference.pass_through()
        interference.registrations += 1
        register(self, **state)

    monkeypatch.setattr(Store, "write", disturbed_write)
    monkeypatch.setattr(Store, "register", disturbed_register)
    yield interference
    interference.gate.set()
    interference.error = None
