"""Official clients with default options, behind a proxy that leads their requests in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.crowd import Crowd, crowd
from tests.clients.wire import eventually
from tests.clusters import LAYERS, LiveCluster
from tests.nginx import Nginx
from tests.valkey import Valkey

KINDS = ("daphne", "uvicorn", "uvicorn-uvloop")
CLIENTS, EVENTS = 9, 5

# A machine that stands still is no reason to stay on polling.
UPGRADE_TIMEOUT = 120


@pytest.fixture(params=LAYERS)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    realtime = {"UPGRADE_TIMEOUT": UPGRADE_TIMEOUT}
    with LiveCluster(KINDS, valkey, request.param, realtime=realtime) as cluster:
        yield cluster


async def test_all_come_to_a_websocket(cluster: LiveCluster) -> None:
    """Without a reconnect, whichever process their WebSocket has reached."""
    with Nginx(*(server.port for server in cluster)) as proxy:
        load = {"clients": CLIENTS, "events": EVENTS, "auth": {}}
        async with crowd(proxy.url, "/lab", **load) as people:
            await people.said("upgraded")
            await people.said("emitted")
            clients = await _settled(people)
    assert [client["transport"] for client in clients] == ["websocket"] * CLIENTS
    assert [client["left"] for client in clients] == [[]] * CLIENTS
    assert [len(client["sids"]) for client in clients] == [1] * CLIENTS
    assert [client["answers"] for client in clients] == [list(range(EVENTS))] * CLIENTS
    assert any("taken-over" in server.log for server in cluster)


async def _settled(people: Crowd) -> list[dict[str, Any]]:
    """Return what the clients have seen, once each has got all its answers."""
    clients: list[dict[str, Any]] = []

    async def answered() -> bool:
        clients[:] = await people.describe()
        return all(len(client["answers"]) == EVENTS for client in clients)

    await eventually(answered)
    return clients
