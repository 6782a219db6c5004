"""
What the official test suites expect of a server, with raw HTTP and raw WebSocket frames.

The suites: https://github.com/socketio/engine.io-protocol/tree/main/test-suite and
https://github.com/socketio/socket.io-protocol/tree/main/test-suite. They speak to a bare Engine.IO
server in part; here an event that is sent back stands for the bare message that is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.clients.wire import (
    PATH,
    Polling,
    Wire,
    closed,
    engine_path,
    engine_query,
    http_client,
    open_socket,
    open_wire,
    sid_of,
    websocket,
)
from tests.conftest import ServerFactory
from tests.live import LiveServer

SUITE = {
    "NAMESPACES": "tests.site.routing.conformance",
    "PING_INTERVAL": 0.3,
    "PING_TIMEOUT": 0.2,
    "CONNECT_TIMEOUT": 1.5,
}


@pytest.fixture
def server(kind: str, shared_server: ServerFactory) -> LiveServer:
    """A server with what the suites ask for: fast pings, and namespaces that send back."""
    return shared_server(kind, **SUITE)


@pytest.fixture
def calm(kind: str, shared_server: ServerFactory) -> LiveServer:
    """The same with slow pings, for what must not be disturbed by them."""
    return shared_server(kind, NAMESPACES=SUITE["NAMESPACES"])


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(server) as client:
        yield client


@pytest.fixture
async def polling(calm: LiveServer) -> AsyncIterator[Polling]:
    """A long-polling session whose pings are far away."""
    async with http_client(calm) as client:
        yield await Polling.open(client)


HANDSHAKE = {"pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}


def check_handshake(handshake: dict[str, Any], upgrades: list[str]) -> None:
    """Assert what stands in an OPEN packet."""
    assert isinstance(handshake.pop("sid"), str)
    assert handshake == {**HANDSHAKE, "upgrades": upgrades}


# Engine.IO: handshake


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


async def fails_to_open(server: LiveServer, path: str) -> None:
    """Assert that a WebSocket handshake is refused, or that nothing but a close follows it."""
    status = None
    try:
        async with websocket(server, path) as connection:
            _, frames = await closed(connection)
            assert frames == []
    except InvalidStatus as refused:
        status = refused.response.status_code
    assert status in (None, 400, 403)


# Engine.IO: messages


async def greeted(polling: Polling) -> None:
    """CONNECT to the main namespace and take what follows."""
    await polling.join_namespace()
    assert await polling.receive() == '42["auth",{}]'


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
    async with asyncio.timeout(5):
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


# Engine.IO: heartbeat


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
    async with open_socket(server, "/", pong=False) as (wire, sid):
        _, frames = await wire.closed()
        assert frames == ['42["auth",{}]', "2"]
        await server.logged(rf'disconnect .*{sid}.*reason="ping timeout"')


# Engine.IO: close


async def test_polling_close(polling: Polling) -> None:
    await greeted(polling)
    waiting = asyncio.ensure_future(polling.get())
    response = await polling.post("1")
    assert (response.status_code, response.text) == (200, "ok")
    async with asyncio.timeout(5):
        released = await waiting
    # The request that waited is let go with a noop; one that came later finds nobody.
    assert (released.status_code, released.text) in [(200, "6"), (400, released.text)]
    assert (await polling.get()).status_code == 400


async def test_websocket_close(calm: LiveServer) -> None:
    async with open_socket(calm, "/") as (wire, sid):
        await wire.send("1")
        await wire.closed()
        await calm.logged(rf'disconnect .*{sid}.*reason="transport close"')


# Engine.IO: upgrade


def probe(server: LiveServer, polling: Polling) -> AbstractAsyncContextManager[Wire]:
    """Open the WebSocket of an upgrade."""
    return open_wire(server, sid=polling.sid)


async def probed(wire: Wire) -> None:
    """Send the probe and take its answer."""
    await wire.send("2probe")
    assert await wire.receive() == "3probe"


async def test_upgrade(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        response = await polling.get()
        assert (response.status_code, response.text) == (200, "6")
        await wire.send("5", "40")
        sid_of(await wire.receive())
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_upgrade_of_a_connected_session(calm: LiveServer, polling: Polling) -> None:
    await greeted(polling)
    waiting = asyncio.ensure_future(polling.get())
    async with probe(calm, polling) as wire:
        await probed(wire)
        async with asyncio.timeout(5):
            assert (await waiting).text == "6"
        await wire.send("5", '421["message-with-ack","hello"]')
        assert await wire.receive() == '431["hello"]'


async def test_nothing_is_lost_or_doubled_by_an_upgrade(calm: LiveServer, polling: Polling) -> None:
    await greeted(polling)
    async with probe(calm, polling) as wire:
        await wire.send("2probe")
        await polling.send(*[f'42["message",{number}]' for number in range(20)])
        answers: list[Any] = []
        assert await wire.receive() == "3probe"
        while (response := await polling.get()).text != "6":
            answers += response.text.split("\x1e")
        await polling.send('42["message",20]')
        await wire.send("5", '42["message",21]')
        while len(answers) < 22:
            answers.append(await wire.receive())
        assert answers == [f'42["message-back",{number}]' for number in range(22)]


async def test_http_after_the_upgrade(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        await wire.send("5", "40")
        sid_of(await wire.receive())
        for response in (await polling.get(), await polling.post('42["message"]')):
            assert response.status_code == 400
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_websocket_after_the_upgrade(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        await wire.send("5", "40")
        sid_of(await wire.receive())
        await fails_to_open(calm, engine_path(sid=polling.sid))
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_websocket_with_an_unknown_sid(calm: LiveServer) -> None:
    await fails_to_open(calm, engine_path(sid="unknown"))


@pytest.mark.parametrize("frame", ["5", "2", "2other", "4message", "abc", b"bytes"])
async def test_bad_probe_leaves_the_session_alive(
    calm: LiveServer, polling: Polling, frame: str | bytes
) -> None:
    async with probe(calm, polling) as wire:
        await wire.send(frame)
        await wire.closed()
    await greeted(polling)


async def test_lost_probe_leaves_the_session_alive(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
    await greeted(polling)


async def test_unfinished_upgrade_times_out(kind: str, shared_server: ServerFactory) -> None:
    server = shared_server(kind, NAMESPACES=SUITE["NAMESPACES"], UPGRADE_TIMEOUT=0.5)
    async with http_client(server) as http:
        polling = await Polling.open(http)
        async with probe(server, polling) as wire:
            await probed(wire)
            await wire.closed()
        await greeted(polling)


# Socket.IO: connect


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


async def test_invalid_packet_instead_of_connect(server: LiveServer) -> None:
    async with open_wire(server) as wire:
        await wire.send("4abc")
        await wire.closed()


async def test_no_connect_in_time_over_websocket(server: LiveServer) -> None:
    began = time.monotonic()
    async with open_wire(server) as wire:
        with pytest.raises(ConnectionClosed):
            await wire.receive()
    assert time.monotonic() - began > 1, "closed for its CONNECT, not for its heartbeat"


async def test_no_connect_in_time_over_polling(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    pings = 0
    async with asyncio.timeout(5):
        while (await polling.get()).text == "2":
            pings += 1
            await polling.post("3")
    assert pings > 2
    assert (await polling.get()).status_code == 400


# Socket.IO: disconnect


async def test_disconnect_from_the_main_namespace(server: LiveServer) -> None:
    async with open_socket(server, "/", pong=False) as (wire, sid):
        assert await wire.receive() == '42["auth",{}]'
        await wire.send("41")
        assert await wire.receive() == "2"
        await server.logged(rf'disconnect .*{sid}.*reason="client namespace disconnect"')


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


# Socket.IO: messages


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
