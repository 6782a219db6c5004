"""The log of events beside a model that forgets nothing."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime.recovery.log import ENTRY_BYTES, STREAM_BYTES, STREAMS, EventLog, Key, Lost, Packet
from realtime.sockets import trail as trails
from realtime.sockets.trail import Trail
from realtime.utils.recovery import RecoveryOptions

LIFETIME = 100.0
OPTIONS = RecoveryOptions(60, events=5, bytes=4_000)


class Clock:
    """The time, as a test sets it."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def packet(number: int, size: int = 10) -> Packet:
    """Return an event."""
    return Packet(f"id{number}", "x" * size, ())


class Sent(NamedTuple):
    """An event as the model has it: who was in which rooms then is known, too."""

    number: int
    at: float
    rooms: tuple[str | None, ...]
    excluded: tuple[str, ...]
    members: dict[str, frozenset[str]]


class Client:
    """A client whose log is looked at."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.trail = Trail("pid", 0)
        self.rooms: set[str] = set()


rooms = st.sampled_from(["a", "b", "c"])
sids = st.sampled_from(["one", "two"])
targets = st.lists(rooms | sids, min_size=1, max_size=3, unique=True) | st.just([None])


class Model(RuleBasedStateMachine):
    """Two clients of one namespace, and events for them and for others."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.log = EventLog("server", OPTIONS, LIFETIME, self.clock)
        self.clients = {sid: Client(sid) for sid in ("one", "two")}
        self.sent: list[Sent] = []

    @rule(
        to=targets,
        excluded=st.lists(rooms | sids, max_size=2).map(tuple),
        size=st.sampled_from([1, 500, 2_000, 5_000]),
    )
    def send(self, to: list[str | None], excluded: tuple[str, ...], size: int) -> None:
        number = self.log.number + 1
        keys: list[Key] = [("/", room) for room in to]
        offset = self.log.add(keys, packet(number, size), excluded)
        assert offset == self.log.offset == self.log.offset_of(number)
        members = {sid: frozenset(client.rooms | {sid}) for sid, client in self.clients.items()}
        self.sent.append(Sent(number, self.clock.now, tuple(to), excluded, members))

    @rule(room=st.lists(rooms, min_size=1), size=st.sampled_from([1, 1_000]))
    def send_much(self, room: list[str], size: int) -> None:
        for each in room:
            self.send([each], (), size)

    @rule(count=st.integers(10, 60))
    def send_elsewhere(self, count: int) -> None:
        for number in range(count):
            self.send([f"other {number}"], (), 2_000)

    @rule(sid=sids, room=rooms)
    def join(self, sid: str, room: str) -> None:
        client = self.clients[sid]
        if room not in client.rooms:
            client.rooms.add(room)
            client.trail.join(room, self.log.number)

    @rule(sid=sids, room=rooms)
    def leave(self, sid: str, room: str) -> None:
        client = self.clients[sid]
        if room in client.rooms:
            client.rooms.remove(room)
            client.trail.leave(room, self.log.number)

    @rule(sid=sids, back=st.integers(0, 5))
    def confirm(self, sid: str, back: int) -> None:
        trail = self.clients[sid].trail
        trail.confirm(max(trail.confirmed, self.log.number - back))

    @rule(seconds=st.sampled_from([1.0, 40.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def sweep(self) -> None:
        self.log.sweep()

    @rule(sid=sids, back=st.integers(0, 100))
    def look(self, sid: str, back: int) -> None:
        client = self.clients[sid]
        position = max(0, self.log.number - back)
        since = max(position, client.trail.confirmed)
        meant = [each for each in self.sent if each.number > since and is_for(each, sid)]
        try:
            found = self.log.missed("/", sid, client.trail, client.rooms, position)
        except Lost:
            assert self.may_have_lost(sid, since)
            return
        numbers = [entry.number for entry in found]
        assert numbers == sorted(set(numbers))
        assert {entry.packet.id for entry in found} == {f"id{number}" for number in numbers}
        assert set(numbers) <= {each.number for each in meant}
        young = {each.number for each in meant if each.at >= self.clock.now - LIFETIME}
        assert young <= set(numbers), "what is not there has to be told"

    def may_have_lost(self, sid: str, since: int) -> bool:
        """Tell whether anything has gone from where a client was at any time since."""
        there: set[str | None] = {None, sid}
        there |= self.clients[sid].rooms
        for each in self.sent:
            if each.number > since:
                there |= each.members[sid]
        kept = {
            (entry.number, room)
            for (_, room), stream in self.log._streams.items()
            for entry in stream.entries
        }
        return any(
            (each.number, room) not in kept
            for each in self.sent
            if each.number > since
            for room in each.rooms
            if room in there
        )

    @invariant()
    def bounds(self) -> None:
        streams = self.log._streams.values()
        for stream in streams:
            assert 0 < len(stream.entries) <= OPTIONS.events
            assert stream.bytes == sum(entry.size for entry in stream.entries) <= OPTIONS.bytes
        total = sum(stream.bytes + STREAM_BYTES for stream in streams)
        assert self.log.bytes == total <= STREAMS * OPTIONS.bytes

    def teardown(self) -> None:
        """In the end nothing is left."""
        self.clock.now += 2 * LIFETIME
        self.log.sweep()
        assert (self.log.bytes, self.log._streams, self.log._dropped) == (0, {}, {})


def is_for(sent: Sent, sid: str) -> bool:
    """Tell whether an event was for a client, where it was then."""
    names = sent.members[sid]
    if names & set(sent.excluded):
        return False
    return None in sent.rooms or bool(names & set(sent.rooms))


TestModel = pytest.mark.slow(Model.TestCase)
TestModel.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> EventLog:
    return EventLog("server", OPTIONS, LIFETIME, clock)


def numbers(log: EventLog, client: Client, position: int) -> list[int]:
    """Return the numbers of what a client has missed."""
    return [
        entry.number for entry in log.missed("/", client.sid, client.trail, client.rooms, position)
    ]


def test_a_room_that_was_left_before_is_as_noisy_as_it_likes(log: EventLog) -> None:
    client = Client("one")
    client.rooms.add("noisy")
    client.trail.join("noisy", log.number)
    for number in range(20):
        log.add([("/", "noisy")], packet(number))
    client.rooms.remove("noisy")
    client.trail.leave("noisy", log.number)
    left = log.number
    for number in range(20):
        log.add([("/", "noisy")], packet(number))
    log.add([("/", "one")], packet(0))
    assert numbers(log, client, left) == [log.number]
    with pytest.raises(Lost):
        numbers(log, client, left - 10)


def test_noisy_rooms_make_room_and_quiet_ones_stay(log: EventLog) -> None:
    quiet = [f"quiet {number}" for number in range(10)]
    for room in quiet:
        log.add([("/", room)], packet(0))
    for number in range(500):
        log.add([("/", f"noisy {number % 30}")], packet(number, 1_000))
    for number, room in enumerate(quiet, 1):
        client = Client("one")
        client.rooms.add(room)
        assert numbers(log, client, 0) == [number]
    client.rooms.add("noisy 1")
    with pytest.raises(Lost):
        numbers(log, client, 0)


def test_an_event_that_is_too_large_is_missing_for_those_who_need_it(log: EventLog) -> None:
    log.add([("/", "one"), ("/", "two")], packet(1, OPTIONS.bytes))
    log.add([("/", "two")], packet(2))
    for sid in ("one", "two"):
        with pytest.raises(Lost):
            numbers(log, Client(sid), 0)
    assert numbers(log, Client("two"), 1) == [2]
    assert numbers(log, Client("three"), 0) == []


def test_all_that_an_event_has_counts(log: EventLog) -> None:
    before = log.bytes
    log.add([("/", "a")], Packet("id", "x" * 100, (b"y" * 200,)), ("z" * 300,))
    assert log.bytes - before >= STREAM_BYTES + ENTRY_BYTES + 600


def test_who_has_left_too_many_rooms_is_told(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trails, "MAX_PAST", 3)
    client = Client("one")
    for number in range(5):
        client.trail.join(f"room {number}", log.number)
        log.add([("/", f"room {number}")], packet(number))
        client.trail.leave(f"room {number}", log.number)
    assert numbers(log, client, 2) == [3, 4, 5]
    with pytest.raises(Lost, match="not known any more"):
        numbers(log, client, 1)
