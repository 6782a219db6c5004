"""
What a server answers to what it should never get. Beside each of these tests a witness, a client
that behaves, loses nothing and notices nothing, and the server logs no traceback.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.clients.wire import (
    DEADLINE,
    PATH,
    SEPARATOR,
    DeafClient,
    Frame,
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
from tests.live import HOST, LiveServer

MEBIBYTE = 1024 * 1024
MAX_PAYLOAD = 1_000_000
FRIEND = "https://friend.example"
FOREIGN = "https://foreign.example"

# How long the witness may wait for an answer while the server is busy with somebody else.
PATIENCE = 5.0


@asynccontextmanager
async def witnessed(server: LiveServer) -> AsyncIterator[LiveServer]:
    """Keep a client echoing on a server; at the end, assert that it missed nothing."""
    since = len(server.log)
    done = asyncio.Event()

    async def echo(wire: Wire) -> int:
        number = 0
        while not done.is_set():
            async with asyncio.timeout(PATIENCE):
                assert await wire.call("/lab", "echo", number) == number
            number += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.01)
        return number

    async with open_socket(server) as (wire, _):
        echoing = asyncio.create_task(echo(wire))
        try:
            yield server
        finally:
            done.set()
            assert await echoing > 0
    assert "Traceback" not in server.log[since:]


@pytest.fixture
async def server(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, small limits and one foreign site that it lets in."""
    limits = {"CORS_ORIGINS": [FRIEND], "OUTBOX_BYTES": MEBIBYTE, "INBOX_EVENTS": 10_000}
    async with witnessed(shared_server(kind, **limits)) as server:
        yield server


@pytest.fixture
async def hasty(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, and little patience."""
    times = {"PING_INTERVAL": 0.5, "PING_TIMEOUT": 0.5, "CONNECT_TIMEOUT": 0.5}
    async with witnessed(shared_server(kind, **times)) as server:
        yield server


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(server) as client:
        yield client


# Broken packets

DEEP = 100_000
PLACEHOLDER = '{"_placeholder":true,"num":0}'

BAD_ENGINE_PACKETS: list[Frame] = ["", "abc", "7", "-1", "\x00", "é", "{}", "0", "0{}", "2", "5"]

BAD_SOCKET_PACKETS: list[tuple[Frame, ...]] = [
    ("4",),
    ("4abc",),
    ("47",),
    ("49[]",),
    ("4é",),
    # CONNECT, DISCONNECT and CONNECT_ERROR
    ("40/lab,",),
    ("40/orders,[1]",),
    ('40/orders,"x"',),
    ("40/orders,1",),
    ("40/orders,{",),
    ("41/lab,{}",),
    ("41/lab,1",),
    ('44/lab,{"message":"x"}',),
    # EVENT
    ("42/lab",),
    ("42/lab,",),
    ("42/lab,{}",),
    ("42/lab,[]",),
    ("42/lab,[true]",),
    ("42/lab,[null]",),
    ('42/lab,[["echo"]]',),
    ('42/lab,"echo"',),
    ('42/lab,["connect"]',),
    ('42/lab,["connect_error"]',),
    ('42/lab,["disconnect"]',),
    ('42/lab,["disconnecting"]',),
    ('42/lab,["newListener"]',),
    ('42/lab,["removeListener"]',),
    ('42/lab,["echo"',),
    ('42/lab,["echo"]x',),
    ('42/lab,["echo",NaN]',),
    ('42/lab,["echo",]',),
    ("42/lab,['echo']",),
    ('42/lab,-1["echo"]',),
    ('42/lab,abc["echo"]',),
    ('42/lab,99999999999999999999["echo"]',),
    ("42/lab," + "9" * 10_000 + '["echo"]',),
    ('42/lab,["echo",' + "[" * DEEP + "]" * DEEP + "]",),
    ('42/lab,["echo",' + '{"a":' * DEEP + "1" + "}" * DEEP + "]",),
    ("42/lab," + "[" * DEEP,),
    # ACK
    ("43/lab,[1]",),
    ("43/lab,1",),
    ("43/lab,1{}",),
    ("43/lab,99999999999999999999[]",),
    # Binary: counts, placeholders and attachments
    ('45/lab,["echo"]',),
    ('45-/lab,["echo"]',),
    ('451/lab,["echo"]',),
    ('45x-/lab,["echo"]',),
    ('45-1-/lab,["echo"]',),
    (f'4599999999999-/lab,["echo",{PLACEHOLDER}]',),
    (f'451000000-/lab,["echo",{PLACEHOLDER}]',),
    ('451-/lab,["echo",{"_placeholder":true,"num":1}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true,"num":-1}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true,"num":"0"}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true,"num":0.5}]', b"x"),
    ('451-/lab,["echo",{"_placeholder":true}]', b"x"),
    ("451-/lab,{}", b"x"),
    (f"461-/lab,[{PLACEHOLDER}]", b"x"),
    (b"",),
    (b"binary without a header",),
    (f'451-/lab,["echo",{PLACEHOLDER}]', '42/lab,["echo"]'),
    (f'452-/lab,["echo",{PLACEHOLDER}]', b"one of two", '42/lab,["echo"]'),
]

BAD_INPUTS = [*((packet,) for packet in BAD_ENGINE_PACKETS), *BAD_SOCKET_PACKETS]


def short(frames: tuple[Frame, ...]) -> str:
    """Return frames as a test's report shows them."""
    return repr(frames)[:100]


async def test_broken_packets_over_websocket(server: LiveServer) -> None:
    harmless = []
    for frames in BAD_INPUTS:
        async with open_socket(server) as (wire, sid):
            try:
                await wire.send(*frames)
                await wire.closed(timeout=3)
                await server.logged(rf'disconnect .*{sid}.*reason="parse error"')
            except TimeoutError:
                harmless.append(short(frames))
    assert harmless == []


def polling_body(frames: tuple[Frame, ...]) -> str:
    """Return a payload."""
    return SEPARATOR.join("beA==" if isinstance(frame, bytes) else frame for frame in frames)


async def test_broken_packets_over_polling(server: LiveServer, http: httpx.AsyncClient) -> None:
    harmless = []
    for frames in BAD_INPUTS:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/lab")
        response = await polling.post(polling_body(frames))
        if response.status_code not in (200, 400) or not await polling.is_gone():
            harmless.append(short(frames))
        else:
            await server.logged(rf'disconnect .*{sid}.*reason="parse error"')
    assert harmless == []


@pytest.mark.parametrize(
    "packet", ['42["echo"]', "41", "430[]", '42/lab,["echo"]', '44{"message":"x"}', b"bytes"]
)
async def test_packets_before_connect(server: LiveServer, packet: Frame) -> None:
    async with open_wire(server) as wire:
        await wire.send(packet)
        await wire.closed()


async def test_packets_after_the_server_closed_the_namespace(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.join_namespace("/orders")
        await wire.send('42/lab,["kick"]', '42/lab,1["echo","too late"]', "41/lab,")
        assert await wire.receive() == "41/lab,"
        await wire.join_namespace("/lab")
        assert await wire.call("/lab", "echo", "again") == "again"


async def test_random_frames(server: LiveServer) -> None:
    chance = random.Random(3)
    for size in [chance.randint(1, 2000) for _ in range(60)]:
        noise = chance.randbytes(size)
        async with open_wire(server) as wire:
            # Nothing in it is a whole packet, so whatever it is, nobody may stay connected by it.
            await wire.send("40/lab," + noise.decode("latin-1") if size % 2 else noise)
            await wire.closed()


async def test_random_bodies(http: httpx.AsyncClient) -> None:
    chance = random.Random(4)
    for size in [chance.randint(1, 2000) for _ in range(60)]:
        polling = await Polling.open(http)
        assert (await polling.post(b"\xff" + chance.randbytes(size))).status_code == 400
        assert await polling.is_gone()


async def test_random_bytes_on_a_socket(server: LiveServer) -> None:
    chance = random.Random(5)
    for _ in range(20):
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(chance.randbytes(500) + b"\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            with suppress(ConnectionError):
                await reader.read()
        writer.close()


async def test_random_bytes_after_the_websocket_handshake(server: LiveServer) -> None:
    chance = random.Random(6)
    for _ in range(20):
        client = await DeafClient.open(server, engine_path())
        client.write(b"\xff" + chance.randbytes(500))
        await client.ended()


# Sizes


async def in_chunks(size: int) -> AsyncIterator[bytes]:
    """Give a body in pieces, so that no header tells its length."""
    yield b"4"
    for _ in range(size // 10_000):
        yield b"x" * 10_000


@pytest.mark.parametrize("size", [MAX_PAYLOAD, 5 * MAX_PAYLOAD])
@pytest.mark.parametrize("make", [lambda size: b"4" + b"x" * size, in_chunks])
async def test_oversize_body(
    http: httpx.AsyncClient, make: Callable[[int], Any], size: int
) -> None:
    polling = await Polling.open(http)
    assert (await polling.post(make(size))).status_code == 413


async def test_body_of_just_the_size(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    head, tail = '42/lab,1["nothing","', '"]'
    text = "x" * (MAX_PAYLOAD - len(head) - len(tail))
    await polling.send(head + text + tail)
    assert await polling.receive() == "43/lab,1[]"


@pytest.mark.parametrize("size", [MAX_PAYLOAD, 20 * MAX_PAYLOAD])
@pytest.mark.parametrize("kind_of_frame", ["text", "binary"])
async def test_oversize_frame(server: LiveServer, size: int, kind_of_frame: str) -> None:
    async with open_socket(server) as (wire, sid):
        frame = "4" + "x" * size
        with suppress(ConnectionClosed):
            await wire.send(frame if kind_of_frame == "text" else frame.encode())
        code, _ = await wire.closed()
        # A server that resets the connection can lose its own close frame.
        assert code in ((1009,) if size == MAX_PAYLOAD else (1009, 1006))
        await server.logged(rf"disconnect .*{sid}")


async def test_attachments_beyond_the_size_of_a_packet(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        with suppress(ConnectionClosed):
            await wire.send(f'4550-/lab,["echo",{PLACEHOLDER}]', *[bytes(MAX_PAYLOAD)] * 50)
        await wire.closed()
        await server.logged(rf"disconnect .*{sid}")


# Handshakes


@pytest.mark.parametrize(
    ("method", "query", "code", "message"),
    [
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=carrier-pigeon", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=POLLING", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=%00%ff", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=__proto__", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=%00%ff%0a", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=" + "x" * 4000, 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        ("GET", "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=5&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=4%00&transport=polling", 5, "Unsupported protocol version"),
    ],
)
async def test_bad_requests(
    http: httpx.AsyncClient, method: str, query: str, code: int, message: str
) -> None:
    response = await http.request(method, f"{PATH}?{query}")
    assert response.status_code == 400
    assert response.json() == {"code": code, "message": message}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_bad_method_on_a_session(http: httpx.AsyncClient, method: str) -> None:
    polling = await Polling.open(http)
    response = await http.request(method, PATH, params=engine_query(sid=polling.sid))
    assert (response.status_code, response.json()["code"]) == (400, 3)
    await polling.join_namespace("/lab")


async def test_polling_session_asked_as_websocket(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    response = await http.get(PATH, params=engine_query("websocket", sid=polling.sid))
    assert (response.status_code, response.json()["code"]) == (400, 3)
    await polling.join_namespace("/lab")


async def test_socket_sid_is_no_session_id(server: LiveServer, http: httpx.AsyncClient) -> None:
    async with open_socket(server) as (_, sid):
        response = await http.get(PATH, params=engine_query(sid=sid))
        assert (response.status_code, response.json()["code"]) == (400, 1)


async def test_binary_content_type(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    headers = {"content-type": "application/octet-stream"}
    assert (await polling.post(b"4abc", headers=headers)).status_code == 400


# Origins


async def test_foreign_origin_over_polling(http: httpx.AsyncClient) -> None:
    for origin in (FOREIGN, "null", "https://friend.example.evil", "http://friend.example", "x"):
        response = await http.get(PATH, params=engine_query(), headers={"origin": origin})
        assert response.status_code == 403, origin
        assert response.json() == {"code": 4, "message": "Forbidden"}
        assert "access-control-allow-origin" not in response.headers


async def test_foreign_origin_over_websocket(server: LiveServer) -> None:
    for origin in (FOREIGN, "null", "http://127.0.0.1.evil"):
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(server, engine_path(), origin=origin):
                pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", [engine_path(), "/ws/lab/"])
async def test_own_and_friendly_origins_over_websocket(server: LiveServer, path: str) -> None:
    for origin in (server.url, FRIEND):
        async with websocket(server, path, origin=origin) as connection:
            assert await connection.recv()


async def test_own_origin_over_polling(server: LiveServer, http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query(), headers={"origin": server.url})
    assert response.status_code == 200


async def test_friendly_origin_over_polling(http: httpx.AsyncClient) -> None:
    http.headers["origin"] = FRIEND
    polling = await Polling.open(http)
    for response in (await polling.post("40/lab,"), await polling.get(), await polling.post("")):
        assert response.headers["access-control-allow-origin"] == FRIEND
        assert response.headers["access-control-allow-credentials"] == "true"
        assert "origin" in response.headers["vary"].lower()


async def test_preflight(http: httpx.AsyncClient) -> None:
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "x-token"}
    allowed = await http.options(PATH, params=engine_query(), headers={"origin": FRIEND, **wish})
    assert allowed.status_code in (200, 204)
    assert allowed.headers["access-control-allow-origin"] == FRIEND
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert {"GET", "POST"} <= set(allowed.headers["access-control-allow-methods"].split(", "))
    assert "x-token" in allowed.headers["access-control-allow-headers"]
    refused = await http.options(PATH, params=engine_query(), headers={"origin": FOREIGN, **wish})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_wrong_host(http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query(), headers={"host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (403, 4)


# Numbers


async def test_connect_to_10000_unknown_namespaces(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        names = [f"/unknown-{number}" for number in range(10_000)]
        sending = asyncio.create_task(wire.send(*[f"40{name}," for name in names]))
        answers = await wire.receive_many(len(names))
        assert answers == [f'44{name},{{"message":"Invalid namespace"}}' for name in names]
        await sending
        assert await wire.call("/lab", "echo", "alive") == "alive"


async def test_connect_to_10000_known_namespaces(server: LiveServer) -> None:
    async with open_wire(server) as wire:
        sending = asyncio.create_task(wire.send(*[f"40/typed/{n}," for n in range(10_000)]))
        accepted = refused = 0
        with suppress(ConnectionClosed):
            while accepted + refused < 10_000:
                frame = str(await wire.receive())
                accepted += frame.startswith("40")
                refused += frame.startswith("44")
        assert accepted <= 100
        with suppress(ConnectionClosed):
            await sending


async def test_10000_events_at_once_over_websocket(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        events = [f'42/lab,{number}["echo",{number}]' for number in range(10_000)]
        sending = asyncio.create_task(wire.send(*events))
        answers = await wire.receive_many(len(events))
        assert answers == [f"43/lab,{number}[{number}]" for number in range(10_000)]
        await sending


async def test_10000_events_at_once_over_polling(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    events = [f'42/lab,{number}["echo",{number}]' for number in range(10_000)]
    sending = asyncio.create_task(polling.send(*events))
    answers = [await polling.receive() for _ in events]
    assert answers == [f"43/lab,{number}[{number}]" for number in range(10_000)]
    await sending


async def test_more_events_than_may_wait(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        with suppress(ConnectionClosed):
            await wire.send('42/lab,["sleep",1]', *['42/lab,["nothing"]'] * 20_000)
        await wire.closed()
        await server.logged(rf"inbox-full .*{sid}")
        await server.logged(rf'disconnect .*{sid}.*reason="forced server close"')


async def test_500_connections_at_once(server: LiveServer) -> None:
    async def come_and_go() -> None:
        async with open_socket(server) as (wire, _):
            assert await wire.call("/lab", "echo", 1) == 1

    await asyncio.gather(*(come_and_go() for _ in range(500)))


# Clients that stop answering, reading or talking


async def test_half_open_client(hasty: LiveServer) -> None:
    client = await DeafClient.open(hasty, engine_path())
    sid = await client.join_namespace("/lab")
    await hasty.logged(rf'disconnect .*{sid}.*reason="ping timeout"')
    await hasty.logged(rf'lab left sid={sid} reason="ping timeout"')
    await client.ended()


async def test_silent_polling_client(hasty: LiveServer) -> None:
    async with http_client(hasty) as http:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/lab")
        await hasty.logged(rf'disconnect .*{sid}.*reason="ping timeout"')
        assert await polling.is_gone()


async def test_client_that_never_connects(hasty: LiveServer) -> None:
    began = time.monotonic()
    async with open_wire(hasty) as wire, http_client(hasty) as http:
        polling = await Polling.open(http)
        await wire.closed()
        await eventually(polling.is_gone)
    assert time.monotonic() - began < 3


async def test_client_that_was_refused_and_stays(hasty: LiveServer) -> None:
    async with open_wire(hasty) as wire:
        await wire.send("40/refused,")
        assert str(await wire.receive()).startswith("44/refused,")
        with pytest.raises(ConnectionClosed):
            await wire.receive()


async def test_websocket_that_never_probes(kind: str, shared_server: ServerFactory) -> None:
    server = shared_server(kind, UPGRADE_TIMEOUT=0.5)
    async with witnessed(server), http_client(server) as http:
        polling = await Polling.open(http)
        async with open_wire(server, sid=polling.sid) as wire:
            await wire.closed()
        await polling.join_namespace("/lab")


BATCH, SIZE = 20, 20_000


async def flood(server: LiveServer, room: str, batches: int) -> None:
    """Send batches of messages into a room whose other member reads them all."""
    text = "x" * SIZE
    async with (
        open_socket(server) as (source, _),
        open_socket(server, auth={"room": room}) as (member, _),
    ):
        for _ in range(batches):
            await source.call("/lab", "flood", BATCH, SIZE, room)
            frames = await member.receive_many(BATCH)
            assert frames == [f'42/lab,["flood",{n},"{text}"]' for n in range(BATCH)]


async def grows_little(
    server: LiveServer, work: Callable[[], Awaitable[Any]], most: int = 24 * MEBIBYTE
) -> None:
    """Assert that the server's memory stays within bounds while something happens."""
    before = highest = server.rss()
    task = asyncio.ensure_future(work())
    while not task.done():
        await asyncio.wait([task], timeout=0.05)
        highest = max(highest, server.rss())
    await task
    assert highest - before < most, f"grew by {(highest - before) / MEBIBYTE:.1f} MiB"


async def test_never_reading_websocket_under_a_flood(server: LiveServer) -> None:
    await flood(server, "warm-up", 5)
    clients = [await DeafClient.open(server, engine_path()) for _ in range(5)]
    sids = [await client.join_namespace("/lab", {"room": "deaf"}) for client in clients]
    await grows_little(server, lambda: flood(server, "deaf", 60))
    for client, sid in zip(clients, sids, strict=True):
        await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
        client.abort()
    assert "slow-client" in server.log


async def test_never_polling_client_under_a_flood(
    server: LiveServer, http: httpx.AsyncClient
) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab", {"room": "lazy"})
    await grows_little(server, lambda: flood(server, "lazy", 5))
    await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
    assert await polling.is_gone()


async def test_never_reading_client_that_asks_a_lot(server: LiveServer) -> None:
    client = await DeafClient.open(server, engine_path())
    sid = await client.join_namespace("/lab")
    question = '42/lab,1["echo","' + "x" * 50_000 + '"]'

    async def ask() -> None:
        with suppress(TimeoutError, ConnectionError):
            for _ in range(2000):
                client.send(question)
                await asyncio.wait_for(client.writer.drain(), 2)

    await grows_little(server, ask)
    client.abort()
    await server.logged(rf"disconnect .*{sid}")


# Two requests of one polling session at once


async def test_two_polls_at_once(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab")
    responses = await asyncio.gather(polling.get(), polling.get())
    assert sorted(response.status_code for response in responses) == [200, 400]
    await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
    assert await polling.is_gone()


async def test_two_posts_at_once(server: LiveServer, http: httpx.AsyncClient, kind: str) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab")
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"42/lab,"
        started.set()
        await go_on.wait()
        yield b'1["echo"]'

    first = asyncio.create_task(polling.post(slowly()))
    await started.wait()
    if kind == "daphne":
        # It gives nobody a request before its body is complete: they follow each other.
        await polling.send("3")
        go_on.set()
        assert (await first).text == "ok"
        assert await polling.receive() == "43/lab,1[]"
        return
    second = await eventually(lambda: overlap(polling))
    assert second.status_code == 400
    go_on.set()
    with suppress(httpx.TransportError):
        assert (await first).status_code == 400
    await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
    assert await polling.is_gone()


async def overlap(polling: Polling) -> httpx.Response | None:
    """Send a POST; return the answer once the server sees that another one is under way."""
    response = await polling.post("3")
    return None if response.status_code == 200 else response


async def test_poll_that_hangs_up(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab")
    with pytest.raises(httpx.ReadTimeout):
        await http.get(PATH, params=engine_query(sid=polling.sid), timeout=0.3)
    await server.logged(rf'disconnect .*{sid}.*reason="transport close"')


async def test_post_that_hangs_up(server: LiveServer, http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    client = await DeafClient.connect(server)
    client.write(
        f"POST {PATH}?{httpx.QueryParams(engine_query(sid=polling.sid))} HTTP/1.1\r\n"
        f"Host: {HOST}:{server.port}\r\nContent-Length: 1000\r\n\r\n42/lab,".encode()
    )
    client.abort()
    for _ in range(3):  # nothing tells when a server has seen a hang-up; other requests take longer
        await http.get("/clients-count")
    await polling.send('42/lab,1["echo"]')
    assert await polling.receive() == "43/lab,1[]"


async def test_plain_websocket_garbage(server: LiveServer) -> None:
    chance = random.Random(7)
    for size in [chance.randint(1, 500) for _ in range(20)]:
        async with websocket(server, "/ws/lab/") as connection:
            assert json.loads(await connection.recv()).keys() == {"connected"}
            await connection.send(chance.randbytes(size).decode("latin-1"))
            close, _ = await closed(connection)
            assert close.code == 4400
