"""What is to be written next: only what has changed since the last write, and nothing twice."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..sockets.socket import Socket


class Room(NamedTuple):
    """A room of a namespace."""

    namespace: str
    name: str


class Changes:
    """
    Net changes: a socket that came and went between two writes leaves no trace.

    `waiters` are to be told when all of it is written.
    """

    __slots__ = ("closed", "joined", "left", "moved", "opened", "shared", "waiters")

    def __init__(self) -> None:
        self.opened: dict[str, Socket] = {}
        self.closed: set[str] = set()
        self.joined: dict[str, dict[Room, datetime]] = {}
        self.left: dict[str, set[Room]] = {}
        self.moved: dict[str, str] = {}
        self.shared: dict[str, str] = {}
        self.waiters: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return bool(
            self.opened or self.closed or self.joined or self.left or self.moved or self.shared
        )

    def open(self, socket: Socket) -> None:
        """Note that a new socket is to be written."""
        self.opened[socket.sid] = socket

    def close(self, sid: str) -> None:
        """Remove a socket, with its rooms."""
        self.joined.pop(sid, None)
        self.left.pop(sid, None)
        self.moved.pop(sid, None)
        self.shared.pop(sid, None)
        if self.opened.pop(sid, None) is None:
            self.closed.add(sid)

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
        else:
            self.left.setdefault(sid, set()).add(room)

    def move(self, sid: str, transport: str) -> None:
        """Write a socket's transport, unless the socket itself is still to be written."""
        if sid not in self.opened:
            self.moved[sid] = transport

    def share(self, sid: str, shared: str) -> None:
        """Write what a socket shares, unless the socket itself is still to be written."""
        if sid not in self.opened:
            self.shared[sid] = shared

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
        for sid in list(islice(self.opened, limit)):
            part.opened[sid] = self.opened.pop(sid)
            if (rooms := self.joined.pop(sid, None)) is not None:
                part.joined[sid] = rooms
        return part

    def release(self) -> None:
        """Let go on whoever waits until these changes are written."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()
