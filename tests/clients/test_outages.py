"""Clients with a session cookie while the database is away: refused soon, and back later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.javascript import OPTIONS, Node
from tests.clients.python import TRANSPORTS, Client
from tests.clients.wire import (
    DEADLINE,
    PATH,
    closed,
    engine_path,
    engine_query,
    eventually,
    http_client,
)
from tests.clients.wire import websocket as open_websocket
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.services import MariaDB, PostgreSQL

COOKIE = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}
MANY = 60
TIMEOUT = 1.0

OUTAGES = ("postgresql stopped", "postgresql frozen", "mariadb stopped", "mariadb frozen")


@pytest.fixture(params=("daphne", "uvicorn"))
def kind(request: pytest.FixtureRequest) -> str:
    """The servers that answer in ways of their own."""
    return str(request.param)


def service_of(outage: str, request: pytest.FixtureRequest) -> PostgreSQL | MariaDB:
    """Return the database of an outage's name, for this test alone."""
    service: PostgreSQL | MariaDB = request.getfixturevalue(f"new_{outage.split(maxsplit=1)[0]}")
    return service


@contextmanager
def away(service: PostgreSQL | MariaDB, outage: str) -> Iterator[None]:
    """Let the database be away in the block."""
    if outage.endswith("frozen"):
        with service.frozen():
            yield
        return
    service.stop()
    try:
        yield
    finally:
        service.start()


@asynccontextmanager
async def trying(server: LiveServer, node: Node, way: str) -> AsyncIterator[tuple[Any, Client]]:
    """Let both official clients try to connect in the block, as they do by themselves."""
    often = {"reconnectionDelay": 200, "reconnectionDelayMax": 400, "timeout": 60_000}
    options = {**OPTIONS[way], **often, "extraHeaders": COOKIE}
    node.do("open", manager=way, url=server.url, options=options)
    theirs = await node.socket(way, fails=True)
    ours = Client(reconnection=True, reconnection_delay=0.2, reconnection_delay_max=0.4)
    connecting = asyncio.create_task(
        ours.io.connect(
            server.url,
            headers=dict(COOKIE),
            transports=TRANSPORTS[way],
            retry=True,
            wait_timeout=DEADLINE,
        )
    )
    try:
        yield theirs, ours
        await asyncio.wait_for(connecting, DEADLINE)
    finally:
        connecting.cancel()
        await ours.close()


@pytest.mark.parametrize("outage", OUTAGES)
async def test_clients_are_refused_and_come_back(
    kind: str, outage: str, new_server: ServerFactory, node: Node, request: pytest.FixtureRequest
) -> None:
    service = service_of(outage, request)
    server = new_server(kind, database=service.new_database(), realtime={"LOOKUP_TIMEOUT": TIMEOUT})
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(http_client(server))
        with away(service, outage):
            since, start = len(server.log), time.monotonic()
            refused = await asyncio.gather(*(handshake(http) for _ in range(MANY)))
            for answer in refused:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert (await http.get(PATH, params=engine_query())).status_code == 200, "no session"
            await refuse_websockets(server, kind)
            both = {
                way: await stack.enter_async_context(trying(server, node, way))
                for way in ("websocket", "polling")
            }
            for theirs, _ in both.values():
                await theirs.happened("connect_error")
            took = time.monotonic() - start
            lines = server.log[since:].count("lookup-failed")
            assert 1 <= lines <= took + 2
            assert "times=" in server.log[since:]
            assert "Traceback" not in server.log[since:]
        for theirs, ours in both.values():
            await theirs.happened("connect")
            # Its client pauses longer after each attempt that fails.
            await eventually(lambda ours=ours: ours.io.connected, timeout=60)


async def handshake(http: httpx.AsyncClient) -> httpx.Response:
    """Ask for a session on polling, with a cookie."""
    return await http.get(PATH, params=engine_query(), headers=COOKIE)


async def refuse_websockets(server: LiveServer, kind: str) -> None:
    """See that one of Socket.IO is refused before it is open, and a plain one with words."""
    with pytest.raises(InvalidStatus) as caught:
        async with open_websocket(server, engine_path(), additional_headers=COOKIE):
            pass
    assert caught.value.response.status_code == 503
    async with open_websocket(server, "/ws/", additional_headers=COOKIE) as plain:
        close, _ = await closed(plain)
    assert (close.code, close.reason) == (1013, "try again later")


@pytest.mark.parametrize("outage", ["postgresql stopped", "mariadb frozen"])
async def test_a_site_that_lets_them_in_as_nobody(
    kind: str, outage: str, new_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    service = service_of(outage, request)
    settings = {"LOOKUP_TIMEOUT": TIMEOUT, "LOOKUP_FAILURE": "anonymous"}
    server = new_server(kind, database=service.new_database(), realtime=settings)
    with away(service, outage):
        async with http_client(server) as http:
            assert (await handshake(http)).status_code == 200
        async with open_websocket(server, engine_path(), additional_headers=COOKIE) as socket:
            assert str(await socket.recv()).startswith("0{")
        async with open_websocket(server, "/ws/", additional_headers=COOKIE) as plain:
            assert "connected" in str(await plain.recv())
    await server.logged("lookup-failed")
