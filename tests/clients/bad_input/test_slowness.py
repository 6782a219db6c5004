"""Requests that never end, and handlers that are slower than their clients."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.clients.bad_input.conftest import grows_little, witnessed
from tests.clients.wire import (
    PATH,
    DeafClient,
    Polling,
    engine_path,
    engine_query,
    http_client,
    open_wire,
    text_frame,
)
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.ports import HOST

POSTS = 20


async def start_post(server: LiveServer, sid: str) -> DeafClient:
    """Send a POST whose body does not end, and return its connection."""
    client = await DeafClient.connect(server)
    client.write(
        f"POST {PATH}?{httpx.QueryParams(engine_query(sid=sid))} HTTP/1.1\r\n"
        f"Host: {HOST}:{server.port}\r\nContent-Length: 900000\r\n\r\n".encode()
    )
    client.write(b'42/lab,["echo","' + b"x" * 100_000)
    return client


async def test_posts_that_never_end(hasty: LiveServer, kind: str) -> None:
    """They end with their sessions: a client whose POST is under way cannot answer a ping."""
    since = len(hasty.log)
    async with http_client(hasty) as http:
        sessions, sids, clients = [], [], []
        for _ in range(POSTS):  # each at once: a session that is idle ends
            polling = await Polling.open(http)
            sessions.append(polling)
            sids.append(await polling.join_namespace("/lab"))
            clients.append(await start_post(hasty, polling.sid))
        for sid in sids:
            await hasty.logged(rf'disconnect .*{sid}.*reason="ping timeout"', since=since)
        for client in clients:
            client.write(b"x")
            if kind.startswith("daphne"):
                # It keeps the whole request to itself until the body is complete.
                client.abort()
            else:
                await client.ended()
        for polling in sessions:
            assert await polling.is_gone()


async def test_a_post_that_never_ends_after_an_upgrade(hasty: LiveServer, kind: str) -> None:
    """The session goes on on its WebSocket; what the POST brings is for nobody."""
    async with http_client(hasty) as http:
        polling = await Polling.open(http)
        await polling.join_namespace("/lab")
        client = await start_post(hasty, polling.sid)
        async with open_wire(hasty, sid=polling.sid) as wire:
            await wire.send("2probe")
            assert await wire.receive() == "3probe"
            await wire.send("5")
            assert await wire.call("/lab", "echo", "on the way") == "on the way"
            if not kind.startswith("daphne"):
                client.write(b"x")
                await client.ended()
            assert await wire.call("/lab", "echo", "still here") == "still here"
        client.abort()


EVENTS = 100_000

# So much in all that it does not fit into the buffers of the system.
PADDING = "x" * 100

# Long enough for a client to be taken for gone, if it were not known why it is silent.
PATIENCE = {"PING_INTERVAL": 0.5, "PING_TIMEOUT": 2}
HANDLER_TIME = 3
LONGEST = 90.0


async def test_a_handler_much_slower_than_its_client(
    kind: str, shared_server: ServerFactory
) -> None:
    """Nothing is read meanwhile, so nothing piles up; then everything arrives, in order."""
    if kind == "daphne-indirect":
        pytest.skip("daphne reads on, whether anybody takes it or not")
    server = shared_server(kind, INBOX_EVENTS=1000, **PATIENCE)
    events = [
        f'42/lab,["sleep",{HANDLER_TIME}]',
        *(f'42/lab,["tally",{number},"{PADDING}"]' for number in range(EVENTS)),
        '42/lab,1["get tally"]',
    ]
    flood = b"".join(text_frame(event) for event in events)
    async with witnessed(server):
        client = await DeafClient.open(server, engine_path())
        await client.join_namespace("/lab")

        async def send() -> None:
            started = time.monotonic()
            client.write(flood)
            await client.writer.drain()
            assert time.monotonic() - started > HANDLER_TIME / 2, "the server has read everything"

        async def send_and_listen() -> None:
            sending = asyncio.create_task(send())
            # An answer to a ping waits behind all events, as the question does.
            async with asyncio.timeout(LONGEST):
                while (frame := await client.read_frame(LONGEST)) == "2":
                    client.send("3")
            assert frame == f"43/lab,1[{EVENTS},0]"
            await sending

        await grows_little(server, send_and_listen)
        client.abort()
