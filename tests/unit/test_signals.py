"""Signals: what receivers anywhere in a site are told about sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.dispatch import Signal

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, signals
from realtime.hub.hub import Hub
from realtime.models import Socket
from realtime.testing import Client

from .conftest import Connect
from .consumers import OrderConsumer
from .execution.test_faults import FAULTS, NAMES
from .presence.wandering import Wanderer
from .probes import DEADLINE, Probe

ALL = {
    "connected": signals.socket_connected,
    "disconnected": signals.socket_disconnected,
    "joined": signals.room_joined,
    "left": signals.room_left,
}

Serve = Callable[..., None]


@pytest.fixture(autouse=True)
def _nobody_else_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    for signal in ALL.values():
        monkeypatch.setattr(signal, "receivers", [])


@pytest.fixture
def receive(probe: Probe) -> Iterator[Callable[..., None]]:
    """A function ``(receiver, *names)`` that connects a receiver to signals, all by default."""
    connected: list[tuple[Signal, Any, Any]] = []

    def receive(receiver: Any, *names: str, sender: Any = None) -> None:
        for name in names or ALL:
            ALL[name].connect(receiver, sender, weak=False)
            connected.append((ALL[name], receiver, sender))

    yield receive
    for signal, receiver, sender in connected:
        signal.disconnect(receiver, sender)
    assert not any(signal.receivers for signal in ALL.values())


def name_of(signal: Signal) -> str:
    return next(name for name, known in ALL.items() if known is signal)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_life_of_a_socket(
    kind: str, receive: Any, probe: Probe, connect: Connect
) -> None:
    async def receiver(signal: Signal, **arguments: Any) -> None:
        probe.note((name_of(signal), arguments))

    def sync_receiver(signal: Signal, **arguments: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        probe.note((name_of(signal), arguments))

    receive(receiver if kind == "async" else sync_receiver)
    user = get_user_model()(username="ann", pk=5)
    client = await connect("/orders/7", auth={"rooms": ["a"]}, user=user)
    await client.call("join", "b", "b")
    await client.call("leave", "a")
    await client.disconnect()
    common = {"sender": OrderConsumer, "sid": client.sid, "namespace": "/orders/7", "user": user}
    assert [await probe.next() for _ in range(5)] == [
        ("connected", common),
        ("joined", common | {"room": "a"}),
        ("joined", common | {"room": "b"}),
        ("left", common | {"room": "a"}),
        ("disconnected", common | {"reason": "transport close"}),
    ]
    assert await probe.empty()


async def test_who_comes_back_has_never_left(
    receive: Any, probe: Probe, connect: Connect, hub: Hub
) -> None:
    async def receiver(signal: Signal, sid: str, **arguments: Any) -> None:
        probe.note((name_of(signal), sid))

    client = await connect(auth={"rooms": ["a"]})
    (socket,) = hub.registry.sockets.values()
    receive(receiver)
    for _ in range(2):
        hub.observers.away(socket)
        hub.observers.back(socket)
    hub.observers.moved(socket)
    hub.observers.adopted(socket)
    await client.call("join", "b")
    assert await probe.next() == ("joined", client.sid)
    hub.observers.away(socket)
    await client.disconnect()
    assert await probe.next() == ("disconnected", client.sid)
    assert await probe.empty()


async def test_a_session_that_counts_no_more(receive: Any, probe: Probe, hub: Hub) -> None:
    """What is left of a socket has neither a connection nor a consumer."""

    async def receiver(signal: Signal, **arguments: Any) -> None:
        probe.note((name_of(signal), arguments))

    receive(receiver, sender=OrderConsumer)
    user = get_user_model()(username="ann", pk=5)
    session = Wanderer("sid", "/orders/7", {"a"}, consumer_class=OrderConsumer, user=user)
    hub.observers.adopted(session)
    hub.observers.left(session, "a")
    hub.observers.closed(session, "ping timeout")
    common = {"sender": OrderConsumer, "sid": "sid", "namespace": "/orders/7", "user": user}
    assert await probe.next() == ("left", common | {"room": "a"})
    assert await probe.next() == ("disconnected", common | {"reason": "ping timeout"})


async def test_a_refused_client_sends_none(receive: Any, probe: Probe, serve: Serve) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("a")
            raise ConnectionRefused

    async def receiver(**arguments: Any) -> None:
        probe.note(arguments)

    receive(receiver)
    serve(Main)
    with pytest.raises(ConnectionRefused):
        await Client().connect()
    assert await probe.empty()


async def test_only_of_one_consumer(receive: Any, probe: Probe, connect: Connect) -> None:
    async def receiver(sid: str, **arguments: Any) -> None:
        probe.note(sid)

    receive(receiver, "connected", sender=OrderConsumer)
    await connect()
    client = await connect("/orders/1")
    assert await probe.next() == client.sid
    assert await probe.empty()


async def test_order_is_kept_whatever_receivers_do(
    receive: Any, probe: Probe, connect: Connect
) -> None:
    async def slow(room: str, **arguments: Any) -> None:
        await asyncio.sleep(0.01 if int(room) % 2 else 0)
        probe.note(int(room))

    receive(slow, "joined")
    client = await connect()
    for number in range(10):
        client.emit("join", str(number))
    assert [await probe.next() for _ in range(10)] == list(range(10))


async def test_a_slow_receiver_holds_up_no_client(
    receive: Any, probe: Probe, connect: Connect, hub: Hub
) -> None:
    async def stuck(**arguments: Any) -> None:
        probe.note("stuck")
        await probe.gate.wait()

    receive(stuck, "joined")
    client = await connect(auth={"rooms": ["a"]})
    assert await probe.next() == "stuck"
    assert await client.call("join", "b") == ["a", "b"]
    assert await client.call("echo", 1) == 1
    probe.gate.set()
    assert await probe.next() == "stuck"


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_receiver_that_fails_harms_nobody(
    kind: str,
    receive: Any,
    probe: Probe,
    connect: Connect,
    records: list[Any],
    fault: BaseException,
) -> None:
    def fail(**arguments: Any) -> None:
        raise fault

    async def afail(**arguments: Any) -> None:
        raise fault

    async def receiver(room: str, **arguments: Any) -> None:
        probe.note(room)

    receive(afail if kind == "async" else fail, "joined")
    receive(receiver, "joined")
    client = await connect(auth={"rooms": ["a"]})
    assert await probe.next() == "a"
    assert await client.call("join", "b") == ["a", "b"]
    assert await probe.next() == "b"
    async with asyncio.timeout(DEADLINE):
        while len(failures := [r for r in records if r.levelname == "ERROR"]) < 2:
            await asyncio.sleep(0)
    for record in failures:
        assert (record.realtime["event"], record.realtime["sid"]) == ("room_joined", client.sid)
        assert record.exc_info


async def test_a_client_fills_no_log_through_a_receiver_that_fails(
    receive: Any,
    probe: Probe,
    connect: Connect,
    records: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**arguments: Any) -> None:
        raise RuntimeError("a receiver's fault")

    async def receiver(**arguments: Any) -> None:
        probe.note("told")

    receive(fail, "joined")
    receive(receiver, "joined")
    client = await connect()
    await client.call("join", *map(str, range(50)))
    for _ in range(50):
        await probe.next()
    await client.disconnect()
    assert [record.args[0] for record in records if record.exc_info] == ["error"] * 3
    assert not [each for each in caplog.records if each.name.startswith("django")]


async def test_too_many_waiting_signals_are_lost_and_logged(
    receive: Any,
    probe: Probe,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    async def stuck(room: str, **arguments: Any) -> None:
        probe.note(room)
        await probe.gate.wait()

    monkeypatch.setattr(signals, "BACKLOG", 2)
    receive(stuck, "joined")
    client = await connect(auth={"rooms": ["first"]})
    assert await probe.next() == "first"
    await client.call("join", *"abcde")
    probe.gate.set()
    assert [await probe.next() for _ in range(2)] == ["a", "b"]
    async with asyncio.timeout(DEADLINE):
        while not (lost := [r for r in records if r.getMessage().startswith("signals-lost")]):
            await asyncio.sleep(0)
    assert lost[0].realtime == {"lost": 3}
    await client.call("join", "f")
    assert await probe.next() == "f"


async def test_nothing_is_kept_without_receivers(connect: Connect, hub: Hub) -> None:
    client = await connect(auth={"rooms": ["a"]})
    await client.call("join", "b")
    (sender,) = (o for o in hub.observers.all if isinstance(o, signals.SignalSender))
    assert not sender._waiting
    assert sender._task is None


async def test_the_last_signals_are_sent_before_the_server_ends(
    receive: Any, connect: Connect, hub: Hub
) -> None:
    told: list[str] = []

    def receiver(sid: str, reason: str, **arguments: Any) -> None:
        told.append(reason)

    receive(receiver, "disconnected")
    for _ in range(3):
        await connect()
    await hub.close(grace=0.1)
    assert told == ["server shutting down"] * 3


async def test_a_receiver_that_never_ends_does_not_keep_the_server(
    receive: Any,
    probe: Probe,
    connect: Connect,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    async def stuck(**arguments: Any) -> None:
        probe.note("stuck")
        await asyncio.Event().wait()

    monkeypatch.setattr(signals, "CLOSE_TIMEOUT", 0.05)
    receive(stuck, "connected")
    await connect()
    await connect()
    assert await probe.next() == "stuck"
    await hub.close(grace=0.1)
    (lost,) = [r.realtime for r in records if r.getMessage().startswith("signals-lost")]
    assert lost == {"lost": 1}


@pytest.mark.usefixtures("presence")
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_receivers_find_the_database_up_to_date(
    kind: str, receive: Any, probe: Probe, connect: Connect
) -> None:
    async def acount(**arguments: Any) -> None:
        probe.note(await realtime.of().acount())

    def count(**arguments: Any) -> None:
        probe.note(Socket.objects.online().count())
        assert connection.connection is not None
        connections.append(connection.connection)

    connections: list[Any] = []
    receive(acount if kind == "async" else count, "connected", "disconnected")
    first = await connect()
    assert await probe.next() == 1
    second = await connect()
    assert await probe.next() == 2
    await first.disconnect()
    assert await probe.next() == 1
    await second.disconnect()
    assert await probe.next() == 0


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "RECEIVER_TIMEOUT", 0.3)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("hanging", [1, 3])
async def test_receivers_that_hang_stop_no_others(
    kind: str, hanging: int, receive: Any, probe: Probe, connect: Connect, records: list[Any]
) -> None:
    opened, gates = threading.Event(), asyncio.Event()
    left = iter(range(hanging))

    async def hang(room: str, **arguments: Any) -> None:
        if next(left, None) is not None:
            await gates.wait()
        probe.note(room)

    def sync_hang(room: str, **arguments: Any) -> None:
        if next(left, None) is not None:
            opened.wait(DEADLINE)
        probe.note(room)

    receive(hang if kind == "async" else sync_hang, "joined")
    client = await connect("/orders/7")
    rooms = [f"room {number}" for number in range(hanging + 2)]
    for room in rooms:
        await client.call("join", room)
    assert [await probe.next() for _ in range(2)] == rooms[hanging:]
    lines = [record.realtime for record in records if record.args[0] == "signal-stuck"]
    assert [line["stuck"] for line in lines] == list(range(1, hanging + 1))
    assert {line["signal"] for line in lines} == {"room_joined"}
    opened.set()
    gates.set()
    assert {await probe.next() for _ in range(hanging)} == set(rooms[:hanging])
    await client.call("join", "last")
    assert await probe.next() == "last"
    assert await probe.empty()


@pytest.mark.usefixtures("_impatient")
async def test_receivers_that_hang_again_and_again_are_few(
    receive: Any, probe: Probe, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "MAX_STUCK", 2)
    gate = asyncio.Event()

    async def hang(room: str, **arguments: Any) -> None:
        probe.note(room)
        await gate.wait()

    receive(hang, "joined")
    client = await connect("/orders/7")
    rooms = [f"room {number}" for number in range(6)]
    for room in rooms:
        await client.call("join", room)
    assert [await probe.next() for _ in range(3)] == rooms[:3]
    await asyncio.sleep(2 * signals.RECEIVER_TIMEOUT)  # this is what is tested: nothing comes
    assert await probe.empty()
    gate.set()
    assert [await probe.next() for _ in range(3)] == rooms[3:]


@pytest.mark.parametrize("error", [RuntimeError("unexpected"), asyncio.CancelledError()])
async def test_the_sender_goes_on_after_an_error(
    receive: Any,
    probe: Probe,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
    error: BaseException,
) -> None:
    async def receiver(room: str, **arguments: Any) -> None:
        probe.note(room)

    send = signals.SignalSender._send_in_time

    async def fail(self: Any, event: Any) -> None:
        monkeypatch.setattr(signals.SignalSender, "_send_in_time", send)
        raise error

    receive(receiver, "joined")
    monkeypatch.setattr(signals.SignalSender, "_send_in_time", fail)
    monkeypatch.setattr("realtime.execution.tasks.MIN_PAUSE", 0.01)
    client = await connect("/orders/7")
    await client.call("join", "is lost")
    await client.call("join", "a")
    assert await probe.next() == "a"
    (line,) = [record.realtime for record in records if record.args[0] == "service-failed"]
    assert line["service"] == "signals"
