"""Clients that are behind: they are waited for, and not looked at meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime import NamespaceConsumer
from realtime.hub.hub import Hub
from realtime.protocol.frames import Frames
from realtime.transports.connection import Connection
from realtime.transports.polling import PollingWriter
from realtime.webservers.writers import HIGH_WATER, AsgiWriter, Writer

from ..conftest import Serve
from ..peers import PEERS, Peer, new_peer
from ..probes import DEADLINE

BIG = Frames("6" * 3 * HIGH_WATER)


class Main(NamespaceConsumer):
    """Does nothing."""


@pytest.fixture(params=PEERS)
async def peer(request: pytest.FixtureRequest, serve: Serve, hub: Hub) -> AsyncIterator[Peer]:
    """A client of each server, that reads nothing."""
    serve(Main)
    async with new_peer(request.param, hub) as peer:
        await peer.connect()
        peer.transport.reads = False
        yield peer


@pytest.fixture
def connection(peer: Peer, hub: Hub) -> Connection:
    (connection,) = hub.connections.values()
    return connection


async def waiting(hub: Hub, writer: Writer, count: int = 1) -> list[asyncio.Task[Any]]:
    """Start to wait for a writer; return who waits, once nothing else happens."""
    tasks = [hub.spawn(writer.drain()) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    return tasks


async def finished(*tasks: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*tasks)


async def test_nothing_is_done_for_a_client_that_is_behind(
    peer: Peer, connection: Connection, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.send(BIG)
    tasks = await waiting(hub, connection.writer, count=50)
    calls: list[Any] = []
    call_soon, call_at = hub.loop.call_soon, hub.loop.call_at
    over = hub.loop.create_future()
    hub.loop.call_later(0.05, over.set_result, None)
    with monkeypatch.context() as patch:
        patch.setattr(
            hub.loop, "call_soon", lambda *a, **k: (calls.append(a), call_soon(*a, **k))[1]
        )
        patch.setattr(hub.loop, "call_at", lambda *a, **k: (calls.append(a), call_at(*a, **k))[1])
        await over
    assert len(calls) < 10
    peer.transport.read_all()
    await finished(*tasks)
    assert connection.writer.buffered <= HIGH_WATER


async def test_it_ends_when_the_client_reads(peer: Peer, connection: Connection, hub: Hub) -> None:
    for _ in range(3):  # again and again
        peer.transport.reads = False
        connection.send(BIG)
        (task,) = await waiting(hub, connection.writer)
        peer.transport.read_all()
        await finished(task)
        assert connection.writer.buffered <= HIGH_WATER
    assert peer.transport.written.count(b"6" * 100) == peer.transport.written.count(b"6") // 100


async def test_it_ends_with_the_connection(peer: Peer, connection: Connection, hub: Hub) -> None:
    connection.send(BIG)
    tasks = await waiting(hub, connection.writer, count=3)
    peer.transport.fail(ConnectionResetError())
    await finished(*tasks)


async def test_it_ends_when_the_connection_is_cut(
    peer: Peer, connection: Connection, hub: Hub
) -> None:
    connection.send(BIG)
    (task,) = await waiting(hub, connection.writer)
    connection.overflow()
    await finished(task)


async def test_who_gives_up_waiting_ends_it_for_no_other(
    peer: Peer, connection: Connection, hub: Hub
) -> None:
    connection.send(BIG)
    first, second = await waiting(hub, connection.writer, count=2)
    first.cancel()
    await asyncio.wait({first})
    assert not second.done()
    peer.transport.read_all()
    await finished(second)


async def test_a_close_leaves_behind_what_waits(
    peer: Peer, connection: Connection, hub: Hub
) -> None:
    """Whatever watches the transport keeps it from closing no longer than the client reads."""
    connection.send(BIG)
    (task,) = await waiting(hub, connection.writer)
    connection.close("server shutting down")
    peer.transport.read_all()
    await finished(task)
    await peer.until(lambda: b"\x88" in peer.transport.written)


async def test_what_waits_for_its_turn_only_is_no_reason_to_wait(
    peer: Peer, connection: Connection
) -> None:
    peer.transport.reads = True
    connection.send(BIG)
    assert connection.writer.buffered > HIGH_WATER
    async with asyncio.timeout(DEADLINE):
        await connection.writer.drain()
    assert connection.writer.buffered <= HIGH_WATER


# Other writers


async def test_through_asgi(hub: Hub) -> None:
    gate = asyncio.Event()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await gate.wait()
        sent.append(message)

    writer = AsgiWriter(send, hub.spawn)
    for _ in range(3):
        writer.write(Frames("x" * HIGH_WATER))
    (task,) = await waiting(hub, writer)
    gate.set()
    await finished(task)
    assert len(sent) >= 2


async def test_through_asgi_to_a_client_that_is_gone(hub: Hub) -> None:
    gate = asyncio.Event()

    async def send(message: Any) -> None:
        await gate.wait()
        raise OSError

    writer = AsgiWriter(send, hub.spawn)
    writer.write(BIG)
    (task,) = await waiting(hub, writer)
    gate.set()
    await finished(task)


@pytest.mark.parametrize("end", ["build_payload", "release", "abort"])
async def test_polling(hub: Hub, end: str) -> None:
    writer = PollingWriter()
    writer.write(BIG)
    (task,) = await waiting(hub, writer)
    getattr(writer, end)()
    await finished(task)
