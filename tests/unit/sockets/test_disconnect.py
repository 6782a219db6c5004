"""The end of a socket: its reasons, and its last hook."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from channels.layers import get_channel_layer

from realtime import NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.sockets import socket as sockets

from ..conftest import Connect, Serve
from ..consumers import Noting
from ..probes import DEADLINE, Probe, Wire


@pytest.mark.parametrize(
    ("frame", "reason"),
    [("41", "client namespace disconnect"), ("1", "transport close"), ("4garbage", "parse error")],
)
async def test_the_reason_of_a_disconnect(
    serve: Serve, probe: Probe, new_wire: Any, frame: str, reason: str
) -> None:
    Noting.probe = probe
    serve(Noting)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(frame)
    assert await probe.next() == reason


async def test_ping_timeout(serve: Serve, probe: Probe, new_wire: Any) -> None:
    Noting.probe = probe
    serve(Noting, PING_INTERVAL=0.01, PING_TIMEOUT=0.01)
    wire: Wire = new_wire()
    await wire.connect()
    assert await wire.next() == "2"
    wire.feed("3")
    assert await wire.next() == "2", "who answers stays"
    assert await probe.next() == "ping timeout"


async def test_whoever_still_sends_is_there(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(Noting):
        @event
        async def busy(self) -> None:
            probe.note("busy")

    Main.probe = probe
    serve(Main, PING_INTERVAL=0.1, PING_TIMEOUT=0.1)
    wire: Wire = new_wire()
    await wire.connect()
    assert await wire.next() == "2"
    clock = asyncio.get_running_loop().time
    pinged = clock()
    wire.feed('42["busy"]')
    assert await probe.next() == "busy"
    assert await probe.next() == "ping timeout"
    assert clock() - pinged >= 0.19, "as long again from the first look on"


async def test_shutdown_reason(serve: Serve, probe: Probe, hub: Hub, connect: Connect) -> None:
    Noting.probe = probe
    serve(Noting)
    client = await connect()
    await hub.close(grace=0.1)
    assert await probe.next() == "server shutting down"
    await client.closed(DEADLINE)


async def test_close(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(Noting):
        @event
        async def kick(self) -> None:
            self.emit("last")
            self.close()
            self.close()
            self.emit("never")

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('421["kick"]')
    assert [await wire.next(), await wire.next()] == ['42["last"]', "41"]
    assert await probe.next() == "server namespace disconnect"
    assert wire.pending() == 0
    assert (await wire.connect()).startswith("40"), "the same connection may come back"


async def test_close_in_connect_refuses(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.close()

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    assert await wire.connect() == '44{"message":"Connection refused"}'
    assert wire.pending() == 0


async def test_disconnect_runs_after_a_failing_handler(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(Noting):
        async def receive(self, event: str, *args: Any) -> None:
            raise RuntimeError("broken")

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("boom")
    await client.disconnect()
    assert await probe.next() == "transport close"


async def test_disconnect_waits_for_events_that_had_arrived(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(Noting):
        async def receive(self, event: str, *args: Any) -> None:
            if event == "first":
                probe.note("waiting")
                await probe.gate.wait()
            probe.note(event)

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("first")
    assert await probe.next() == "waiting"
    client.emit("second")
    leaving = asyncio.create_task(client.disconnect())
    await asyncio.sleep(0)
    probe.gate.set()
    assert [await probe.next() for _ in range(3)] == ["first", "second", "transport close"]
    await leaving


async def test_disconnect_does_not_wait_for_ever(
    serve: Serve, probe: Probe, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", 0.05)

    class Main(Noting):
        async def receive(self, event: str, *args: Any) -> None:
            probe.note("waiting")
            await probe.gate.wait()
            self.join("too late")
            self.emit("too late")
            probe.note("done")

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("hang")
    assert await probe.next() == "waiting"
    await client.disconnect()
    assert await probe.next() == "transport close"
    probe.gate.set()
    assert await probe.next() == "done"


async def test_a_client_that_leaves_during_connect(
    serve: Serve, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            await probe.gate.wait()
            self.join("room")
            probe.note("connected")

    Main.probe = probe
    serve(Main)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == "connecting"
    wire.close()
    probe.gate.set()
    assert [await probe.next(), await probe.next()] == ["connected", "transport close"]
    assert hub.stats()["rooms"] == 0
    assert hub.stats()["sockets"] == 0


async def test_disconnect_still_reaches_others(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("room")

        async def disconnect(self, reason: str) -> None:
            self.emit("to nobody")
            self.join("another room")
            self.leave("room")
            self.close()
            self.to("room").emit("left", self.sid, sorted(self.rooms))

    serve(Main)
    ann, bob = await connect(), await connect()
    await ann.disconnect()
    assert await bob.receive() == ("left", ann.sid, ["another room"])


async def test_an_error_in_disconnect_is_logged(
    serve: Serve, connect: Connect, probe: Probe, records: list[Any], hub: Hub
) -> None:
    class Main(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            probe.note(reason)
            raise RuntimeError("broken")

    serve(Main)
    client = await connect()
    await client.disconnect()
    await probe.next()
    errors = [record.realtime["event"] for record in records if record.levelname == "ERROR"]
    assert errors == ["disconnect"]


async def test_a_thread_that_leaves_a_room_while_its_client_goes(
    serve: Serve, connect: Connect, hub: Hub
) -> None:
    """The room's group in the channel layer is left too, however the two meet."""
    ready, left = threading.Event(), threading.Event()
    entered = asyncio.Event()

    class Main(NamespaceConsumer):
        def receive(self, event: str, *args: Any) -> None:
            self.join("room")
            hub.loop.call_soon_threadsafe(entered.set)
            assert ready.wait(DEADLINE)
            self.leave("room")
            left.set()

    serve(Main)
    client = await connect()
    client.emit("go")
    await entered.wait()
    await hub.cluster.flush_local()
    ready.set()
    assert left.wait(DEADLINE), "the thread has left, and the loop has not heard of it yet"
    await client.disconnect()
    async with asyncio.timeout(DEADLINE):
        while hub.stats()["tasks"] > 2:  # the link to the layer has two
            await asyncio.sleep(0)
    await hub.cluster.flush_local()
    assert get_channel_layer().groups == {}
