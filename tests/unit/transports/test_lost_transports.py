"""No connection outlives its transport, wherever in a conversation that is lost, and however."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from websockets.frames import Opcode

from realtime import NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.execution.pacing import FRAMES_PER_SLICE
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub

from ..conftest import Serve
from ..peers import PEERS, SOON, Peer, frame, wire
from ..probes import DEADLINE

INBOX_EVENTS, OUTBOX_BYTES, MAX_PAYLOAD = 8, 10_000, 2000


class Talker(NamespaceConsumer):
    """Answers, is busy until a gate opens, and counts its hooks."""

    gate: asyncio.Event
    opened = closed = 0

    async def connect(self, auth: Any) -> None:
        type(self).opened += 1
        self.join("room")

    async def disconnect(self, reason: str) -> None:
        type(self).closed += 1
        raise ValueError("a fault of the site's")

    @event
    async def nothing(self) -> None: ...

    @event
    async def big(self) -> None:
        self.emit("big", "x" * 3000)

    @event
    async def wait(self) -> None:
        await self.gate.wait()

    @event
    async def boom(self) -> None:
        raise ValueError("a fault of the site's")

    @event
    async def bye(self) -> None:
        self.close()


def as_event(name: str, *, plain: bool) -> bytes:
    """Return the frame of an event."""
    return wire(json.dumps({"event": name, "args": []}) if plain else f'42["{name}"]')


CONTROL = {
    "ping": frame(Opcode.PING),
    "long ping": frame(Opcode.PING, b"x" * 125),
    "pong": frame(Opcode.PONG),
    "close": frame(Opcode.CLOSE, b"\x03\xe8"),
    "begin of a message": frame(Opcode.TEXT, b"4", fin=False),
    "end of a message": frame(Opcode.CONT, b'2["nothing"]'),
    "not UTF-8": frame(Opcode.TEXT, b"\xff"),
    "no frame": b"\xff" * 20,
    "too large": frame(Opcode.BINARY, bytes(MAX_PAYLOAD + 1)),
    "bytes": frame(Opcode.BINARY, b"x"),
    "no packet": wire("?"),
    "half a frame": frame(Opcode.TEXT, b"x" * 50)[:30],
}
EVENTS = ("nothing", "big", "wait", "boom", "bye")
# As those who attack do it, and then all that may come.
USUAL = st.sampled_from(("nothing", "nothing", "big", "wait", "ping"))
SENT = st.tuples(
    st.lists(USUAL | st.sampled_from((*EVENTS, *CONTROL)), min_size=1, max_size=4),
    st.sampled_from((1, 1, FRAMES_PER_SLICE, 2 * FRAMES_PER_SLICE)),
)


class Conversation(RuleBasedStateMachine):
    """One client and its server."""

    kind: str
    plain: bool
    hub: Hub
    peer: Peer

    def __init__(self) -> None:
        super().__init__()
        self.gone = False
        self.log: list[str] = []
        self.handler = logging.Handler()
        self.handler.emit = lambda record: self.log.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("realtime").addHandler(self.handler)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)  # what a test broke itself
        self.run(self._open())

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(work)

    async def _open(self) -> None:
        async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

        Talker.gate = asyncio.Event()
        Talker.opened = Talker.closed = 0
        self.hub = ensure_hub()
        self.peer = PEERS[self.kind](Realtime(nothing))
        await (self.peer.connect_plain() if self.plain else self.peer.connect())

    @property
    def transport(self) -> Any:
        return self.peer.transport

    async def _deliver(self) -> None:
        self.transport.deliver()

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            self.transport.deliver()
            await asyncio.sleep(0)

    async def _call(self, call: Callable[[], object]) -> None:
        call()

    # What the client does

    @precondition(lambda self: not self.gone)
    @rule(sent=SENT)
    def send(self, sent: tuple[list[str], int]) -> None:
        kinds, times = sent
        parts = [CONTROL.get(kind) or as_event(kind, plain=self.plain) for kind in kinds]
        self.transport.send(b"".join(parts) * times)
        self.run(self._deliver())

    @precondition(lambda self: not self.gone)
    @rule()
    def stop_reading(self) -> None:
        self.transport.reads = False

    @precondition(lambda self: not self.gone)
    @rule()
    def read(self) -> None:
        self.run(self._call(self.transport.read_all))

    @precondition(lambda self: not self.gone)
    @rule(how=st.sampled_from(["FIN", "RST", "RST that a write finds"]))
    def go_away(self, how: str) -> None:
        self.gone = True
        error = None if how == "FIN" else ConnectionResetError("the test")
        self.transport.end(error)
        if how == "RST that a write finds":  # whether anything is read, or not
            self.run(self._call(self._reset))
        self.run(self._deliver())

    def _reset(self) -> None:
        if not self.transport.lost:
            self.transport.fail(ConnectionResetError("the test"))

    # What happens to the server

    @rule(count=st.sampled_from([1, 2, 5, 50]))
    def turn(self, count: int) -> None:
        self.run(self._turns(count))

    @rule(how=st.sampled_from(["error", "raise"]))
    def break_writing(self, how: str) -> None:
        self.transport.broken = how

    @rule()
    def open_the_gate(self) -> None:
        self.run(self._call(Talker.gate.set))

    @rule(size=st.sampled_from([1, OUTBOX_BYTES // 3]))
    def emit(self, size: int) -> None:
        def emit() -> None:
            for socket in list(self.hub.registry.sockets.values()):
                socket.consumer.emit("news", "x" * size)

        self.run(self._call(emit))

    @rule()
    def beat(self) -> None:
        def look() -> None:
            for connection in list(self.hub.connections.values()):
                slot = max(connection._due, self.hub.timers.after(0))
                self.hub.timers.remove(connection, connection._slot)
                connection.on_timer(slot)

        self.run(self._call(look))

    # What has to hold

    def teardown(self) -> None:
        try:
            self.run(self._end())
        finally:
            logging.getLogger("realtime").removeHandler(self.handler)
            self.loop.close()

    async def _end(self) -> None:
        try:
            if not self.gone:
                self.transport.end()
            if not self.transport.reads:  # its system answers what is written with a reset
                self.transport.reads = True
                self._reset()
            await self._until(lambda: self.transport.lost or not self.transport.reading)
            if not self.transport.lost:  # who reads nothing sees no end
                Talker.gate.set()
            await self._until(lambda: not self.hub.connections)
            assert not self.hub.registry.sockets
            assert not self.hub.registry.count_rooms()
            assert not any(self.hub.timers._slots.values())
            await self._until(lambda: Talker.closed == Talker.opened)
            await self._until(lambda: self.transport.lost)
            assert not self.transport.misused
            Talker.gate.set()
            await self._until(lambda: not self.hub.stats()["tasks"])
            assert not [line for line in self.log if line.startswith("task-failed")]
        finally:
            await self.hub.close(grace=0.1)

    async def _until(self, check: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not check():
            assert time.monotonic() < deadline, (self.hub.stats(), self.log)
            self.transport.deliver()
            await asyncio.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "Socket.IO"])
@pytest.mark.parametrize("kind", PEERS)
def test_a_connection_ends_with_its_transport(
    kind: str, plain: bool, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Talker, INBOX_EVENTS=INBOX_EVENTS, OUTBOX_BYTES=OUTBOX_BYTES, MAX_PAYLOAD=MAX_PAYLOAD)
    for module in ("sockets.socket", "webservers.direct"):
        monkeypatch.setattr(f"realtime.{module}.DISCONNECT_GRACE", SOON)
    for module in ("adapters", "uvicorn"):
        monkeypatch.setattr(f"realtime.webservers.{module}.CLOSE_TIMEOUT", SOON)
    machine = type("Machine", (Conversation,), {"kind": kind, "plain": plain})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
