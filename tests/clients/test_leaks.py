"""Nothing is left behind by clients that came and went, whatever way they went."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from tests.clients.wire import (
    DeafClient,
    Polling,
    Wire,
    closed,
    engine_path,
    eventually,
    http_client,
    open_socket,
    open_wire,
    websocket,
)
from tests.conftest import ServerFactory
from tests.live import LiveServer

CLIENTS, WARM_UP = 500, 100
AT_ONCE = 16
# Short enough for those who fall silent, and long enough for the others on a busy machine.
TIMES = {"PING_INTERVAL": 1, "PING_TIMEOUT": 4, "CONNECT_TIMEOUT": 5, "UPGRADE_TIMEOUT": 5}

# A way to come and go. One that waits for the server to close returns what is to be closed.
Way = Callable[[LiveServer, httpx.AsyncClient, str], Awaitable[ClientConnection | None]]
ways: list[Way] = []


def way(function: Way) -> Way:
    """Add a way; it gets the server, an HTTP client and the name of a room."""
    ways.append(function)
    return function


@way
async def close_properly(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with open_socket(server, auth={"room": room}) as (wire, _):
        assert await wire.call("/lab", "rooms") == [room]


@way
async def leave_the_namespace_first(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with open_socket(server, auth={"room": room}) as (wire, _):
        await wire.join_namespace("/orders")
        await wire.send("41/lab,", "41/orders,", "1")
        await wire.closed()


@way
async def cut_the_line(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    client = await DeafClient.open(server, engine_path())
    await client.join_namespace("/lab", {"room": room})
    client.abort()


@way
async def cut_the_line_in_the_handshake(
    server: LiveServer, http: httpx.AsyncClient, room: str
) -> None:
    client = await DeafClient.open(server, engine_path())
    client.send("40/lab," + '{"wait":0.1,"tag":"cut"}')
    client.abort()


@way
async def fall_silent(server: LiveServer, http: httpx.AsyncClient, room: str) -> ClientConnection:
    connection = await websocket(server, engine_path())
    wire = Wire(connection, pong=False)
    await wire.receive()
    await wire.join_namespace("/lab", {"room": room})
    return connection


@way
async def never_connect(server: LiveServer, http: httpx.AsyncClient, room: str) -> ClientConnection:
    return await websocket(server, engine_path())


@way
async def be_refused(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with open_wire(server) as wire:
        await wire.send("40/refused,", "40/unknown,")
        await wire.receive_many(2)


@way
async def be_kicked(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with open_socket(server, auth={"room": room}) as (wire, _):
        await wire.send('42/lab,["kick"]')
        assert await wire.receive() == "41/lab,"


@way
async def break_the_protocol(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with open_socket(server, auth={"room": room}) as (wire, _):
        await wire.send('451-/lab,["echo",{"_placeholder":true,"num":0}]', "nonsense")
        await wire.closed()


@way
async def leave_while_handlers_run(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with open_socket(server, auth={"room": room}) as (wire, _):
        await wire.send(
            '42/lab,["sleep",0.1]', '42/lab,["block",0.05]', '42/lab,["ask"]', '42/lab,["boom"]'
        )


@way
async def poll_and_close(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab", {"room": room})
    await polling.send('42/lab,1["echo"]', "1")


@way
async def poll_and_forget(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab", {"room": room})


@way
async def poll_and_hang_up(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab", {"room": room})
    with suppress(TimeoutError):
        await asyncio.wait_for(polling.get(), 0.05)


@way
async def upgrade(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab", {"room": room})
    async with open_wire(server, sid=polling.sid) as wire:
        await wire.send("2probe", "5")
        assert await wire.receive() == "3probe"
        assert await wire.call("/lab", "rooms") == [room]


@way
async def upgrade_by_half(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab", {"room": room})
    async with open_wire(server, sid=polling.sid) as wire:
        await wire.send("2probe")


@way
async def speak_plainly(server: LiveServer, http: httpx.AsyncClient, room: str) -> None:
    async with websocket(server, "/ws/lab/") as connection:
        await connection.recv()
        await connection.send(f'{{"event": "join", "args": ["{room}"]}}')


async def stats(server: LiveServer) -> dict[str, int]:
    """Return the server's counts, with the one client that asks."""
    async with open_socket(server) as (wire, _):
        return dict(await wire.call("/lab", "stats"))


async def come_and_go(server: LiveServer, count: int) -> None:
    """Let clients come and go, some at once, the ways in turn."""
    gate = asyncio.Semaphore(AT_ONCE)
    silent: list[ClientConnection] = []
    async with http_client(server) as http:

        async def one(number: int, way: Way) -> None:
            async with gate:
                if connection := await way(server, http, f"room {number % 100}"):
                    silent.append(connection)

        async with asyncio.TaskGroup() as group:
            for number, way in zip(range(count), itertools.cycle(ways), strict=False):
                group.create_task(one(number, way))
        await asyncio.gather(*(closed(connection) for connection in silent))


async def at_rest(server: LiveServer) -> dict[str, int]:
    """Wait until only the client that asks is left and nothing changes; return the counts."""
    last: dict[str, int] = {}

    async def resting() -> dict[str, int]:
        nonlocal last
        before, last = last, await stats(server)
        alone = last["hub_connections"] == last["hub_sockets"] == 1
        return last if alone and last == before else {}

    return await eventually(resting, timeout=30, interval=0.1)


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, Any]:
    """Return which counts are higher than before."""
    return {name: (before[name], after[name]) for name in before if after[name] > before[name]}


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_nothing_is_left_behind(kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind, realtime=TIMES)
    await come_and_go(server, WARM_UP)
    before = await at_rest(server)
    memory = server.rss()
    await come_and_go(server, CLIENTS)

    left: dict[str, Any] = {}

    async def nothing() -> bool:
        nonlocal left
        left = grown(before, await stats(server))
        return not left

    with suppress(AssertionError):
        await eventually(nothing, timeout=30, interval=0.2)
    assert left == {}
    assert server.rss() - memory < 40 * 1024 * 1024


async def test_rooms_end_with_their_last_member(kind: str, new_server: ServerFactory) -> None:
    """On a server of its own: nobody else leaves rooms meanwhile."""
    server = new_server(kind)
    async with open_socket(server) as (watcher, _):
        before = await watcher.call("/lab", "stats")
        async with open_socket(server) as (one, sid), open_socket(server) as (two, _):
            for number in range(50):
                await one.call("/lab", "join", f"{sid} {number}")
                await two.call("/lab", "join", f"{sid} {number}")
            during = await watcher.call("/lab", "stats")
            assert during["hub_rooms"] == before["hub_rooms"] + 50
            for number in range(50):
                await one.call("/lab", "leave", f"{sid} {number}")
            during = await watcher.call("/lab", "stats")
            assert during["hub_rooms"] == before["hub_rooms"] + 50

        async def ended() -> bool:
            counts = await watcher.call("/lab", "stats")
            return all(counts[f"hub_{name}"] <= before[f"hub_{name}"] for name in COUNTS)

        await eventually(ended)


COUNTS = ("rooms", "sockets", "connections")
