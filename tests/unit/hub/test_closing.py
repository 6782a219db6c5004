"""What ends a client's whole connection, with all its namespaces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import path

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.transports.polling import PollingWriter
from tests.unit.probes import DEADLINE

from ..conftest import Connect, Serve
from ..probes import Probe, Wire

NOTES: list[tuple[str, str]] = []


class Main(NamespaceConsumer):
    """Ends what it is asked to end."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.join("room")
        if auth.get("leave at once"):
            self.close(connection=True)

    async def disconnect(self, reason: str) -> None:
        NOTES.append((self.scope["namespace"], reason))
        self.close(connection=True)  # what is over stays over

    @event
    async def end(self) -> None:
        self.close(connection=True)

    @event("end in a thread")
    def end_in_a_thread(self) -> None:
        self.close(connection=True)

    @event("end the room")
    async def end_the_room(self) -> None:
        await self.broadcast.to("room").close(connection=True)


class Slow(Main):
    """Lets nobody in."""

    async def connect(self, auth: dict[str, Any]) -> None:
        await asyncio.Future()


@pytest.fixture(autouse=True)
def _consumers(serve: Serve) -> None:
    NOTES.clear()
    routes = [path("other/", Main.as_asgi()), path("slow/", Slow.as_asgi())]
    serve(Main, routes=routes)


async def last(wire: Wire) -> list[str]:
    """Return the frames until the end."""
    frames = []
    while (frame := await wire.next()) is not None:
        frames.append(str(frame))
    return frames


@pytest.mark.parametrize("name", ["end", "end in a thread"])
async def test_all_namespaces_are_left(new_wire: Callable[[], Wire], hub: Hub, name: str) -> None:
    wire = new_wire()
    await wire.connect()
    await wire.connect("/other")
    wire.feed("40/slow,", f'42/other,["{name}"]')
    assert sorted(await last(wire)) == [
        "41",
        "41/other,",
        '44/slow,{"message":"Connection refused"}',
    ]
    assert not hub.connections
    await hub.tasks.finish(1)
    assert sorted(NOTES) == [(name, "server namespace disconnect") for name in ("/", "/other")]


async def test_within_connect(connect: Connect, hub: Hub) -> None:
    with pytest.raises(ConnectionRefused, match="Connection refused"):
        await connect(auth={"leave at once": True})
    assert not hub.connections


async def test_others_by_their_rooms(connect: Connect, hub: Hub) -> None:
    one, two, three = await connect(), await connect(), await connect("/other")
    one.emit("end the room")
    await two.closed(DEADLINE)
    assert len(hub.connections) == 2
    assert await one.call("end the room") is None
    assert await three.call("end the room") is None


async def test_from_a_thread_by_a_sid(connect: Connect, hub: Hub) -> None:
    one, two = await connect(), await connect("/other")

    def end() -> None:
        realtime.of("/other").to(two.sid).close(connection=True)

    thread = threading.Thread(target=end)
    thread.start()
    await two.closed(DEADLINE)
    thread.join()
    assert await one.call("end the room") is None
    assert len(hub.connections) == 1


async def test_a_client_that_moves_to_a_websocket_meanwhile(
    new_wire: Callable[[], Wire], hub: Hub, probe: Probe
) -> None:
    wire = new_wire()
    await wire.connect()
    session, websocket = wire.session, wire.session.writer
    session.writer = PollingWriter()
    session.disconnect()
    assert not session.closed.happened
    session.move(websocket)
    assert await last(wire) == ["41"]
    assert session.closed.happened
