"""Signs of life on the group of all hubs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.cluster.envelopes import HUBS, Beat, open_parcel, unpack
from realtime.cluster.heartbeats import Heartbeats
from realtime.cluster.layer_connection import LayerConnection
from realtime.cluster.peers import Peers
from realtime.cluster.sequences import Outgoing
from tests.unit.probes import DEADLINE

from .conftest import BEAT, EXPIRY, KeptTasks, until
from .layer import Bus


class Station:
    """The beats of one hub, and those that it hears."""

    def __init__(self, bus: Bus, server: str) -> None:
        self.layer = bus.connect()
        self.channel = "channel " + server
        kept = KeptTasks()
        self.tasks = kept.all
        self.spawn = kept.spawn
        self.link = LayerConnection(self.layer, kept, self._probe, self._restore, lambda: None)
        self.peers = Peers(asyncio.get_running_loop().time, lambda server, left: None)
        self.outgoing = Outgoing()
        self.beats = Heartbeats(
            server, self.link, self.peers, self.outgoing, lambda: {"sockets": 1}
        )
        self.beats.channel = self.channel
        # Its own beats, while they are late.
        self.holds = False
        self.held: list[Beat] = []
        self.heard: list[Beat] = []
        bus.groups.setdefault(HUBS, set()).add(self.channel)
        self.spawn(self._listen(server))

    async def _probe(self) -> None:
        await self.beats.probe()

    async def _restore(self) -> None:
        await self.beats.greet()

    async def _listen(self, server: str) -> None:
        while True:
            try:
                message = await self.layer.receive(self.channel)
            except ConnectionError:
                await asyncio.sleep(0.01)
                continue
            for beat in unpack(open_parcel(message)):
                assert isinstance(beat, Beat)
                if beat.server == server and self.holds:
                    self.held.append(beat)
                elif beat.server == server:
                    self.beats.heard_own(beat)
                else:
                    self.heard.append(beat)
                    self.beats.heard(beat)


Stations = tuple[Station, Station]


@pytest.fixture
async def stations(bus: Bus) -> AsyncIterator[Stations]:
    one, two = Station(bus, "one"), Station(bus, "two")
    yield one, two
    for task in one.tasks + two.tasks:
        task.cancel()


async def test_beats_tell_who_is_there(stations: Stations) -> None:
    one, two = stations
    one.outgoing.sent("lane", one.outgoing.next("lane"))
    one.spawn(one.beats.run())
    await until(lambda: len(two.heard) >= 3)
    assert two.peers.channel("one") == "channel one"
    assert two.peers.reports() == {"one": {"sockets": 1}}
    assert [beat.tails for beat in two.heard[:3]] == [{}, {"lane": (1, 1)}, {}]
    assert not one.peers.deaf


async def test_a_greeting_is_answered_to_who_greets(stations: Stations) -> None:
    one, two = stations
    async with asyncio.timeout(DEADLINE):
        await one.beats.greet()
    await until(lambda: one.heard)
    assert one.heard[0].echo == two.heard[0].hello
    assert one.peers.names() == ["two"]
    assert two.peers.names() == ["one"]


async def test_a_greeting_waits_for_all_that_are_known(stations: Stations) -> None:
    one, two = stations
    one.peers.heard(Beat("two", "channel two"))
    two.layer.hang("send")
    greeting = asyncio.create_task(one.beats.greet())
    await until(lambda: two.layer.calls["send"])
    assert not greeting.done()
    two.layer.resume()
    async with asyncio.timeout(DEADLINE):
        await greeting


@pytest.mark.expiry
async def test_a_greeting_does_not_wait_for_the_dead(stations: Stations) -> None:
    one, _ = stations
    one.peers.heard(Beat("dead", "nowhere"))
    async with asyncio.timeout(DEADLINE):
        await one.beats.greet()


@pytest.mark.expiry
async def test_a_greeting_that_does_not_come_back(stations: Stations, bus: Bus) -> None:
    bus.copies = lambda channel, message: int(channel != "channel one")
    with pytest.raises(ConnectionError, match="does not come back"):
        await stations[0].beats.greet()


async def test_goodbye(stations: Stations) -> None:
    one, two = stations
    await one.beats.greet()
    await one.beats.say(leaving=True)
    await until(lambda: not two.peers.names())


async def test_a_beat_that_fails_is_an_outage(stations: Stations, records: list[Any]) -> None:
    one, two = stations
    one.layer.fail()
    one.spawn(one.beats.run())
    await until(lambda: not one.link.up.is_set())
    one.layer.resume()
    await until(lambda: one.link.up.is_set() and two.heard)


@pytest.mark.parametrize("missing", [False, True], ids=["in order", "one is missing"])
@pytest.mark.expiry
async def test_beats_that_come_back_late(
    stations: Stations, records: list[Any], missing: bool
) -> None:
    """A slow layer is no deaf one: only where one of them is missing may others' messages be."""
    one, two = stations
    one.beats._clock = lambda: time.time() + 2 * BEAT  # so others' are late, too
    two.spawn(two.beats.run())
    one.spawn(one.beats.run())
    await until(lambda: one.heard)
    echoed = one.peers.echoed
    one.holds = True
    await until(lambda: one.beats.late and len(one.held) > 3)
    assert one.link.up.is_set()
    one.holds = False
    held = one.held[missing:]
    while held:
        one.beats.heard_own(held.pop(0))
        if missing:
            assert not one.link.up.is_set()
    assert echoed < one.peers.echoed < asyncio.get_running_loop().time()
    assert not one.beats.late
    assert one.link.up.is_set() is not missing
    assert ("layer-deaf" in [record.args[0] for record in records]) is missing


@pytest.mark.parametrize("others", ["late", "in time", "missing"])
@pytest.mark.expiry
async def test_beats_that_do_not_come_back(
    stations: Stations, records: list[Any], monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    """They are waited for where others' are late, too, but not for ever."""
    one, two = stations
    monkeypatch.setattr("realtime.cluster.heartbeats.MAX_LATE", 5 * EXPIRY)
    if others == "late":
        one.beats._clock = lambda: time.time() + 2 * BEAT
    if others != "missing":
        two.spawn(two.beats.run())
    one.holds = True
    one.spawn(one.beats.run())
    await until(lambda: not one.link.up.is_set())
    assert "layer-deaf" in [record.args[0] for record in records]
