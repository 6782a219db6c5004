"""What observers of a hub are told, and what waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event, observers
from realtime.hub import Hub, ensure_hub
from realtime.sockets import Socket
from realtime.testing import Client

from .conftest import Connect
from .consumers import RoomsConsumer
from .probes import DEADLINE, Probe, Wire

Serve = Callable[..., None]


class Recorder:
    """Writes down what it is told. `gate` is open until a test closes it."""

    def __init__(self, hub: Hub) -> None:
        self.calls: list[Any] = []
        self.waits = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def opened(self, socket: Socket) -> None:
        self.calls.append(("opened", socket.sid, sorted(socket.rooms)))

    def closed(self, socket: Socket, reason: str) -> None:
        self.calls.append(("closed", socket.sid, reason))

    def joined(self, socket: Socket, room: str) -> None:
        self.calls.append(("joined", socket.sid, room))

    def left(self, socket: Socket, room: str) -> None:
        self.calls.append(("left", socket.sid, room))

    def moved(self, socket: Socket) -> None:
        self.calls.append(("moved", socket.sid, socket.connection.transport))

    async def settled(self) -> None:
        self.waits += 1
        await self.gate.wait()

    async def close(self) -> None:
        self.calls.append("close")


def no_observer(hub: Hub) -> None:
    """Have nothing to tell."""


@pytest.fixture(autouse=True)
def _only_the_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "_factories", [])
    observers.register(f"{__name__}.Recorder")
    observers.register(f"{__name__}.Recorder")
    observers.register(f"{__name__}.no_observer")


@pytest.fixture
async def recorder(hub: Hub) -> Recorder:
    """The hub's only observer."""
    (recorder,) = hub.observers.all
    assert isinstance(recorder, Recorder)
    return recorder


async def test_the_life_of_a_socket(recorder: Recorder, connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a", "b"]})
    sid = client.sid
    assert recorder.calls == [("opened", sid, ["a", "b"])]
    recorder.calls.clear()
    await client.call("join", "a", "c")
    await client.call("leave", "b", "nowhere")
    assert recorder.calls == [("joined", sid, "c"), ("left", sid, "b")]
    recorder.calls.clear()
    await client.disconnect()
    assert recorder.calls == [("closed", sid, "transport close")]


async def test_remote_commands_are_changes_too(recorder: Recorder, connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    recorder.calls.clear()
    realtime.to("a").join("b")
    realtime.to("b").leave("a")
    realtime.to("b").disconnect()
    assert recorder.calls == [
        ("joined", client.sid, "b"),
        ("left", client.sid, "a"),
        ("closed", client.sid, "server namespace disconnect"),
    ]


@pytest.mark.parametrize("error", [ConnectionRefused("no"), RuntimeError("secret")])
async def test_a_refused_client_is_not_told(
    error: Exception, recorder: Recorder, serve: Serve
) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("a")
            raise error

    serve(Main)
    with pytest.raises(ConnectionRefused):
        await Client().connect()
    assert recorder.calls == []


async def test_a_client_that_left_during_connect_is_not_told(
    recorder: Recorder, serve: Serve, probe: Probe, new_wire: Any
) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            await probe.gate.wait()

        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Main)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == "connecting"
    wire.close()
    probe.gate.set()
    assert await probe.next() == "transport close"
    assert recorder.calls == []


async def test_the_client_is_told_when_all_is_in_effect(recorder: Recorder, new_wire: Any) -> None:
    wire: Wire = new_wire()
    recorder.gate.clear()
    wire.feed("40")
    async with asyncio.timeout(2):
        while not recorder.waits:
            await asyncio.sleep(0)
    assert recorder.calls[0][0] == "opened"
    assert wire.pending() == 0
    recorder.gate.set()
    assert (await wire.next()).startswith("40{")


async def test_only_a_handler_that_changed_rooms_waits(
    recorder: Recorder, connect: Connect
) -> None:
    client, other = await connect(), await connect(auth={"rooms": ["a"]})
    recorder.waits = 0
    await client.call("echo", 1)
    assert recorder.waits == 0
    recorder.gate.clear()
    joining = asyncio.ensure_future(client.call("join", "a"))
    async with asyncio.timeout(2):
        while not recorder.waits:
            await asyncio.sleep(0)
    assert await other.call("echo", 2) == 2
    assert not joining.done()
    recorder.gate.set()
    assert await joining == ["a"]
    recorder.waits = 0
    await client.call("echo", 3)
    assert recorder.waits == 0


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_handler_that_moves_others_waits_too(
    kind: str, recorder: Recorder, serve: Serve, connect: Connect
) -> None:
    class Main(RoomsConsumer):
        @event
        async def gather(self) -> None:
            self.to("a").join("b")

        @event("gather sync")
        def gather_sync(self) -> None:
            self.to("a").join("b")

    serve(Main)
    client, other = await connect(), await connect(auth={"rooms": ["a"]})
    recorder.waits = 0
    await client.call("gather" if kind == "async" else "gather sync")
    assert recorder.waits == 1
    assert recorder.calls[-1] == ("joined", other.sid, "b")


async def test_the_last_hook_runs_when_its_socket_is_gone_everywhere(
    recorder: Recorder, serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            probe.note(list(recorder.calls))

    serve(Main)
    client = await connect()
    recorder.gate.clear()
    leaving = asyncio.create_task(client.disconnect())
    async with asyncio.timeout(DEADLINE):
        while ("closed", client.sid, "transport close") not in recorder.calls:
            await asyncio.sleep(0)
    assert await probe.empty()
    recorder.gate.set()
    await leaving
    assert (await probe.next())[-1] == ("closed", client.sid, "transport close")


async def test_observers_are_closed_after_the_last_hook(
    recorder: Recorder, serve: Serve, connect: Connect
) -> None:
    class Main(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            recorder.calls.append("last hook")

    serve(Main)
    client = await connect()
    await ensure_hub().close()
    assert recorder.calls[1:] == [
        ("closed", client.sid, "server shutting down"),
        "last hook",
        "close",
    ]
