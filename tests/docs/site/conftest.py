"""What the tests on the documentation's site share. tests/docs/test_python.py runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from channels.layers import channel_layers
from django.dispatch import Signal
from django.urls import path
from mysite import routing
from pytest_django import Settings
from realtime import NamespaceConsumer
from realtime.outside.process import ensure_hub
from realtime.outside import process
from realtime.testing import Client

Mount = Callable[..., None]


@pytest.fixture(autouse=True)
def _without_presence(settings: Settings) -> None:
    """As "Test your consumers" says; `presence` turns it on."""
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}


@pytest.fixture(autouse=True)
async def _hub_closes() -> AsyncIterator[None]:
    channel_layers.backends.clear()
    yield
    hub = process._hubs.get(asyncio.get_running_loop())
    if hub is not None:
        await hub.close(grace=1)


@pytest.fixture(autouse=True)
def _receivers_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Disconnect what a block connected to signals."""
    before: dict[int, tuple[Signal, list[Any]]] = {}
    connect = Signal.connect

    def noting(signal: Signal, *args: Any, **options: Any) -> None:
        before.setdefault(id(signal), (signal, list(signal.receivers)))
        connect(signal, *args, **options)

    monkeypatch.setattr(Signal, "connect", noting)
    yield
    for signal, receivers in before.values():
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


@pytest.fixture
def presence(settings: Settings, transactional_db: None) -> None:
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": True}


@pytest.fixture
def recovery(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 60}}


@pytest.fixture
def mount(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """A function that puts a consumer into the routes, before those of the site."""

    def mount(route: str, consumer: type[NamespaceConsumer]) -> None:
        monkeypatch.setattr(
            routing, "namespaces", [path(route, consumer.as_asgi()), *routing.namespaces]
        )
        settings.REALTIME = dict(settings.REALTIME)

    return mount


@pytest.fixture
async def page(presence: None, django_user_model: Any) -> AsyncIterator[Client]:
    """A page of the site that is open: the hub runs. It answers what it is asked."""
    ada = await django_user_model.objects.acreate(username="page", is_staff=True)
    async with Client("/orders/7", user=ada) as client, Client("/", user=ada) as other:
        other.answer("ready?", True)
        yield client
    await ensure_hub().close(grace=1)  # while there is a database
