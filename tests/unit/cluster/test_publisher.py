"""What is put comes out once, in order, and within a bound."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cluster.layer_connection import PARALLEL
from realtime.cluster.publisher import Publisher
from realtime.cluster.sequences import Lane
from tests.unit.probes import DEADLINE

from .conftest import until

ROOMS = [Lane(f"room {n}", namespace="/") for n in range(6)]
WIDE = Lane("/", namespace="/", wide=True)
OTHER_WIDE = Lane("/other", namespace="/other", wide=True)
OTHER_ROOM = Lane("other room", namespace="/other")
CLIENT = Lane("channel", direct=True, namespace="/")
ANSWER = Lane("channel", direct=True)
EVERYBODY = Lane("everybody", exclusive=True)
LANES = [*ROOMS, WIDE, OTHER_WIDE, OTHER_ROOM, CLIENT, ANSWER, EVERYBODY]


class Sent(NamedTuple):
    """A message that the layer took: when that began and ended, as turns of a clock."""

    lane: Lane
    message: dict[str, Any]
    start: int
    end: int


class Recorder:
    """A layer that takes some turns of the loop for each message."""

    def __init__(self, turns: list[int]) -> None:
        self.sent: list[Sent] = []
        self.at_work = self.most = 0
        self._turns = turns
        self._clock = 0

    async def transmit(self, lane: Lane, message: dict[str, Any]) -> None:
        start = self._tick()
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        for _ in range(self._turns.pop() if self._turns else 1):
            await asyncio.sleep(0)
        self.at_work -= 1
        self.sent.append(Sent(lane, message, start, self._tick()))

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def find(self, body: bytes) -> Sent:
        """Return the one message with this body."""
        [found] = [sent for sent in self.sent if body in sent.message["bodies"]]
        return found


def keep_order(one: Lane, two: Lane) -> bool:
    """Tell whether messages in these lanes must not overtake each other."""
    return (
        one.name == two.name
        or one.exclusive
        or two.exclusive
        or (one.namespace == two.namespace and one.wide != two.wide)
    )


@given(
    st.lists(st.tuples(st.sampled_from(LANES), st.booleans()), max_size=60),
    st.lists(st.integers(1, 5)),
)
def test_once_and_in_order(puts: list[tuple[Lane, bool]], turns: list[int]) -> None:
    recorder = Recorder(turns)

    async def run() -> None:
        publisher = Publisher("server", recorder.transmit)
        running = asyncio.create_task(publisher.run())
        for number, (lane, pause) in enumerate(puts):
            assert publisher.put(lane, str(number).encode())
            if pause:
                await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            await publisher.drain(0)
        running.cancel()

    asyncio.run(run())
    bodies = [body for sent in recorder.sent for body in sent.message["bodies"]]
    assert sorted(map(int, bodies)) == list(range(len(puts)))
    assert recorder.most <= PARALLEL
    found = [recorder.find(str(number).encode()) for number in range(len(puts))]
    for later, (lane, _) in enumerate(puts):
        assert found[later].lane.name == lane.name
        for earlier, (before, _) in enumerate(puts[:later]):
            one, two = found[earlier], found[later]
            if one is two:
                bodies = one.message["bodies"]
                assert bodies.index(b"%d" % earlier) < bodies.index(b"%d" % later)
            elif keep_order(before, lane):
                assert one.end < two.start
    places: dict[str, int] = {}
    for sent in sorted(recorder.sent, key=lambda sent: sent.message["number"]):
        places[sent.lane.name] = places.get(sent.lane.name, 0) + 1
        assert sent.message["place"] == places[sent.lane.name]
        assert sent.message["lane"] == sent.lane.name
    assert len({sent.message["number"] for sent in recorder.sent}) == len(recorder.sent)


class Gate:
    """A layer that takes nothing until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.asked: list[Lane] = []
        self.sent: list[list[bytes]] = []

    async def transmit(self, lane: Lane, message: dict[str, Any]) -> None:
        self.asked.append(lane)
        await self.opened.wait()
        self.sent.append(message["bodies"])


@pytest.fixture
async def gate() -> Gate:
    return Gate()


async def test_what_comes_meanwhile_is_gathered(gate: Gate) -> None:
    publisher = Publisher("server", gate.transmit)
    running = asyncio.create_task(publisher.run())
    publisher.put(ROOMS[0], b"first")
    await until(lambda: gate.asked)
    for number in range(100):
        publisher.put(ROOMS[number % 2], b"%d" % number)
    gate.opened.set()
    await publisher.drain(0)
    running.cancel()
    even, odd = ([b"%d" % n for n in range(first, 100, 2)] for first in (0, 1))
    assert gate.sent == [[b"first"], even, odd]


async def test_large_messages_leave_in_parts(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.publisher.MESSAGE_BYTES", 10)
    publisher = Publisher("server", gate.transmit)
    for body in (b"1234", b"567", b"890", b"1", b"larger than any part", b"2", b"3"):
        publisher.put(ROOMS[0], body)
    gate.opened.set()
    running = asyncio.create_task(publisher.run())
    await publisher.drain(0)
    running.cancel()
    assert gate.sent == [[b"1234", b"567", b"890"], [b"1"], [b"larger than any part"], [b"2", b"3"]]


async def test_the_backlog_is_bounded(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.cluster.publisher.BACKLOG_BYTES", 100)
    publisher = Publisher("server", gate.transmit)
    running = asyncio.create_task(publisher.run())
    assert [publisher.put(ROOMS[0], b"x" * 30) for _ in range(6)] == [True] * 3 + [False] * 3
    assert publisher.put(ROOMS[1], b"x" * 10)  # what is small enough still fits
    assert (publisher.backlog, publisher.lost) == (100, 3)
    gate.opened.set()
    await until(lambda: not publisher.backlog)
    assert sum(map(len, (body for bodies in gate.sent for body in bodies))) == 100
    await until(lambda: len(records) == 2)
    assert [(record.args[0], record.realtime) for record in records] == [
        ("layer-backlog-full", {"namespace": "/", "bytes": 90}),
        ("layer-backlog-sent", {"lost": 3}),
    ]
    assert publisher.put(ROOMS[0], b"x" * 30)
    running.cancel()


async def test_draining_waits_until_there_is_room(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher("server", gate.transmit)
    await publisher.drain()
    for _ in range(3):
        publisher.put(ROOMS[0], b"x" * 10)
    await publisher.drain(30)
    draining = asyncio.create_task(publisher.drain(29))
    running = asyncio.create_task(publisher.run())
    await until(lambda: gate.asked)
    assert not draining.done()
    gate.opened.set()
    async with asyncio.timeout(DEADLINE):
        await draining
    running.cancel()
