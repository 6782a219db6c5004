"""What a client's payloads may cost: memory while they wait, and the turns of the others."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

from realtime import NamespaceConsumer
from realtime.execution import pacing
from realtime.testing import MemoryWriter
from realtime.transports import intake
from realtime.transports.plain import PlainConnection
from realtime.transports.session import MAX_FIRST

from ..conftest import Serve
from ..probes import DEADLINE, Probe, Wire

DENSE = '{"":[]},' * 12_000 + "0"
BINARY = '451-["e",{"_placeholder":true,"num":0},' + DENSE + "]"


class Waits(NamespaceConsumer):
    """Its first event waits for the client, the others for that."""

    seen: list[Any] = []

    async def receive(self, event: str, *args: Any) -> None:
        if event == "ask":
            await self.acall("question", timeout=DEADLINE)
        else:
            self.seen.append(args)


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    Waits.seen = []


async def settle() -> None:
    for _ in range(300):
        await asyncio.sleep(0)


async def test_what_waits_takes_no_more_memory_than_it_came_in(serve: Serve, new_wire: Any) -> None:
    serve(Waits)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('42["ask"]')
    assert await wire.next() == '420["question"]'
    frames = [f'42["e",{DENSE}]' for _ in range(10)] + [BINARY, b"x"]
    tracemalloc.start()
    wire.feed(*frames)
    await settle()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert wire.unread() == 0
    assert taken < sum(map(len, frames)) / 2, "the test has the frames; nothing else is kept"
    wire.feed("430[]")
    await settle()
    assert len(Waits.seen) == 11
    assert Waits.seen[0] == tuple(json.loads(f"[{DENSE}]"))
    assert Waits.seen[10] == (b"x", *json.loads(f"[{DENSE}]"))


async def test_all_attachments_count_as_waiting(serve: Serve, new_wire: Any) -> None:
    serve(Waits, INBOX_BYTES=100_000)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('42["ask"]')
    assert await wire.next() == '420["question"]'
    placeholders = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(3))
    wire.feed(f'453-["e",{placeholders}]', b"x" * 60_000, b"y" * 39_000, b"z")
    await settle()
    assert not wire.session.closed.happened
    wire.feed('451-["e",{"_placeholder":true,"num":0}]', b"x" * 2000)
    assert await wire.next() is None


async def test_an_event_that_waits_on_a_plain_websocket(serve: Serve, new_wire: Any) -> None:
    serve(Waits)
    hub = new_wire().session.hub
    scope = {"type": "websocket", "path": "/ws/", "headers": [], "user": None}
    sent: asyncio.Queue[Any] = asyncio.Queue()
    plain = PlainConnection(hub, scope, MemoryWriter(sent.put_nowait))
    hub.entrance.enter(plain, "/", {}, "")
    assert "connected" in await sent.get()
    plain.feed_safely('{"event":"ask"}')
    assert json.loads(await sent.get())["event"] == "question"
    plain.feed_safely('{"event":"e","args":[1,{"$bytes":"eA=="},"\\ud83d"]}')
    await settle()
    assert Waits.seen == []
    plain.feed_safely('{"ack":0}')
    await settle()
    assert Waits.seen == [(1, b"x", "\ufffd")]
    plain.close("transport close")


# Turns, by time: the clock is always beyond the end of a turn


async def count_turns(wire: Wire, count: int) -> list[int]:
    """Return how many events were seen after each turn of the loop."""
    seen = []
    for _ in range(20 * count):
        await asyncio.sleep(0)
        seen.append(len(Waits.seen))
        if seen[-1] == count:
            return seen
    raise AssertionError(seen)


async def test_others_have_their_turn_between_costly_frames(
    serve: Serve, new_wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "SECONDS_PER_SLICE", -1)
    serve(Waits)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(*['42["e"]'] * 10)
    assert set(await count_turns(wire, 10)) >= set(range(1, 11))


async def test_others_have_their_turn_between_costly_events_that_waited(
    serve: Serve, new_wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "SECONDS_PER_SLICE", -1)
    serve(Waits)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('42["ask"]', *['42["e"]'] * 10, "430[]")
    assert set(await count_turns(wire, 10)) >= set(range(1, 11))


# Before the first namespace


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"x", "an attachment before CONNECT"),
        ('451-["e",{"_placeholder":true,"num":0}]', "BINARY_EVENT before CONNECT"),
        ('461-1[{"_placeholder":true,"num":0}]', "BINARY_ACK before CONNECT"),
        ('42["e",' + DENSE + "]", "EVENT before CONNECT"),
        ("42not even JSON", "EVENT before CONNECT"),
        ("41", "DISCONNECT before CONNECT"),
        ('44"error"', "CONNECT_ERROR before CONNECT"),
        ('40{"token":"' + "x" * MAX_FIRST + '"}', f"at most {MAX_FIRST} before CONNECT"),
        ("3" + "x" * MAX_FIRST, f"at most {MAX_FIRST} before CONNECT"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_comes_before_connect_is_refused(
    serve: Serve, new_wire: Any, records: list[Any], frame: str | bytes, reason: str
) -> None:
    serve(Waits)
    wire: Wire = new_wire()
    wire.feed(frame)
    assert await wire.next() is None
    [refused] = [record for record in records if record.args[0] == "parse-error"]
    assert reason in str(refused.realtime["message"])


async def test_a_long_token_in_the_first_connect(serve: Serve, new_wire: Any) -> None:
    serve(Waits)
    wire: Wire = new_wire()
    assert (await wire.connect(auth='{"token":"' + "x" * (MAX_FIRST - 20) + '"}'))[:2] == "40"
    wire.feed("42" + json.dumps(["e", "x" * 2 * MAX_FIRST]))
    await settle()
    assert len(Waits.seen) == 1


# Half a surrogate pair, in all that a client sends


async def test_half_a_surrogate_pair(serve: Serve, new_wire: Any, probe: Probe) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note(auth)

        async def receive(self, event: str, *args: Any) -> None:
            probe.note((event, *args))
            if event == "ask":
                probe.note(await self.acall("question", timeout=DEADLINE))

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect(auth='{"\\ud83d":"\\ude42"}')
    wire.feed('42["a\\ud83d","good morning \\ud83d",{"\\ud83d":1}]', '42["ask"]', '430["\\ud83d"]')
    wire.feed('451-["e",{"_placeholder":true,"num":0},"\\ud83d"]', b"x")
    assert [await probe.next() for _ in range(5)] == [
        {"\ufffd": "\ufffd"},
        ("a\ufffd", "good morning \ufffd", {"\ufffd": 1}),
        ("ask",),
        "\ufffd",
        ("e", b"x", "\ufffd"),
    ]
