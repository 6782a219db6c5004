"""Each test has its own event loop, and on it its own hub and its own channel layer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from channels.layers import channel_layers
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.urls import path
from pytest_django import Settings

from realtime import NamespaceConsumer, logs
from realtime.execution import pacing
from realtime.hub.hub import Hub
from realtime.outside import process
from realtime.outside.process import ensure_hub
from realtime.presence import writer
from realtime.sending import unsent
from realtime.testing import Client
from realtime.transports import intake
from realtime.webservers import direct
from tests.unit import routing

from .probes import DEADLINE, Probe, Wire

NAMESPACES = "tests.unit.routing.namespaces"

# Most tests touch no database; those of tests.unit.presence turn it on. None loses a message in
# silence.
DEFAULTS = {"NAMESPACES": NAMESPACES, "PRESENCE": False, "UNREACHABLE": "raise"}

Connect = Callable[..., Awaitable[Client]]
Serve = Callable[..., None]


class Refill:
    """
    What a flush does after each test that commits: it looks up all that the apps' `post_migrate`
    makes, and makes it, for nine tenths of its time. This writes the same rows again.
    """

    def __init__(self) -> None:
        self._rows: list[Any] = []

    def __call__(self, verbosity: int, interactive: bool, db: str, **options: Any) -> None:
        kinds = (ContentType, Permission)
        if not self._rows:
            emit_post_migrate_signal(verbosity, interactive, db, **options)
            self._rows = [list(kind.objects.using(db).all()) for kind in kinds]
            return
        ContentType.objects.clear_cache()
        for kind, rows in zip(kinds, self._rows, strict=True):
            kind.objects.using(db).bulk_create(rows)


def delete_all(operations: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
    """Return what PostgreSQL does with few rows in a tenth of the time of TRUNCATE."""
    deletes = [f"DELETE FROM {operations.quote_name(table)}" for table in tables]
    return ["; ".join(["SET LOCAL session_replication_role = replica", *deletes])]


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "emit_post_migrate_signal", Refill())
        if connection.vendor == "postgresql":
            patch.setattr(type(connection.ops), "sql_flush", delete_all)
        yield


@pytest.fixture(scope="session", autouse=True)
def _patient_clients() -> Iterator[None]:
    """Let the clients of tests wait for as long as tests do, where no timeout is given."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "call", "receive", "closed", "disconnect"):
            method = getattr(Client, name)
            if method.__kwdefaults__:
                patch.setattr(method, "__kwdefaults__", {"timeout": DEADLINE})
            else:
                patch.setattr(method, "__defaults__", (DEADLINE,))
        yield


@pytest.fixture(autouse=True)
def _namespaces(settings: Settings) -> None:
    settings.REALTIME = DEFAULTS


@pytest.fixture(autouse=True)
async def _hub_closes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Close the loop's hub, if the test started one, and see that nothing of it is left."""
    monkeypatch.setattr("realtime.hub.closing.FLUSH_TIME", 0.002)  # there is no transport to flush
    channel_layers.backends.clear()
    yield
    running = process._hubs.get(asyncio.get_running_loop())
    if running is not None:
        await running.close(grace=0.5)
        left = running.stats()
        assert not any(left.values()), left
    channel_layers.backends.clear()


@pytest.fixture(autouse=True)
def _turns_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still ends no turn: only tests of that move the clock."""
    for module in (intake, direct, pacing):
        monkeypatch.setattr(module, "SECONDS_PER_SLICE", 60)


@pytest.fixture(autouse=True)
def _no_line_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own account of the lines that were logged."""
    monkeypatch.setattr(logs, "_of_process", logs.Lines())
    monkeypatch.setattr(logs, "_tracebacks", logs.Bucket(logs._ALL_TRACEBACKS, time.monotonic()))


@pytest.fixture(autouse=True)
def _nothing_unsent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own account of what was not sent."""
    account = unsent.Unsent()
    monkeypatch.setattr(unsent, "_unsent", account)
    yield
    if account._timer is not None:
        account._timer.cancel()


@pytest.fixture
def serve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A function that puts a test's own consumer (or routes) at "/", with these settings."""

    def serve(*consumers: type[NamespaceConsumer], routes: Any = (), **options: Any) -> None:
        roots = [path("", consumer.as_asgi()) for consumer in consumers]
        monkeypatch.setattr(routing, "namespaces", [*roots, *routes] or routing.namespaces)
        settings.REALTIME = {**settings.REALTIME, **options}

    return serve


@pytest.fixture
async def presence(
    settings: Settings, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """
    Turns presence on, for a test with an empty database that threads can share, and that is not
    taken for down where the machine is slow.
    """
    monkeypatch.setattr(writer, "PATIENCE", DEADLINE)
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": True}
    yield
    running = process._hubs.get(asyncio.get_running_loop())
    if running is not None:
        await running.close(grace=0.5)


@pytest.fixture
async def hub() -> Hub:
    """The test's hub."""
    return ensure_hub()


@pytest.fixture
async def probe() -> Probe:
    """Where hooks leave notes for the test."""
    return Probe()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A function with the arguments of `Client` that returns a connected client."""
    async with AsyncExitStack() as stack:

        async def connect(*args: Any, **options: Any) -> Client:
            return await stack.enter_async_context(Client(*args, **options))

        yield connect


@pytest.fixture
async def new_wire() -> AsyncIterator[Callable[[], Wire]]:
    """A function that returns a new bare session."""
    wires: list[Wire] = []

    def new() -> Wire:
        wires.append(Wire())
        return wires[-1]

    yield new
    for wire in wires:
        wire.close()


@pytest.fixture
async def crowd(connect: Connect) -> dict[str, Client]:
    """Clients in "/" by name: ann is in the rooms a and b, bob in b, cleo in a, dan in none."""
    rooms = {"ann": ["a", "b"], "bob": ["b"], "cleo": ["a"], "dan": []}
    return {name: await connect(auth={"rooms": names}) for name, names in rooms.items()}


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[Any]]:
    """What the `realtime` logger says, of every level."""
    handler, logger = Records(), logging.getLogger("realtime")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(level)
