"""Engine.IO: handshake, messages, heartbeat and close."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.clients.conformance.conftest import fails_to_open, greeted
from tests.clients.wire import DEADLINE, PATH, Polling, engine_query, open_socket, open_wire, sid_of
from tests.live import LiveServer

HANDSHAKE = {"pingInterval": 300, "pingTimeout": 2500, "maxPayload": 1_000_000}


def check_handshake(handshake: dict[str, Any], upgrades: list[str]) -> None:
    """Assert what stands in an OPEN packet."""
    assert isinstance(handshake.pop("sid"), str)
    assert handshake == {**HANDSHAKE, "upgrades": upgrades}


# Handshake


async def test_polling_handshake(http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query())
    assert response.status_code == 200
    assert response.headers["content-type"].lower() == "text/plain; charset=utf-8"
    assert "no-store" in response.headers["cache-control"]
    assert response.text[0] == "0"
    check_handshake(json.loads(response.text[1:]), ["websocket"])


async def test_websocket_handshake(server: LiveServer) -> None:
    async with open_wire(server) as wire:
        check_handshake(wire.handshake, [])


BAD_QUERIES = [
    ({"transport": "polling"}, 5),
    ({"transport": "polling", "EIO": "abc"}, 5),
    ({"transport": "polling", "EIO": "3"}, 5),
    ({"EIO": "4"}, 0),
    ({"EIO": "4", "transport": "abc"}, 0),
    ({"EIO": "4", "transport": "polling", "sid": "unknown"}, 1),
    ({"EIO": "4", "transport": "websocket"}, 3),
]


@pytest.mark.parametrize(("query", "code"), BAD_QUERIES)
async def test_bad_polling_handshake(
    http: httpx.AsyncClient, query: dict[str, str], code: int
) -> None:
    response = await http.get(PATH, params=query)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"code": code, "message": MESSAGES[code]}


MESSAGES = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_bad_handshake_method(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, PATH, params=engine_query())
    assert (response.status_code, response.json()) == (400, {"code": 2, "message": MESSAGES[2]})


@pytest.mark.parametrize(
    "query",
    ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"],
)
async def test_bad_websocket_handshake(server: LiveServer, query: str) -> None:
    await fails_to_open(server, f"{PATH}?{query}")


# Messages


async def test_polling_one_message(polling: Polling) -> None:
    await greeted(polling)
    response = await polling.post('42["message","hello"]')
    assert (response.status_code, response.text) == (200, "ok")
    response = await polling.get()
    assert (response.status_code, response.text) == (200, '42["message-back","hello"]')


async def test_polling_several_messages(polling: Polling) -> None:
    await greeted(polling)
    await polling.send(*[f'42["message",{number}]' for number in range(40)])
    answers = [await polling.receive() for _ in range(40)]
    assert answers == [f'42["message-back",{number}]' for number in range(40)]


async def test_polling_answers_have_at_most_16_packets(polling: Polling) -> None:
    await greeted(polling)
    await polling.send(*['42["message"]'] * 100)
    received = 0
    while received < 100:
        response = await polling.get()
        packets = response.text.split("\x1e")
        assert 0 < len(packets) <= 16
        received += len(packets)
    assert received == 100


async def test_polling_text_and_binary(polling: Polling) -> None:
    await greeted(polling)
    placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
    await polling.send(f'452-["message",{placeholders}]', "bAQIDBA==", "b")
    answers = [await polling.receive() for _ in range(3)]
    assert answers == [f'452-["message-back",{placeholders}]', "bAQIDBA==", "b"]


@pytest.mark.parametrize("body", ["abc", "", "4\x1e", "7", b"\xff\xfe", "bnot base64"])
async def test_polling_invalid_packet(polling: Polling, body: str | bytes) -> None:
    assert (await polling.post(body)).status_code == 400
    assert (await polling.get()).status_code == 400


@pytest.mark.parametrize("packet", ["0", "2", "5"])
async def test_polling_packet_that_only_servers_send(polling: Polling, packet: str) -> None:
    assert (await polling.post(packet)).status_code in (200, 400)
    assert await polling.is_gone()


async def test_polling_duplicate_get(polling: Polling) -> None:
    await greeted(polling)
    async with asyncio.timeout(DEADLINE):
        responses = await asyncio.gather(polling.get(), polling.get())
    first, second = sorted(responses, key=lambda response: response.status_code)
    assert (first.status_code, first.text) == (200, "1")
    assert second.status_code == 400
    assert (await polling.get()).status_code == 400


async def test_websocket_messages(calm: LiveServer) -> None:
    async with open_socket(calm, "/") as (wire, _):
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'
        await wire.send('451-["message",{"_placeholder":true,"num":0}]', b"\x01\x02\x03\x04")
        head = '451-["message-back",{"_placeholder":true,"num":0}]'
        assert await wire.receive_many(2) == [head, b"\x01\x02\x03\x04"]


async def test_websocket_invalid_packet(calm: LiveServer) -> None:
    async with open_wire(calm) as wire:
        await wire.send("abc")
        await wire.closed()


# Heartbeat


async def test_polling_pings(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    for _ in range(3):
        response = await polling.get()
        assert (response.status_code, response.text) == (200, "2")
        assert (await polling.post("3")).text == "ok"


async def test_polling_ping_timeout(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace()
    await server.logged(rf'disconnect .*{sid}.*reason="ping timeout"')
    response = await polling.get()
    assert (response.status_code, response.json()["code"]) == (400, 1)


async def test_websocket_pings(server: LiveServer) -> None:
    async with open_wire(server, pong=False) as wire:
        for _ in range(3):
            assert await wire.receive() == "2"
            await wire.send("3")


async def test_websocket_ping_timeout(server: LiveServer) -> None:
    async with open_wire(server, pong=False) as wire:
        await wire.send("40")
        _, frames = await wire.closed()
        assert frames.count("2") == 1
        connected, greeting = [frame for frame in frames if frame != "2"]
        assert greeting == '42["auth",{}]'
        sid = sid_of(connected)
        await server.logged(rf'disconnect .*{sid}.*reason="ping timeout"')


# Close


async def test_polling_close(polling: Polling) -> None:
    await greeted(polling)
    waiting = asyncio.ensure_future(polling.get())
    response = await polling.post("1")
    assert (response.status_code, response.text) == (200, "ok")
    async with asyncio.timeout(DEADLINE):
        released = await waiting
    # The request that waited is let go with a noop; one that came later finds nobody.
    assert (released.status_code, released.text) in [(200, "6"), (400, released.text)]
    assert (await polling.get()).status_code == 400


async def test_websocket_close(calm: LiveServer) -> None:
    async with open_socket(calm, "/") as (wire, sid):
        await wire.send("1")
        await wire.closed()
        await calm.logged(rf'disconnect .*{sid}.*reason="transport close"')
