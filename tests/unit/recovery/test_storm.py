"""Many clients drop, and all come back at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

import realtime
from realtime import NamespaceConsumer
from realtime.outside.process import ensure_hub
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve

CLIENTS = 300
EVENTS = 20


class Watchers(NamespaceConsumer):
    """A namespace whose clients are all in one room."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.join("all")


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Watchers, RECOVERY={"SECONDS": 60, "PRESENCE_SECONDS": 60})


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What any thread asks the database from here on."""
    asked: list[str] = []

    def watch(real: Callable[..., Any]) -> Callable[..., Any]:
        def ask(self: CursorWrapper, sql: str, *args: Any) -> Any:
            asked.append(sql)
            return real(self, sql, *args)

        return ask

    for name in ("execute", "executemany"):
        monkeypatch.setattr(CursorWrapper, name, watch(getattr(CursorWrapper, name)))
    return asked


async def storm(clients: list[Client]) -> None:
    """Let clients drop, miss events, and come back together; each has missed none."""
    for client in clients:
        client.drop()
    for number in range(EVENTS):
        realtime.to("all").emit("said", number)
    sids = [client.sid for client in clients]
    await asyncio.gather(*(client.connect() for client in clients))
    assert [client.sid for client in clients] == sids
    for client in clients:
        assert client.recovered
        assert [(await client.receive())[1] for _ in range(EVENTS)] == [*range(EVENTS)]
    assert not any(client.pending() for client in clients)


async def test_it_asks_no_database(connect: Connect, statements: list[str]) -> None:
    clients = [await connect() for _ in range(CLIENTS)]
    await storm(clients)
    assert not statements


async def test_presence_takes_fewer_statements_than_clients(
    presence: None, connect: Connect, statements: list[str]
) -> None:
    clients = list(await asyncio.gather(*(connect() for _ in range(CLIENTS))))
    hub = ensure_hub()
    await hub.observers.wait_written()
    statements.clear()
    await storm(clients)
    await hub.observers.wait_written()
    assert 0 < len(statements) < CLIENTS
