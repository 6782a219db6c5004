"""Clients that stop answering, reading or talking."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.bad_input.conftest import grows_little, witnessed
from tests.clients.test_plain_websocket import connected
from tests.clients.wire import (
    DeafClient,
    Polling,
    engine_path,
    eventually,
    http_client,
    open_socket,
    open_wire,
)
from tests.conftest import ServerFactory
from tests.live import INDIRECT_KINDS, LiveServer


async def test_half_open_client(hasty: LiveServer) -> None:
    """What it was sent and has not read goes with its connection."""
    client = await DeafClient.open(hasty, engine_path())
    sid = await client.join_namespace("/lab")
    client.send('42/lab,["flood",30,100000]')
    await hasty.logged(rf'disconnect .*{sid}.*reason="ping timeout"')
    await hasty.logged(rf'lab left sid={sid} reason="ping timeout"')
    port = client.writer.get_extra_info("sockname")[1]

    def is_cut() -> bool:
        connections = psutil.Process(hasty.pid).net_connections("tcp4")
        return all(connection.raddr[1:] != (port,) for connection in connections)

    await eventually(is_cut)
    client.abort()


async def test_half_open_plain_websocket(hasty: LiveServer, kind: str) -> None:
    """It is noticed by pings of its own, whatever the server does about that."""
    if kind in INDIRECT_KINDS:
        pytest.skip("through ASGI pings are the server's own, which take longer")
    client = await DeafClient.open(hasty, "/ws/lab/")
    sid = json.loads(await client.read_frame())["connected"]
    async with connected(hasty, "lab") as plain:
        await hasty.logged(rf'lab left sid={sid} reason="ping timeout"')
        assert await plain.call("echo", "who answers pings stays") == ["who answers pings stays"]
    client.abort()


async def test_silent_polling_client(hasty: LiveServer) -> None:
    async with http_client(hasty) as http:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/lab")
        await hasty.logged(rf'disconnect .*{sid}.*reason="ping timeout"')
        assert await polling.is_gone()


async def test_client_that_never_connects(hasty: LiveServer) -> None:
    """It is closed although it answers pings."""
    async with open_wire(hasty) as wire, http_client(hasty) as http:
        polling = await Polling.open(http)
        with pytest.raises(ConnectionClosed):
            await wire.receive()
        await eventually(polling.is_gone)  # asking is a sign of life as well


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


async def test_never_polling_client_under_a_flood(
    server: LiveServer, http: httpx.AsyncClient
) -> None:
    polling = await Polling.open(http)
    sid = await polling.join_namespace("/lab", {"room": "lazy"})
    await grows_little(server, lambda: flood(server, "lazy", 5))
    await server.logged(rf'disconnect .*{sid}.*reason="transport error"')
    assert await polling.is_gone()


async def test_never_reading_client_that_asks_a_lot(server: LiveServer, kind: str) -> None:
    if kind == "daphne-indirect":
        pytest.skip("daphne's send never waits, and says of nothing that it was not read")
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
