"""Realtime beside a site's own WebSocket routes and behind its middleware, on every server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.clients.python import TRANSPORTS, connected
from tests.clients.wire import DEADLINE, closed, websocket
from tests.live import LiveServer

Serving = Callable[[str], LiveServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str, str], LiveServer]]:
    """A function that returns a server of a kind with one of the sites, shared by the tests."""
    running: dict[tuple[str, str], LiveServer] = {}
    with ExitStack() as stack:

        def get(kind: str, name: str) -> LiveServer:
            if (kind, name) not in running:
                server = LiveServer(kind, application=f"tests.site.channels:{name}")
                running[kind, name] = stack.enter_context(server)
            return running[kind, name]

        yield get


@pytest.fixture
def serving(kind: str, servers: Callable[[str, str], LiveServer]) -> Serving:
    """A function that returns a server of the test's kind with one of the sites."""
    return lambda name: servers(kind, name)


async def test_routes_of_the_site_come_before_plain_websockets(serving: Serving) -> None:
    server = serving("beside")
    for path in ("/ws/own/", "/ws/lab/"):
        async with websocket(server, path) as own, asyncio.timeout(DEADLINE):
            await own.send('{"n": 1}')
            assert json.loads(await own.recv()) == {"user": "", "content": {"n": 1}}
    await server.logged("WARNING realtime path-claimed-twice path=/ws/lab/ namespace=/lab")
    async with websocket(server, "/ws/") as plain, asyncio.timeout(DEADLINE):
        assert json.loads(await plain.recv()).keys() == {"connected"}
    async with websocket(server, "/ws/nowhere/") as nobody:
        assert (await closed(nobody))[0].code == 4404
    assert "Traceback" not in server.log


@pytest.mark.parametrize("way", TRANSPORTS)
async def test_middleware_around_both_ways(serving: Serving, way: str) -> None:
    server = serving("whole")
    async with connected(server, way, "/lab") as client:
        assert (await client.call("whoami", namespace="/lab"))["authenticated"] is True
        await server.logged(rf"connect namespace=/lab sid={client.sid('/lab')} user=12345")
        answer = await client.call("cart", namespace="/lab")
        assert answer["error"]["code"] == "server_error"
        await server.logged(r"ImproperlyConfigured: This client has no session: middleware")
    assert "user-ignored" not in server.log


async def test_middleware_around_websockets_alone_is_told_of(serving: Serving) -> None:
    server = serving("half")
    async with connected(server, "upgrade", "/lab") as client:
        assert (await client.call("whoami", namespace="/lab"))["authenticated"] is False
        await server.logged(r"WARNING realtime user-ignored connection=\S+ user=12345 message=")
    async with connected(server, "websocket", "/lab") as client:
        assert (await client.call("whoami", namespace="/lab"))["authenticated"] is True
