"""Random bytes wherever bytes are read."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress

import httpx

from tests.clients.wire import (
    DEADLINE,
    DeafClient,
    Polling,
    closed,
    engine_path,
    open_wire,
    websocket,
)
from tests.live import LiveServer
from tests.ports import HOST


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


async def test_plain_websocket_garbage(server: LiveServer) -> None:
    chance = random.Random(7)
    for size in [chance.randint(1, 500) for _ in range(20)]:
        async with websocket(server, "/ws/lab/") as connection:
            assert json.loads(await connection.recv()).keys() == {"connected"}
            await connection.send(chance.randbytes(size).decode("latin-1"))
            close, _ = await closed(connection)
            assert close.code == 4400
