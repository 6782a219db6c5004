"""What a site's code raises on real servers, and events that nobody claims."""

from __future__ import annotations

import json

import pytest

from tests.clients.javascript import Node
from tests.clients.wire import Polling, Wire, closed, http_client, open_socket, websocket
from tests.conftest import ServerFactory
from tests.live import LOOP_KINDS, LiveServer

pytestmark = pytest.mark.parametrize("kind", LOOP_KINDS, indirect=True)

HOWS = ("exit", "interrupt", "generator exit", "cancel", "group", "recursion", "error")
FAULTS = "/faults"

SERVER_ERROR = {
    "error": {"code": "server_error", "message": "server error", "data": None},
}


async def is_served(wire: Wire) -> bool:
    """Tell whether the client's other namespace is, on the same connection."""
    return bool(await wire.call("/lab", "echo", "here") == "here")


@pytest.mark.parametrize("event", ["raises", "raises later", "raises in a thread"])
async def test_a_handler_is_answered_and_logged(server: LiveServer, event: str) -> None:
    async with open_socket(server) as (wire, _):
        sid = await wire.join_namespace(FAULTS)
        for how in HOWS:
            assert await wire.call(FAULTS, event, how) == SERVER_ERROR, how
            line = rf'error namespace=/faults sid={sid} .*event="?{event}"?\nTraceback'
            await server.logged(line)
        assert await is_served(wire)
    assert server.running


async def test_a_handler_of_a_client_that_polls(server: LiveServer) -> None:
    async with http_client(server) as http:
        client = await Polling.open(http)
        await client.join_namespace(FAULTS)
        for how in HOWS:
            await client.send(f'42/faults,1["raises in a thread","{how}"]')
            assert json.loads((await client.receive()).removeprefix("43/faults,1")) == [
                SERVER_ERROR
            ]


async def test_a_handler_on_the_plain_websocket(server: LiveServer) -> None:
    async with websocket(server, "/ws/faults/") as plain:
        await plain.recv()
        for how in HOWS:
            await plain.send(json.dumps({"event": "raises", "args": [how], "id": 1}))
            assert json.loads(await plain.recv()) == {"ack": 1, "args": [SERVER_ERROR]}


@pytest.mark.parametrize("how", HOWS)
async def test_connect_refuses_its_own_namespace(server: LiveServer, how: str) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send(f'40/faults,{{"fail":"{how}"}}')
        assert await wire.receive() == '44/faults,{"message":"server error"}'
        assert await is_served(wire)
    await server.logged(r"consumer=tests\.site\.faults\.FaultsConsumer")


@pytest.mark.parametrize("how", HOWS)
async def test_the_last_hook_and_callbacks(server: LiveServer, how: str) -> None:
    async with open_socket(server) as (wire, _):
        sid = await wire.join_namespace(FAULTS, {"leave": how})
        await wire.send(f'42/faults,["asks","{how}"]')
        assert await wire.receive() == '42/faults,0["question"]'
        await wire.send("43/faults,0[]")
        await server.logged(rf"ERROR realtime error namespace=/faults sid={sid} .*event=callback")
        await wire.send("41/faults,")
        await server.logged(rf"error namespace=/faults sid={sid} .*event=disconnect")
        assert await is_served(wire)


async def test_receivers_of_signals(server: LiveServer) -> None:
    for how in HOWS:
        async with open_socket(server) as (wire, _):
            sid = await wire.join_namespace(FAULTS)
            assert await wire.call(FAULTS, "joins", how) == "joined"
            line = rf"ERROR realtime error namespace=/faults sid={sid} .*event=room_joined"
            await server.logged(rf"(?s){line}.*{line}")
            assert await is_served(wire)
    assert server.running


async def test_a_consumer_that_cannot_be_made(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        for _ in range(3):
            await wire.send("40/broken,")
            assert await wire.receive() == '44/broken,{"message":"server error"}'
        assert await is_served(wire)
    await server.logged(r"error namespace=/broken .*consumer=tests\.site\.faults\.BrokenConsumer")
    async with websocket(server, "/ws/broken/") as plain:
        close, _ = await closed(plain)
        assert (close.code, close.reason) == (4403, "server error")


# Events that nobody claims


@pytest.mark.parametrize("event", ["unknown", "for members"])
async def test_an_unclaimed_event_is_not_acknowledged(server: LiveServer, event: str) -> None:
    async with open_socket(server, FAULTS) as (wire, _):
        await wire.send(f'42/faults,1["{event}"]', '42/faults,2["last"]')
        assert await wire.receive() == '43/faults,2["pong"]'
    async with websocket(server, "/ws/faults/") as plain:
        await plain.recv()
        for number, name in enumerate((event, "last")):
            await plain.send(json.dumps({"event": name, "id": number}))
        assert json.loads(await plain.recv()) == {"ack": 1, "args": ["pong"]}
    async with http_client(server) as http:
        client = await Polling.open(http)
        await client.join_namespace(FAULTS)
        await client.send(f'42/faults,1["{event}"]', '42/faults,2["last"]')
        assert await client.receive() == '43/faults,2["pong"]'


async def test_the_official_client_tries_again(
    kind: str, new_server: ServerFactory, node: Node
) -> None:
    server = new_server(kind, env={"LOG_LEVEL": "DEBUG"})
    await node.open(server, "websocket")
    retrying = {"retries": 2, "ackTimeout": 100}
    socket = await node.socket("one", FAULTS, options=retrying)
    assert await socket.ask("call", "unknown", timeout=0.1) == ([], "operation has timed out")
    line = rf"DEBUG \S+ unclaimed namespace=/faults sid={socket.sid} .*event=unknown"
    await server.logged(rf"(?s)(?:{line}.*){{3}}")
    assert await socket.call("last") == ["pong"]
