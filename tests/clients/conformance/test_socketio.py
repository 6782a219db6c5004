"""Socket.IO: connect, disconnect and messages."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.wire import DEADLINE, Polling, Wire, open_socket, open_wire, sid_of
from tests.live import LiveServer

# Connect


@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize("auth", [None, {}, {"token": "123"}])
async def test_connect(server: LiveServer, namespace: str, auth: Any) -> None:
    prefix = "" if namespace == "/" else namespace + ","
    async with open_wire(server) as wire:
        payload = "" if auth is None else json.dumps(auth)
        await wire.send(f"40{prefix}{payload}")
        answer = str(await wire.receive())
        assert answer.startswith(f"40{prefix}{{")
        body = json.loads(answer.removeprefix("40" + prefix))
        assert body.keys() == {"sid"}
        assert isinstance(body["sid"], str)
        assert body["sid"] != wire.handshake["sid"]
        expected = json.dumps(auth or {}, separators=(",", ":"))
        assert await wire.receive() == f'42{prefix}["auth",{expected}]'


async def test_connect_with_a_query_in_the_namespace(server: LiveServer) -> None:
    async with open_wire(server) as wire:
        await wire.send("40/custom?token=123,{}")
        assert str(await wire.receive()).startswith("40/custom,")


async def test_connect_to_an_unknown_namespace(server: LiveServer) -> None:
    async with open_wire(server) as wire:
        await wire.send("40/random")
        assert await wire.receive() == '44/random,{"message":"Invalid namespace"}'
        await wire.send("40")
        sid_of(await wire.receive())


async def test_invalid_packet_instead_of_connect(calm: LiveServer) -> None:
    async with open_wire(calm) as wire:
        await wire.send("4abc")
        await wire.closed()


async def test_no_connect_in_time_over_websocket(server: LiveServer) -> None:
    began = time.monotonic()
    async with open_wire(server) as wire:
        with pytest.raises(ConnectionClosed):
            await wire.receive()
    assert time.monotonic() - began > 2, "closed for its CONNECT, not for its heartbeat"


async def test_no_connect_in_time_over_polling(http: httpx.AsyncClient) -> None:
    began = time.monotonic()
    polling = await Polling.open(http)
    async with asyncio.timeout(DEADLINE):
        while (await polling.get()).text == "2":
            await polling.post("3")
    assert time.monotonic() - began > 2, "closed for its CONNECT, not for its heartbeat"
    assert (await polling.get()).status_code == 400


# Disconnect


async def test_disconnect_from_the_main_namespace(server: LiveServer) -> None:
    async with open_socket(server, "/") as (wire, sid):
        assert await wire.receive() == '42["auth",{}]'
        await wire.send("41")
        await server.logged(rf'disconnect .*{sid}.*reason="client namespace disconnect"')
        async with asyncio.timeout(DEADLINE):  # the connection stays
            assert await wire.connection.recv() == "2"


async def join_both(wire: Wire) -> None:
    """Take the greeting of the main namespace, CONNECT to the other, and take that one's."""
    assert await wire.receive() == '42["auth",{}]'
    await wire.join_namespace("/custom")
    assert await wire.receive() == '42/custom,["auth",{}]'


async def test_disconnect_from_a_custom_namespace(calm: LiveServer) -> None:
    async with open_socket(calm, "/") as (wire, _):
        await join_both(wire)
        await wire.send("41/custom,", '42["message","message to main namespace"]')
        assert await wire.receive() == '42["message-back","message to main namespace"]'


# Messages


PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
ATTACHMENTS = [b"\x01\x02\x03", b"\x04\x05\x06"]


@pytest.mark.parametrize(
    ("frames", "answers"),
    [
        (['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']),
        (
            [f'452-["message",{PLACEHOLDERS}]', *ATTACHMENTS],
            [f'452-["message-back",{PLACEHOLDERS}]', *ATTACHMENTS],
        ),
        (
            [f'452-["message",{PLACEHOLDERS}]', b"", b""],
            [f'452-["message-back",{PLACEHOLDERS}]', b"", b""],
        ),
        (['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']),
        (
            [f'452-789["message-with-ack",{PLACEHOLDERS}]', *ATTACHMENTS],
            [f"462-789[{PLACEHOLDERS}]", *ATTACHMENTS],
        ),
        (['420["message-with-ack"]'], ["430[]"]),
        (['42/custom,7["message-with-ack","a"]'], ['43/custom,7["a"]']),
    ],
)
async def test_messages(calm: LiveServer, frames: list[Any], answers: list[Any]) -> None:
    async with open_socket(calm, "/") as (wire, _):
        await join_both(wire)
        await wire.send(*frames)
        assert await wire.receive_many(len(answers)) == answers


@pytest.mark.parametrize("frame", ["4abc", "42{}", '42abc["message-with-ack",1,"2",{"3":[false]}]'])
async def test_invalid_format(calm: LiveServer, frame: str) -> None:
    async with open_socket(calm, "/") as (wire, sid):
        await wire.send(frame)
        await wire.closed()
        await calm.logged(rf'disconnect .*{sid}.*reason="parse error"')
