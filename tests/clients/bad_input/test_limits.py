"""Clients that go beyond the limits that a site has set."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.bad_input.conftest import witnessed
from tests.clients.wire import (
    PATH,
    Polling,
    Wire,
    closed,
    engine_path,
    engine_query,
    eventually,
    http_client,
    open_socket,
    open_wire,
    websocket,
)
from tests.conftest import ServerFactory
from tests.live import EVERY_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)

EVENTS, ALLOWED = 5_000, 20


@pytest.fixture
async def strict(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, that lets a client send little of one event."""
    server = shared_server(kind, RATE_LIMITS={"/lab": {"tally": f"{ALLOWED}/h"}})
    async with witnessed(server):
        yield server


async def test_a_flood_beyond_a_rate(strict: LiveServer) -> None:
    since = len(strict.log)
    error = f"more than {ALLOWED}/h of 'tally'"
    refusal = {"error": {"code": "rate_limited", "message": error, "data": None}}
    async with (
        open_socket(strict) as (flooder, sid),
        open_socket(strict) as (neighbour, neighbours_sid),
    ):
        before = (await neighbour.call("/lab", "report"))["limited"]
        events = [f'42/lab,{number}["tally",{number}]' for number in range(EVENTS)]
        flooding = asyncio.create_task(flooder.send(*events))
        for number in range(ALLOWED):
            assert await neighbour.call("/lab", "tally", number) == []
        answers = [str(frame) for frame in await flooder.receive_many(EVENTS)]
        await flooding
        allowed = [f"43/lab,{number}[]" for number in range(ALLOWED)]
        assert answers[:ALLOWED] == allowed
        # Refused at once, in order.
        for number, answer in enumerate(answers[ALLOWED:], ALLOWED):
            head = f"43/lab,{number}["
            assert answer.startswith(head)
            assert json.loads(answer[len(head) - 1 :]) == [refusal]
        assert await flooder.call("/lab", "get tally") == [ALLOWED, 0]
        assert await neighbour.call("/lab", "get tally") == [ALLOWED, 0]
        after = (await neighbour.call("/lab", "report"))["limited"]
        assert after - before == EVENTS - ALLOWED
    log = strict.log[since:]
    assert f"rate-limited namespace=/lab sid={sid}" in log
    assert log.count(f"rate-limited namespace=/lab sid={sid}") < 60, "one a second at most"
    assert f"rate-limited namespace=/lab sid={neighbours_sid}" not in log


MOST = 3


@pytest.fixture
async def narrow(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server that takes few connections from one address; so far it has one, a witness."""
    server = shared_server(kind, MAX_CONNECTIONS_PER_ADDRESS=MOST)
    await eventually(lambda: has_no_clients(server))  # those of an earlier test
    async with witnessed(server):
        yield server


async def has_no_clients(server: LiveServer) -> bool:
    """Tell whether only the client that asks is connected."""
    async with websocket(server, engine_path()) as connection:
        wire = Wire(connection, pong=True)
        try:
            await wire.receive()
        except ConnectionClosed:  # it is one too many itself
            return False
        await wire.join_namespace("/lab")
        stats: dict[str, int] = await wire.call("/lab", "stats")
        return stats["hub_connections"] == 1


@pytest.fixture
async def crowded(narrow: LiveServer) -> AsyncIterator[LiveServer]:
    """One that has as many as it takes."""
    async with open_socket(narrow), http_client(narrow) as http:
        polling = await Polling.open(http)
        yield narrow
        await polling.send("1")


async def test_one_polling_session_too_many(crowded: LiveServer) -> None:
    async with http_client(crowded) as http:
        response = await refused(http)
        assert response.status_code == 403
        assert response.json() == {
            "code": 4,
            "message": f"this address has {MOST} connections already",
        }


@pytest.mark.parametrize("path", [engine_path(), "/ws/lab/"])
async def test_one_websocket_too_many(crowded: LiveServer, path: str) -> None:
    async with websocket(crowded, path) as connection:
        close, frames = await closed(connection)
    reason = f"this address has {MOST} connections already"
    assert close.code == crowded.close_code(1008)
    assert close.reason == ("" if close.code == 1000 and crowded.kind == "daphne" else reason)
    assert frames == []


async def test_who_leaves_makes_room(narrow: LiveServer) -> None:
    async with http_client(narrow) as http:
        polling = await Polling.open(http)
        async with open_wire(narrow, sid=polling.sid) as upgraded:  # still one and the same
            await upgraded.send("2probe")
            assert await upgraded.receive() == "3probe"
            await upgraded.send("5")
            async with websocket(narrow, "/ws/lab/") as plain:
                await plain.recv()
                assert (await refused(http)).status_code == 403
            await eventually(lambda: admitted(http))


async def refused(http: httpx.AsyncClient) -> httpx.Response:
    """Return the answer to a handshake that is one too many."""
    return await http.get(PATH, params=engine_query())


async def admitted(http: httpx.AsyncClient) -> bool:
    """Tell whether a handshake is answered with a session, and leave that session."""
    response = await http.get(PATH, params=engine_query())
    if response.status_code == 403:
        return False
    assert response.status_code == 200
    await Polling(http, json.loads(response.text[1:])).send("1")
    return True
