"""A process that takes no more clients: new ones are sent elsewhere, the others go on."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.wire import (
    PATH,
    Polling,
    closed,
    connect_packet,
    engine_path,
    engine_query,
    eventually,
    http_client,
    open_socket,
    open_wire,
    websocket,
)
from tests.conftest import ServerFactory
from tests.live import EVERY_KIND, PLAIN_ASGI_KINDS, LiveServer
from tests.processes import CLEAN_EXITS

ALL = (*EVERY_KIND, "uvicorn-uvloop", "gunicorn-uvicorn")

pytestmark = pytest.mark.parametrize("kind", ALL, indirect=True)


@pytest.fixture
def server(kind: str, new_server: ServerFactory) -> LiveServer:
    """A server that a test may stop."""
    return new_server(kind)


def check_refusal(response: httpx.Response) -> None:
    """Assert that a handshake was refused, so that its client tries again."""
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json() == {"code": 3, "message": "this server takes no more clients"}


async def test_new_clients_are_sent_elsewhere(server: LiveServer, kind: str) -> None:
    async with (
        open_socket(server) as (wire, _),
        websocket(server, "/ws/lab/") as plain,
        http_client(server) as http,
    ):
        await plain.recv()
        polling = await Polling.open(http)
        await polling.join_namespace("/lab")
        upgrading = await Polling.open(http)
        assert (await http.get("/health/ready")).json() == {"ready": True, "problems": []}
        await wire.call("/lab", "take no more clients")

        check_refusal(await http.get(PATH, params=engine_query()))
        # Who has been told to go may ask through another process: a proxy would take 503 for a
        # fault of that one, and in the end send nobody to any.
        gone = engine_query(sid=f"{polling.sid[:-4]}gone")
        for method in ("GET", "POST"):
            response = await http.request(method, PATH, params=gone)
            assert response.status_code == 400
            assert response.json() == {"code": 1, "message": "Session ID unknown"}
        for path in (engine_path(), "/ws/lab/"):
            with pytest.raises(InvalidStatus) as refused:
                async with websocket(server, path):
                    pass
            response = refused.value.response
            if response.status_code == 503 or kind not in PLAIN_ASGI_KINDS:
                assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["problems"]) == (503, ["draining"])
        live = await http.get("/health/live")
        assert (live.status_code, live.json()) == (200, {"live": True})

        # Those that are there go on: with their requests, and with an upgrade.
        assert await wire.call("/lab", "echo", "ws") == "ws"
        await wire.join_namespace("/orders")
        await plain.send('{"event":"echo","args":["plain"],"id":1}')
        assert await plain.recv() == '{"ack":1,"args":["plain"]}'
        await polling.send('42/lab,1["echo","polling"]')
        assert await polling.receive() == '43/lab,1["polling"]'
        async with open_wire(server, sid=upgrading.sid) as upgraded:
            await upgraded.send("2probe")
            assert await upgraded.receive() == "3probe"
            await upgraded.send("5", connect_packet("/lab"))
            await upgraded.receive()
            assert await upgraded.call("/lab", "echo", "upgraded") == "upgraded"

            # Until they are told.
            waiting = asyncio.create_task(polling.get())
            assert await asyncio.to_thread(server.stop, 30) in CLEAN_EXITS
            for connection in (wire.connection, plain, upgraded.connection):
                close, _ = await closed(connection)
                assert close.code in (server.close_code(1001), 1012), close
            assert (await waiting).text != "1"
    assert "Traceback" not in server.log


async def test_an_acknowledgement_comes_before_the_end(server: LiveServer) -> None:
    """On each transport, from a handler that is at work when its client is to be told."""
    work = '["work until draining"]'
    async with (
        open_socket(server) as (wire, _),
        websocket(server, "/ws/lab/") as plain,
        http_client(server) as http,
    ):
        await plain.recv()
        polling = await Polling.open(http)
        await polling.join_namespace("/lab")
        await wire.send(f"42/lab,5{work}")
        await plain.send('{"event":"work until draining","args":[],"id":6}')
        await polling.send(f"42/lab,7{work}")
        await eventually(lambda: server.log.count("lab works") == 3)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, 30))
        assert await polling.receive() == '43/lab,7["done"]'
        assert await wire.receive() == '43/lab,5["done"]'
        assert await plain.recv() == '{"ack":6,"args":["done"]}'
        assert await stopping in CLEAN_EXITS
    assert server.log.count("lab left") == 3
