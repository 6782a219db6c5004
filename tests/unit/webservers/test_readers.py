"""How frames come in: uvicorn's own protocol, over a transport that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from realtime import NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.execution.pacing import FRAMES_PER_SLICE
from realtime.hub.hub import Hub
from realtime.protocol.frames import Frames
from realtime.webservers import direct
from realtime.webservers.uvicorn import UvicornReader

from ..conftest import Serve
from ..peers import UvicornPeer as Peer
from ..peers import wire


class Main(NamespaceConsumer):
    """Notes what comes."""

    notes: list[Any] = []
    gate: asyncio.Event

    async def disconnect(self, reason: str) -> None:
        self.notes.append(reason)

    @event
    async def note(self, value: Any) -> Any:
        self.notes.append(value)
        return value

    @event
    async def wait(self) -> None:
        await self.gate.wait()


@pytest.fixture
async def main(serve: Serve) -> type[Main]:
    Main.notes = []
    Main.gate = asyncio.Event()
    serve(Main, INBOX_EVENTS=8)
    return Main


@pytest.fixture
async def peer(main: type[Main], hub: Hub) -> Iterator[Peer]:  # type: ignore[misc]
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    peer = Peer(Realtime(nothing))
    await peer.connect()
    assert isinstance(peer.transport.protocol, UvicornReader)
    yield peer
    if not peer.transport.lost:
        peer.lose()
    await peer.until(lambda: not hub.connections)


def note(value: Any, ack_id: int | str = "") -> bytes:
    return wire(f'42{ack_id}["note",{value}]')


async def test_an_event_is_handled_as_its_bytes_come(peer: Peer, main: type[Main]) -> None:
    stream = note(1) + note(2)
    peer.receive(stream[:-3])
    assert main.notes == [1]
    peer.receive(stream[-3:])
    assert main.notes == [1, 2]


async def test_after_many_frames_others_have_their_turn(peer: Peer, main: type[Main]) -> None:
    count = 3 * FRAMES_PER_SLICE + 5
    peer.receive(*map(note, range(count)))
    assert len(main.notes) == FRAMES_PER_SLICE
    assert not peer.transport.reading
    await peer.until(lambda: len(main.notes) == count)
    assert main.notes == list(range(count))
    await peer.until(lambda: peer.transport.reading)


async def test_nothing_is_read_while_handlers_have_too_much_to_do(
    peer: Peer, main: type[Main]
) -> None:
    peer.receive(wire('42["wait"]'), *map(note, range(30)))
    assert not peer.transport.reading
    await asyncio.sleep(0)
    assert main.notes == []
    main.gate.set()
    await peer.until(lambda: len(main.notes) == 30)
    assert main.notes == list(range(30))
    await peer.until(lambda: peer.transport.reading)


async def test_nothing_is_read_while_the_client_does_not_read(
    peer: Peer, main: type[Main], hub: Hub
) -> None:
    peer.transport.reads = False
    [session] = hub.connections.values()
    session.send(Frames("6" * hub.settings.OUTBOX_BYTES))
    await peer.until_sent("666")
    peer.receive(note(1))
    assert main.notes == []
    assert not peer.transport.reading
    peer.transport.read_all()
    await peer.until(lambda: main.notes == [1])
    assert peer.transport.reading


async def test_pongs_count_as_unread(peer: Peer, main: type[Main], hub: Hub) -> None:
    peer.transport.reads = False
    [session] = hub.connections.values()
    session.send(Frames("6" * (hub.settings.OUTBOX_BYTES // 2 - 100)))
    await peer.until_sent("666")
    peer.receive(note(1))
    assert main.notes == [1]
    main.notes.clear()
    peer.receive(Frame(Opcode.PING, b"x" * 125).serialize(mask=True), note(1))
    assert main.notes == []
    assert not peer.transport.reading
    peer.transport.read_all()
    await peer.until(lambda: main.notes == [1])


@pytest.mark.parametrize("held", [False, True], ids=["while it reads", "while it does not"])
async def test_what_came_before_the_end_is_handled(
    peer: Peer, main: type[Main], held: bool
) -> None:
    count = 2 * FRAMES_PER_SLICE if held else FRAMES_PER_SLICE
    peer.receive(*map(note, range(count)))
    peer.lose()
    await peer.until(lambda: "transport close" in main.notes)
    assert main.notes == [*range(count), "transport close"]


async def test_pings_are_answered_in_their_turn(peer: Peer, main: type[Main]) -> None:
    pings = [Frame(Opcode.PING, text) for text in (b"are you there", b"", b"x" * 125)]
    first, *others = (ping.serialize(mask=True) for ping in pings)
    peer.receive(note(1, ack_id=1), first, note(2, ack_id=2), *others)
    assert main.notes == [1, 2]
    pongs = [Frame(Opcode.PONG, ping.data).serialize(mask=False) for ping in pings]
    await peer.until(lambda: peer.transport.written.endswith(pongs[-1]))
    answers = [Frame(Opcode.TEXT, f"43{n}[{n}]".encode()).serialize(mask=False) for n in (1, 2)]
    expected = b"".join((answers[0], pongs[0], answers[1], *pongs[1:]))
    assert peer.transport.written.endswith(expected)


async def test_an_idle_connection_keeps_little_of_the_server(peer: Peer) -> None:
    """And wakes nothing of it for a ping or a pong."""
    for opcode in (Opcode.PING, Opcode.PONG):
        peer.receive(Frame(opcode, b"x").serialize(mask=True))
    assert {"queue", "conn", "writable", "request"}.isdisjoint(vars(peer.server))


async def test_the_server_says_its_last_when_it_stops(peer: Peer, main: type[Main]) -> None:
    peer.server.shutdown()
    assert peer.transport.written.endswith(Frame(Opcode.CLOSE, b"\x03\xf4").serialize(mask=False))
    assert peer.transport.closing


async def test_a_close_frame_ends_the_connection(peer: Peer, main: type[Main]) -> None:
    close = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)
    peer.receive(note(1), close, note(2))
    await peer.until(lambda: "transport close" in main.notes)
    assert main.notes == [1, "transport close"]
    assert close[:1] + b"\x02\x03\xe8" in peer.transport.written
    assert peer.transport.closing


async def test_from_a_fragment_on_frames_come_through_the_server(
    peer: Peer, main: type[Main]
) -> None:
    begin = Frame(Opcode.TEXT, b'42["note",', fin=False).serialize(mask=True)
    end = Frame(Opcode.CONT, b"2]").serialize(mask=True)
    peer.receive(note(1), begin, end[:3])
    peer.receive(end[3:], note(3))
    await peer.until(lambda: len(main.notes) == 3)
    await peer.until(lambda: peer.transport.reading)
    peer.receive(note(4))
    await peer.until(lambda: len(main.notes) == 4)
    assert main.notes == [1, 2, 3, 4]


async def test_answers_leave_before_the_servers_last_word(peer: Peer, main: type[Main]) -> None:
    not_text = Frame(Opcode.TEXT, b"4\xff").serialize(mask=True)
    peer.receive(note(1, ack_id=7), not_text)
    await peer.until(lambda: "transport close" in main.notes)
    answer, last = peer.transport.written.split(b"437[1]")
    assert b"\x88" not in answer
    assert last.startswith(b"\x88")


async def test_a_frame_that_is_too_large_is_refused_before_it_has_come(
    peer: Peer, main: type[Main], hub: Hub
) -> None:
    size = hub.settings.MAX_PAYLOAD + 1
    peer.receive(note(1), Frame(Opcode.BINARY, bytes(size)).serialize(mask=True)[:20])
    await peer.until(lambda: "transport error" in main.notes)
    await peer.until_sent(f"a frame of {size} bytes")


async def test_a_task_that_a_handler_waits_in_holds_no_frame(peer: Peer, main: type[Main]) -> None:
    peer.receive(wire('42["wait"]'), note(1), wire("3"))
    assert main.notes == []
    main.gate.set()
    await peer.until(lambda: 1 in main.notes)


async def test_after_a_while_others_have_their_turn(
    peer: Peer, main: type[Main], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "SECONDS_PER_SLICE", -1)
    peer.receive(*map(note, range(5)))
    assert main.notes == [0]
    assert not peer.transport.reading
    await peer.until(lambda: len(main.notes) == 5)
    assert main.notes == list(range(5))
    await peer.until(lambda: peer.transport.reading)
