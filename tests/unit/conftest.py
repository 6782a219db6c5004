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
from django.urls import path
from pytest_django import Settings

from realtime import NamespaceConsumer, logs
from realtime.execution import pacing
from realtime.hub.hub import Hub
from realtime.outside import process
from realtime.outside.process import ensure_hub
from realtime.sending import unsent
from realtime.testing import Client
from realtime.transports import intake
from realtime.webservers import direct
from tests.unit import routing

from .probes import Probe, Wire

NAMESPACES = "tests.unit.routing.namespaces"

# Most tests touch no database; those of tests.unit.presence turn it on. None loses a message in
# silence.
DEFAULTS = {"NAMESPACES": NAMESPACES, "PRESENCE": False, "UNREACHABLE": "raise"}

Connect = Callable[..., Awaitable[Client]]
Serve = Callable[..., None]


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
async def presence(settings: Settings, transactional_db: None) -> AsyncIterator[None]:
    """Turns presence on, for a test with an empty database that threads can share."""
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
