"""What observers of a hub are told, and what waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event
from realtime.hub import observers
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub
from realtime.signals import socket_connected
from realtime.sockets.socket import Socket
from realtime.testing import Client

from ..conftest import Connect
from ..consumers import RoomsConsumer
from ..probes import DEADLINE, Probe, Wire

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

    def away(self, socket: Socket) -> None:
        self.calls.append(("away", socket.sid))

    def back(self, socket: Socket) -> None:
        self.calls.append(("back", socket.sid))

    def moved(self, socket: Socket) -> None:
        self.calls.append(("moved", socket.sid))

    def adopted(self, socket: Socket) -> None:
        self.calls.append(("adopted", socket.sid))

    def transport_changed(self, socket: Socket) -> None:
        self.calls.append(("transport", socket.sid, socket.connection.transport))

    def user_changed(self, socket: Socket) -> None:
        self.calls.append(("user_changed", socket.sid, socket.user))

    def shared(self, socket: Socket) -> None:
        self.calls.append(("shared", socket.sid, socket.shared))

    async def wait_written(self) -> None:
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
    realtime.to("b").close()
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
    async with asyncio.timeout(DEADLINE):
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
    async with asyncio.timeout(DEADLINE):
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
    await ensure_hub().close(grace=1)
    assert recorder.calls[1:] == [
        ("closed", client.sid, "server shutting down"),
        "last hook",
        "close",
    ]


# What recovery tells of sockets.
TELL = ("away", "back", "moved", "adopted")


class Broken:
    """Fails whatever it is told."""

    fault: BaseException = RuntimeError("broken")

    def __init__(self, hub: Hub) -> None:
        hub.news["broken"] = self.fail

    def fail(self, *args: Any) -> Any:
        raise self.fault

    opened = closed = joined = left = away = back = moved = adopted = fail

    async def wait_written(self) -> None:
        self.fail()

    close = wait_written


def never_made(hub: Hub) -> None:
    """Fail at the start of the hub."""
    raise RuntimeError("never made")


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("broken"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()],
    ids=["error", "exit", "interrupt", "cancelled"],
)
async def test_one_that_fails_concerns_neither_others_nor_clients(
    fault: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    records: list[Any],
) -> None:
    monkeypatch.setattr(Broken, "fault", fault)
    monkeypatch.setattr(
        observers, "_factories", [f"{__name__}.{name}" for name in ("never_made", "Broken")]
    )
    observers.register(f"{__name__}.Recorder")
    hub = ensure_hub()
    _, recorder = hub.observers.all
    assert isinstance(recorder, Recorder)
    client = await connect(auth={"rooms": ["a"]})
    assert await client.call("join", "b") == ["a", "b"]
    assert await client.call("leave", "a") == ["b"]
    (socket,) = hub.registry.sockets.values()
    for tell in TELL:
        getattr(hub.observers, tell)(socket)
    assert "broken" not in hub.describe()
    await client.disconnect()
    await hub.close()
    assert recorder.calls == [
        ("opened", client.sid, ["a"]),
        ("joined", client.sid, "b"),
        ("left", client.sid, "a"),
        *((tell, client.sid) for tell in TELL),
        ("closed", client.sid, "transport close"),
        "close",
    ]
    failures = [each for each in records if each.args[0] == "observer-failed"]
    names = [each.realtime["observer"] for each in failures]
    name = f"{__name__}.Broken"
    assert names == [f"{__name__}.never_made", name, "broken"], "each one once in a while"
    assert failures[1].realtime["call"] == "opened"
    assert failures[1].exc_info


class Nameless:
    """A user of a site's own middleware, of which nothing can be asked."""

    is_authenticated = True

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


@pytest.mark.parametrize("user", [Nameless(), object()], ids=["raising", "bare"])
async def test_users_that_observers_cannot_ask(
    user: Any,
    monkeypatch: pytest.MonkeyPatch,
    presence: None,
    connect: Connect,
    records: list[Any],
) -> None:
    monkeypatch.setattr(observers, "_factories", [])
    for module in ("signals", "presence", "admin.activity_feed"):
        observers.register(f"realtime.{module}.observe")

    async def receive(**arguments: Any) -> None:
        """Be asked for."""

    socket_connected.connect(receive)
    try:
        sids = [(await connect("/", scope={"user": user})).sid for _ in range(2)]
        other = await connect("/")
        assert await realtime.of("/").acount() == 3
        assert await other.call("echo", 1) == 1
        assert len(set(sids)) == 2
    finally:
        socket_connected.disconnect(receive)
    assert not [each for each in records if each.args[0] == "presence-down"]
