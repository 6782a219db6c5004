"""Sockets that drop, come back and move between hubs of one process, told to their observers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from realtime.cluster.sids import new_sid
from realtime.hub.hub import Hub
from realtime.identity.clients import ClientFacts


def facts(connection: str = "first", **others: Any) -> ClientFacts:
    """Return what is told of a client."""
    values = {"user": None, "address": "10.0.0.1", "user_agent": "Test/1", "transport": "websocket"}
    return ClientFacts(**{"connection": connection, **values, **others})


@dataclass(eq=False)
class Wanderer:
    """A socket, or the session that is left of one, as observers see it."""

    sid: str
    namespace: str = "/"
    rooms: set[str] = field(default_factory=set)
    shared: str = "{}"
    opened_at: datetime | None = field(default_factory=timezone.now)
    away_since: datetime | None = None
    facts: ClientFacts = field(default_factory=facts)
    consumer_class: type = object
    user: Any = None

    @property
    def all_rooms(self) -> set[str]:
        """The same: it leaves none later than at once."""
        return self.rooms

    @property
    def observed(self) -> bool:
        """Whether the hub's observers know it."""
        return True

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log nothing."""
        return False


class Away:
    """The sessions that a hub keeps of clients that are away."""

    def __init__(self) -> None:
        self.kept: dict[str, Wanderer] = {}

    def counted(self) -> list[Wanderer]:
        """Return them."""
        return list(self.kept.values())


class Site:
    """
    One hub, whose sockets are told to its observers as recovery does.

    Its methods neither wait nor write: a test decides when that happens.
    """

    def __init__(self) -> None:
        self.hub = Hub()
        self.away = Away()
        self.hub.sessions = self.away

    def open(self, *rooms: str, socket: Wanderer | None = None, **fields: Any) -> Wanderer:
        """Let a new client in, or one whose session counts no more."""
        socket = socket or Wanderer(new_sid(self.hub.server_id), rooms=set(rooms), **fields)
        self._enter(socket)
        self.hub.observers.opened(socket)  # type: ignore[arg-type]
        return socket

    def drop(self, socket: Wanderer) -> None:
        """Let a client drop."""
        self.hub.registry.remove(socket)  # type: ignore[arg-type]
        socket.away_since = timezone.now()
        self.away.kept[socket.sid] = socket
        self.hub.observers.away(socket)

    def come_back(self, socket: Wanderer) -> None:
        """Let a client in again that was away here, or has moved here."""
        self.away.kept.pop(socket.sid, None)
        socket.away_since = None
        self._enter(socket)
        self.hub.observers.back(socket)  # type: ignore[arg-type]

    def give_away(self, socket: Wanderer) -> None:
        """Let another hub have a socket, or the session that is left of it."""
        self._remove(socket)
        self.hub.observers.moved(socket)

    def adopt(self, socket: Wanderer) -> None:
        """Keep a session that was another hub's."""
        self.away.kept[socket.sid] = socket
        self.hub.observers.adopted(socket)

    def close(self, socket: Wanderer) -> None:
        """Let a client be gone, or a session count no more."""
        self._remove(socket)
        self.hub.observers.closed(socket, "transport close")

    def join(self, socket: Wanderer, room: str) -> None:
        """Put a socket in a room, present or away."""
        if socket.away_since is None:
            self.hub.registry.join(socket, room)  # type: ignore[arg-type]
        socket.rooms.add(room)
        self.hub.observers.joined(socket, room)

    def leave(self, socket: Wanderer, room: str) -> None:
        """Take a socket out of a room, present or away."""
        if socket.away_since is None:
            self.hub.registry.leave(socket, room)  # type: ignore[arg-type]
        socket.rooms.discard(room)
        self.hub.observers.left(socket, room)

    def _enter(self, socket: Wanderer) -> None:
        self.hub.registry.add(socket)  # type: ignore[arg-type]
        for room in socket.rooms:
            self.hub.registry.join(socket, room)  # type: ignore[arg-type]

    def _remove(self, socket: Wanderer) -> None:
        self.away.kept.pop(socket.sid, None)
        self.hub.registry.remove(socket)  # type: ignore[arg-type]

    async def written(self) -> None:
        """Wait until all that was told is written."""
        await self.hub.flush_local()

    async def stop(self) -> None:
        """End the hub; its clients are not told."""
        for socket in tuple(self.hub.registry.sockets.values()):
            self.hub.registry.remove(socket)
        await self.hub.close(grace=0.5)
