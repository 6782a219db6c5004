"""Who is away counts as there for a while: in the database, for signals, and in the admin."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from realtime.cluster.envelopes import group_name
from tests.clients.wire import eventually, http_client
from tests.clusters import LAYERS, LiveCluster
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.recovery.conftest import KINDS, RECOVERY
from tests.recovery.travellers import DRIVER, NAMESPACE, Driver, Travels, driver_at
from tests.valkey import Valkey

APPLICATION = "tests.site.signalled:application"

# Who is away counts as there all the time.
REALTIME = {"RECOVERY": {**RECOVERY, "PRESENCE_SECONDS": RECOVERY["SECONDS"]}}


@pytest.fixture(scope="module", params=LAYERS)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn, on each layer in turn; nobody stops them."""
    with LiveCluster(
        KINDS, valkey, request.param, realtime=REALTIME, application=APPLICATION
    ) as cluster:
        yield cluster


@pytest.fixture
async def drivers(cluster: LiveCluster) -> AsyncIterator[list[Driver]]:
    """Who looks and does things to others, at each server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(driver_at(server)) for server in cluster]


class Staff:
    """A superuser who uses the admin of a server."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def page(self, model: str, **query: str) -> str:
        """Return the page of a list."""
        response = await self._http.get(f"/admin/realtime/{model}/", params=query)
        assert response.status_code == 200, response.text
        return response.text

    async def disconnect(self, model: str, key: str) -> None:
        """Disconnect a socket, or a room, of a list."""
        await self.page(model)
        response = await self._http.post(
            f"/admin/realtime/{model}/",
            data={"action": "disconnect_socket", "_selected_action": key, "do": "yes"},
            headers={"X-CSRFToken": self._http.cookies["csrftoken"]},
        )
        assert response.status_code == 302, response.text


@asynccontextmanager
async def staff_at(server: LiveServer, driver: Driver, name: str) -> AsyncIterator[Staff]:
    """Log staff in."""
    key = await driver.do("log_in", name, True)
    async with http_client(server, cookies={"sessionid": key}) as http:
        yield Staff(http)


async def rows(driver: Driver, room: str) -> dict[str, dict[str, Any]]:
    """Return what presence has of the sockets in a room, by their sids."""
    found = await driver.do("look_up", NAMESPACE, [room])
    return {row["sid"]: row for row in found}


async def has_rows(driver: Driver, room: str, *expected: dict[str, Any]) -> bool:
    """Tell whether this is what presence has of the sockets in a room."""
    return await rows(driver, room) == {row["sid"]: row for row in expected}


async def away_in(driver: Driver, room: str) -> set[str]:
    """Return who is away, of those who count as there in a room."""
    return {sid for sid, row in (await rows(driver, room)).items() if row["away"]}


async def counted(server: LiveServer, room: str, count: int) -> bool:
    """Tell whether so many count as there in a room, as the HTTP view says."""
    query = str(httpx.QueryParams(namespace=NAMESPACE, room=room))
    response = await asyncio.to_thread(server.get, f"/clients-count?{query}")
    return response.status_code == 200 and response.json() == {"count": count}


async def told_gone(server: LiveServer, sid: str, reason: str) -> None:
    """Wait until a server's signals have told that a socket is gone, which is in no row by then."""
    await server.logged(f'signal disconnected sid={sid} reason="{reason}" present=False')


def signals(server: LiveServer, sid: str) -> list[str]:
    """Return what signals have told of a socket, as far as that has been logged."""
    return re.findall(rf"signal (.*) sid={sid}", server.log)


async def test_who_comes_back_in_time_has_never_left(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str
) -> None:
    """The row stays, and no signal is sent, wherever the client comes back."""
    client = await travel(cluster[0], room)
    others = [await travel(server) for server in cluster]
    own = (await rows(drivers[1], room))[client.sid]
    for here, there in ((0, 1), (1, 0)):
        await client.drop()
        await eventually(lambda there=there: has_rows(drivers[there], room, {**own, "away": True}))
        for server in cluster:
            await eventually(lambda server=server: counted(server, room, 1))
        async with staff_at(cluster[there], drivers[there], f"staff {room}") as staff:
            assert "away for" in await staff.page("socket", q=client.sid, away="1")
        await client.come_back(cluster[there])
        client.has_recovered()
        own["server"] = drivers[there].client.sid(DRIVER)[:6]
        await eventually(lambda here=here: has_rows(drivers[here], room, own))
    for each in (client, *others):
        await drivers[0].do("end", NAMESPACE, [each.sid])
    # Signals are sent in order: with these nothing that was to be told before is still to come.
    for server, each in ((cluster[0], client), *zip(cluster, others, strict=True)):
        await told_gone(server, each.sid, "server namespace disconnect")
    assert signals(cluster[0], client.sid) == ["connected", "disconnected"]
    assert signals(cluster[1], client.sid) == []


@pytest.mark.parametrize("at", [0, 1], ids=KINDS)
async def test_staff_disconnect_who_is_away(
    cluster: LiveCluster, travel: Travels, drivers: list[Driver], room: str, at: int
) -> None:
    """At another server: its session ends at once, and it comes back as a new client."""
    home, there = cluster[at], cluster[1 - at]
    chosen, member, stays = [
        await travel(home, room, *more) for more in ([], [f"{room}, closed"], [])
    ]
    everybody = {client.sid for client in (chosen, member, stays)}
    for client in (chosen, member, stays):
        await client.drop()

    async def all_are_away() -> bool:
        return await away_in(drivers[1 - at], room) == everybody

    await eventually(all_are_away)
    async with staff_at(there, drivers[1 - at], f"staff {room}") as staff:
        await staff.disconnect("socket", chosen.sid)
        await staff.disconnect("room", group_name(NAMESPACE, f"{room}, closed"))
    for client in (chosen, member):
        await told_gone(home, client.sid, r"transport \w+")  # as its hook was, when it dropped
    assert await away_in(drivers[1 - at], room) == {stays.sid}
    for client, server in ((chosen, home), (member, there)):
        await client.come_back(server)
        client.has_lost()
        assert (await client.state())["lost"] is True
    await stays.come_back(there)
    stays.has_recovered()


async def test_away_for_longer_than_it_counts(
    new_server: ServerFactory, kind: str, travel: Travels, room: str
) -> None:
    """It is gone, which is told then. When it comes back after all it counts again."""
    recovery = {**RECOVERY, "PRESENCE_SECONDS": 1}
    server = new_server(kind, realtime={"RECOVERY": recovery}, application=APPLICATION)
    async with driver_at(server) as driver:
        client, other = await travel(server, room), await travel(server, room)
        own = (await rows(driver, room))[client.sid]
        await client.drop()
        await told_gone(server, client.sid, r"transport \w+")
        assert (await rows(driver, room)).keys() == {other.sid}
        await eventually(lambda: counted(server, room, 1))
        await driver.emit([room], 1)
        since = len(server.log)
        await client.come_back()
        client.has_recovered()
        await client.got(1)
        await server.logged(f"signal connected sid={client.sid}", since=since)
        found = await rows(driver, room)
        assert (found.keys(), found[client.sid]["away"]) == ({client.sid, other.sid}, False)
        assert found[client.sid]["connected at"] > own["connected at"]
        assert signals(server, client.sid) == ["connected", "disconnected", "connected"]
        assert signals(server, other.sid) == ["connected"]
