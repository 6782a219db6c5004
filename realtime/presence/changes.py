"""What is to be written next: only what has changed since the last write, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..sockets.interfaces import Observed


class Room(NamedTuple):
    """A room of a namespace."""

    namespace: str
    name: str


class Changes:
    """
    Net changes: a socket that came and went between two writes leaves no trace.

    `returned` are sockets that may have rows already, of whichever server: those of `opened` take
    these over, and those of `closed` remove them. `reassigned` are those among `opened` whose rows
    may have another user. `withdrawn` are sockets that another server has taken while this is being
    written. `waiters` are to be told when all of it is written.
    """

    _written = ("away", "closed", "joined", "left", "opened", "shared", "transports")
    __slots__ = (*_written, "reassigned", "returned", "waiters", "withdrawn")

    def __init__(self) -> None:
        self.opened: dict[str, Observed] = {}
        self.returned: set[str] = set()
        self.reassigned: set[str] = set()
        self.closed: set[str] = set()
        self.joined: dict[str, dict[Room, datetime]] = {}
        self.left: dict[str, set[Room]] = {}
        self.transports: dict[str, str] = {}
        self.shared: dict[str, str] = {}
        self.away: dict[str, datetime] = {}
        self.withdrawn: set[str] = set()
        self.waiters: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self._written)

    def is_bound(self, sid: str) -> bool:
        """Tell whether what is written of a socket is wrong where another server has its row."""
        return (
            sid in self.opened
            or sid in self.joined
            or sid in self.left
            or (sid in self.closed and sid in self.returned)
        )

    def open(self, socket: Observed, rooms: Iterable[Room], at: datetime) -> None:
        """Note that a new socket is to be written, with its rooms."""
        self.opened[socket.sid] = socket
        for room in rooms:
            self.join(socket.sid, room, at)

    def come_back(self, socket: Observed, rooms: Iterable[Room], at: datetime) -> None:
        """
        Note a socket that is to be written as it is now, in these rooms and in no others, whether
        it has a row already or not; that row may be another server's.
        """
        self._forget_details(socket.sid)
        self.returned.add(socket.sid)
        self.open(socket, rooms, at)
        if socket.away_since is not None:
            self.away[socket.sid] = socket.away_since

    def close(self, sid: str) -> None:
        """Remove a socket, with its rooms."""
        self._forget_details(sid)
        if self.opened.pop(sid, None) is None or sid in self.returned:
            self.closed.add(sid)

    def forget(self, sid: str) -> None:
        """Write nothing of a socket: its row is another server's now."""
        self._forget_details(sid)
        self.opened.pop(sid, None)
        self.returned.discard(sid)
        self.closed.discard(sid)

    def _forget_details(self, sid: str) -> None:
        self.joined.pop(sid, None)
        self.left.pop(sid, None)
        self.transports.pop(sid, None)
        self.shared.pop(sid, None)
        self.away.pop(sid, None)

    def join(self, sid: str, room: Room, at: datetime) -> None:
        """Note that a socket's new room is to be written."""
        left = self.left.get(sid)
        if left is not None and room in left:
            left.discard(room)
            if not left:
                del self.left[sid]
        else:
            self.joined.setdefault(sid, {})[room] = at

    def leave(self, sid: str, room: Room) -> None:
        """Remove one of a socket's rooms."""
        joined = self.joined.get(sid)
        if joined is not None and joined.pop(room, None) is not None:
            if not joined:
                del self.joined[sid]
        elif sid not in self.opened:
            self.left.setdefault(sid, set()).add(room)

    def change_transport(self, sid: str, transport: str) -> None:
        """Write a socket's transport, unless the socket itself is still to be written."""
        if sid not in self.opened:
            self.transports[sid] = transport

    def share(self, sid: str, shared: str) -> None:
        """Write what a socket shares, unless the socket itself is still to be written."""
        if sid not in self.opened:
            self.shared[sid] = shared

    def drop(self, sid: str, at: datetime) -> None:
        """Note since when a socket is away."""
        self.away[sid] = at

    def pop(self, limit: int) -> Changes:
        """
        Return what is to be written first and forget it here: all, if few sockets are new.

        Who waits, waits for the last part.
        """
        part = Changes()
        if len(self.opened) <= limit:
            for name in self.__slots__:
                theirs, ours = getattr(part, name), getattr(self, name)
                setattr(part, name, ours)
                setattr(self, name, theirs)
            return part
        part.closed, self.closed = self.closed, part.closed
        part.reassigned, self.reassigned = self.reassigned, part.reassigned
        for sid in list(islice(self.opened, limit)):
            part.opened[sid] = self.opened.pop(sid)
            if (rooms := self.joined.pop(sid, None)) is not None:
                part.joined[sid] = rooms
            if (since := self.away.pop(sid, None)) is not None:
                part.away[sid] = since
        part.returned = {sid for sid in self.returned if sid in part.closed or sid in part.opened}
        self.returned = {sid for sid in self.returned if sid in self.opened}
        return part

    def release(self) -> None:
        """Let go on whoever waits until these changes are written."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()
