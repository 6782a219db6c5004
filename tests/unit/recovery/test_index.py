"""Finding those who are away costs what is found, however many they are."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pytest

import realtime
from realtime.cluster.targets import Target
from realtime.hub.hub import Hub
from realtime.identity.clients import ClientFacts
from realtime.recovery.identities import NOBODY, Identity
from realtime.recovery.index import SessionIndex
from realtime.recovery.session import Session
from realtime.sockets.trail import Trail
from tests.unit.conftest import Connect, Serve
from tests.unit.recovery.test_recovery import Rooms

NAMESPACES = ["/", "/chat"]
ROOMS = [f"room {number}" for number in range(6)]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Rooms, RECOVERY={"SECONDS": 60, "PRESENCE_SECONDS": 60})


def new_session(
    number: int, namespace: str = "/", rooms: Iterable[str] = (), identity: Identity = NOBODY
) -> Session:
    """Return a session; two of each connection have one."""
    facts = ClientFacts(f"c{number // 2}", None, "", "", "websocket")
    return Session(
        sid=f"sid {number}",
        namespace=namespace,
        identity=identity,
        trail=Trail(f"pid {number}", 0),
        rooms=set(rooms),
        data="{}",
        shared="",
        connection=facts.connection,
        facts=facts,
        user=None,
        consumer_class=Rooms,
        opened_at=None,
        away_since=NOW,
        reason="transport close",
        until=0.0,
        counts_until=0.0,
    )


def is_sid(name: str) -> bool:
    return name.startswith("sid ")


def test_it_finds_who_is_meant() -> None:
    """As going through all of them does, whatever has joined, left and gone."""
    chance = random.Random(5)
    index, there = SessionIndex(is_sid), list[Session]()

    def names(most: int) -> tuple[str, ...]:
        sids = [session.sid for session in there[:3]]
        return tuple(chance.sample([*ROOMS, *sids, "nobody"], chance.randint(0, most)))

    for number in range(1_500):
        rooms = chance.sample(ROOMS, chance.randint(0, 3))
        there.append(new_session(number, chance.choice(NAMESPACES), rooms))
        index.add(there[-1])
        session = chance.choice(there)
        room = chance.choice(ROOMS)
        was_in = room in session.rooms
        assert index.join(session, room) is not was_in
        session = chance.choice(there)
        was_in = room in session.rooms
        assert index.leave(session, room) is was_in
        if len(there) > 20:
            gone = there.pop(chance.randrange(len(there)))
            assert index.remove(gone)
            assert not index.remove(gone)
        target = Target(chance.choice(NAMESPACES), names(3), names(2))
        found = index.select(target)
        assert len(found) == len(set(found))
        assert set(found) == {each for each in there if target.means(each)}
        assert set(index) == set(there)
        connection = chance.choice(there).connection
        assert set(index.of_connection(connection)) == {
            each for each in there if each.connection == connection
        }
    for session in there:
        index.remove(session)
    left = (index._namespaces, index._rooms, index._connections, index._users)
    assert not len(index)
    assert not any(groups._members for groups in left)


def test_a_sid_names_its_client_alone() -> None:
    """Who has joined a room of such a name is not meant, nor is one of another namespace."""
    index = SessionIndex(is_sid)
    one, other = new_session(1), new_session(2, rooms=["sid 1", "sid 7"])
    elsewhere = new_session(3, "/chat", ["sid 1"])
    for session in (one, other, elsewhere):
        index.add(session)
    assert index.select(Target("/", ("sid 1",))) == [one]
    assert index.select(Target("/", ("sid 7",))) == []
    assert index.select(Target("/chat", ("sid 1",))) == []
    assert index.select(Target("/", (), ("sid 1",))) == [other]


def test_one_client() -> None:
    index = SessionIndex(is_sid)
    both = [new_session(2), new_session(3, "/chat")]
    for session in both:
        index.add(session)
    assert index.select(Target("", ("sid 2",), client=True)) == both[:1]
    assert index.select(Target("/", ("sid 2",), client=True)) == both[:1]
    assert index.select(Target("/chat", ("sid 2",), client=True)) == both[1:]
    assert index.select(Target("/none", ("sid 2",), client=True)) == []
    assert index.select(Target("", ("sid 4",), client=True)) == []


def test_a_user() -> None:
    index = SessionIndex(is_sid)
    sessions = [
        new_session(1, identity=Identity("1", "a")),
        new_session(2, identity=Identity("1", "b")),
        new_session(3, identity=Identity("2", "a")),
        new_session(4),
    ]
    for session in sessions:
        index.add(session)
    assert index.of_user("1") == sessions[:2]
    index.remove(sessions[0])
    assert index.of_user("1") == sessions[1:2]


class Counted(set[str]):
    """The rooms of somebody who is not meant: whoever looks is noted."""

    looks = 0

    def __iter__(self) -> Iterator[str]:
        Counted.looks += 1
        return super().__iter__()

    def __contains__(self, room: object) -> bool:
        Counted.looks += 1
        return super().__contains__(room)


async def test_a_command_looks_at_nobody_else(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what is reported all the time."""
    clients = [await connect(auth={"rooms": [f"room {number}", "all"]}) for number in range(50)]
    for client in clients:
        client.drop()
    recovery = hub.recovery
    assert recovery is not None
    for session in recovery.sessions:
        session.rooms = Counted(session.rooms)
    monkeypatch.setattr(Counted, "looks", 0)
    realtime.to("room 7").join("b")
    realtime.to(clients[3].sid).leave("all")
    realtime.to("room 9").close()
    assert hub.stats()["away"] == 49
    assert 0 < Counted.looks < 20
    realtime.to("b").emit("n", 1)
    await clients[7].connect()
    assert (await clients[7].receive())[1] == 1
    assert (await clients[7].call("state"))["rooms"] == ["all", "b", "room 7"]
