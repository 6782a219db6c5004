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

    def write(self, changes: Changes) -> None:
        for sid, left in changes.left.items():
            assert left <= self.rooms[sid], "a row is removed that is not there"
            self.rooms[sid] -= left
        for sid in changes.closed:
            del self.rooms[sid]
            del self.transports[sid], self.shared[sid]
        for sid, opened in changes.opened.items():
            assert sid not in self.rooms
            self.rooms[sid] = set()
            self.transports[sid] = opened.transport
            self.shared[sid] = opened.shared
        for sid, joined in changes.joined.items():
            assert not self.rooms[sid] & joined.keys(), "a row is written twice"
            self.rooms[sid] |= joined.keys()
        for sid, transport in changes.transports.items():
            assert sid in self.transports, "a row is changed that is not there"
            self.transports[sid] = transport
        for sid, shared in changes.shared.items():
            assert sid in self.shared, "a row is changed that is not there"
            self.shared[sid] = shared


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
        self.sockets[sid] = SimpleNamespace(sid=sid, transport="polling", shared="{}")
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
