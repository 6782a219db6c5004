"""Net changes, against a plain model of what the database should hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime.presence.changes import Changes, Room

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B = Room("/", "a"), Room("/", "b")

Truth = dict[str, tuple[str, set[Room]]]


def socket(sid: str) -> Any:
    return SimpleNamespace(sid=sid)


class Database:
    """Applies changes, and complains about what a real database would refuse."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[Room]] = {}
        self.transports: dict[str, str] = {}
        self.shared: dict[str, str] = {}
        self.away: dict[str, Any] = {}

    def write(self, changes: Changes) -> None:
        for sid, left in changes.left.items():
            assert left <= self.rooms[sid], "a row is removed that is not there"
            self.rooms[sid] -= left
        for sid in changes.closed:
            assert sid in self.rooms or sid in changes.returned
            for rows in (self.rooms, self.transports, self.shared, self.away):
                rows.pop(sid, None)
        for sid, opened in changes.opened.items():
            assert sid not in self.rooms or sid in changes.returned
            self.rooms[sid] = set()
            self.transports[sid] = opened.transport
            self.shared[sid] = opened.shared
            self.away[sid] = None
        for sid, joined in changes.joined.items():
            assert not self.rooms[sid] & joined.keys(), "a row is written twice"
            self.rooms[sid] |= joined.keys()
        for sid, transport in changes.transports.items():
            assert sid in self.transports, "a row is changed that is not there"
            self.transports[sid] = transport
        for sid, shared in changes.shared.items():
            assert sid in self.shared, "a row is changed that is not there"
            self.shared[sid] = shared
        for sid, since in changes.away.items():
            assert sid in self.away, "a row is changed that is not there"
            self.away[sid] = since


class Sockets:
    """What happens to sockets, told to `changes`, and how it is now."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.rooms: dict[str, set[Room]] = {}
        self.sockets: dict[str, Any] = {}
        self.made = 0

    def open(self, number: int, room: Room) -> None:
        sid = f"socket {self.made}"
        self.made += 1
        self.rooms[sid] = {room}
        self.sockets[sid] = SimpleNamespace(
            sid=sid, transport="polling", shared="{}", away_since=None
        )
        self.changes.open(self.sockets[sid], [room], NOW)

    def _pick(self, number: int) -> str | None:
        return sorted(self.rooms)[number % len(self.rooms)] if self.rooms else None

    def close(self, number: int, room: Room) -> None:
        if (sid := self._pick(number)) is not None:
            del self.rooms[sid], self.sockets[sid]
            self.changes.close(sid)

    def join(self, number: int, room: Room) -> None:
        if (sid := self._pick(number)) is not None and room not in self.rooms[sid]:
            self.rooms[sid].add(room)
            self.changes.join(sid, room, NOW)

    def leave(self, number: int, room: Room) -> None:
        if (sid := self._pick(number)) is not None and room in self.rooms[sid]:
            self.rooms[sid].discard(room)
            self.changes.leave(sid, room)

    def drop(self, number: int, room: Room) -> None:
        if (sid := self._pick(number)) is not None:
            self.sockets[sid].away_since = NOW
            self.changes.drop(sid, NOW)

    def come_back(self, number: int, room: Room) -> None:
        """Come back in one more room, by another transport."""
        if (sid := self._pick(number)) is not None:
            self.rooms[sid].add(room)
            new = SimpleNamespace(**{**vars(self.sockets[sid]), "away_since": None})
            self.sockets[sid] = new
            self.changes.come_back(new, self.rooms[sid], NOW)

    def adopt(self, number: int, room: Room) -> None:
        """Come from another server, away and in one room."""
        self.open(number, room)
        sid = f"socket {self.made - 1}"
        self.changes.close(sid)
        self.sockets[sid].away_since = NOW
        self.changes.come_back(self.sockets[sid], [room], NOW)

    def move(self, number: int, room: Room) -> None:
        if (sid := self._pick(number)) is not None:
            self.sockets[sid].transport = "websocket"
            self.changes.change_transport(sid, "websocket")

    def share(self, number: int, room: Room) -> None:
        if (sid := self._pick(number)) is not None:
            self.sockets[sid].shared = shared = f'{{"room": "{room.name}"}}'
            self.changes.share(sid, shared)


EVENTS: list[Callable[..., None]] = [
    Sockets.open,
    Sockets.open,
    Sockets.close,
    Sockets.drop,
    Sockets.come_back,
    Sockets.adopt,
    Sockets.join,
    Sockets.leave,
    Sockets.move,
    Sockets.share,
]
EVENT = st.tuples(st.sampled_from(EVENTS), st.integers(0, 9), st.sampled_from([A, B]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(EVENT, EVENT, EVENT, st.integers(1, 2)), max_size=40))
@example([(Sockets.open, 0, A), (Sockets.open, 0, A), 1])
def test_the_database_follows(steps: list[Any]) -> None:
    """Events, and writes of at most so many new sockets, in any order."""
    changes, database = Changes(), Database()
    sockets = Sockets(changes)
    for step in steps:
        if isinstance(step, int):
            database.write(changes.pop(step))
        else:
            event, number, room = step
            event(sockets, number, room)
    while changes:
        database.write(changes.pop(3))
    assert database.rooms == sockets.rooms
    assert database.transports == {sid: s.transport for sid, s in sockets.sockets.items()}
    assert database.shared == {sid: s.shared for sid, s in sockets.sockets.items()}
    assert database.away == {sid: s.away_since for sid, s in sockets.sockets.items()}


def test_what_came_and_went_leaves_nothing() -> None:
    changes = Changes()
    assert not changes
    changes.open(socket("x"), [A], NOW)
    changes.change_transport("x", "websocket")
    changes.share("x", "{}")
    changes.close("x")
    changes.join("y", A, NOW)
    changes.leave("y", A)
    changes.leave("y", B)
    changes.join("y", B, NOW)
    assert not changes


def test_nothing_is_written_of_what_another_server_has() -> None:
    changes = Changes()
    for sid in ("new", "back"):
        came = SimpleNamespace(sid=sid, away_since=None)
        note: Any = changes.open if sid == "new" else changes.come_back
        note(came, [A], NOW)
    for sid in ("old", "new", "back"):
        changes.join(sid, B, NOW)
        changes.leave(sid, A)
        changes.change_transport(sid, "websocket")
        changes.share(sid, "{}")
        changes.drop(sid, NOW)
        changes.forget(sid)
        assert not changes.is_bound(sid)
    changes.close("old")
    changes.forget("old")
    assert not changes


def test_what_has_to_be_undone_where_another_server_has_the_row() -> None:
    changes = Changes()
    changes.drop("x", NOW)
    changes.share("x", "{}")
    changes.change_transport("x", "polling")
    changes.close("y")
    assert not changes.is_bound("x")
    assert not changes.is_bound("y")
    changes.join("x", A, NOW)
    changes.leave("y", A)
    changes.open(socket("z"), [], NOW)
    assert all(changes.is_bound(sid) for sid in "xyz")


async def test_who_waits_is_told_with_the_last_part() -> None:
    changes = Changes()
    for number in range(5):
        changes.open(socket(str(number)), [], NOW)
    waiter = asyncio.get_running_loop().create_future()
    changes.waiters.append(waiter)
    first = changes.pop(3)
    first.release()
    assert (len(first.opened), len(changes.opened), waiter.done()) == (3, 2, False)
    second = changes.pop(3)
    assert not changes
    second.release()
    second.release()
    assert waiter.done()
