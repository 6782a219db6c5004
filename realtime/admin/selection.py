"""The sockets that staff have chosen: themselves, as the members of rooms, or as a user's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import realtime
from realtime import Broadcaster

from ..cluster.envelopes import group_name
from ..models import Membership, Room, Socket, SocketQuerySet
from .counting import MANY

# Rows that can be chosen at once.
MAX_ROWS = MANY

# Rooms that are suggested.
MAX_SUGGESTIONS = 100

# Ids in one message, which every server looks through.
IDS_PER_MESSAGE = 500


class Part(NamedTuple):
    """Sockets of one namespace, and the rooms or ids by which they are named."""

    sockets: Broadcaster
    names: tuple[str, ...]


class Selection(ABC):
    """Rows that were chosen, and the sockets that they stand for."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    @property
    @abstractmethod
    def sockets(self) -> SocketQuerySet:
        """The sockets that are meant, each once."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """Return what reaches all of them, each once. Raises UnknownNamespace."""

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of the rows."""
        return sorted({row.namespace for row in self.rows})

    def members_of(self, room: str) -> SocketQuerySet:
        """Return those of the sockets that are in a room."""
        keys = [group_name(namespace, room) for namespace in self.namespaces]
        return self.sockets.filter(memberships__key__in=keys)

    def rooms(self) -> list[str]:
        """Return the names of rooms that the sockets are in, a few."""
        members = Membership.objects.filter(socket__in=self.sockets)
        names = members.order_by("room").values_list("room", flat=True).distinct()
        return list(names[:MAX_SUGGESTIONS])


class ChosenSockets(Selection):
    """Sockets that were chosen one by one, or by a filter."""

    rows: Sequence[Socket]

    @property
    def sockets(self) -> SocketQuerySet:
        return Socket.objects.online().filter(pk__in=[socket.sid for socket in self.rows])

    def parts(self) -> list[Part]:
        named = ((socket.namespace, socket.sid) for socket in self.rows)
        return [
            _part(namespace, sids[start : start + IDS_PER_MESSAGE])
            for namespace, sids in _by_namespace(named)
            for start in range(0, len(sids), IDS_PER_MESSAGE)
        ]


class ChosenRooms(Selection):
    """All members of the rooms that were chosen."""

    rows: Sequence[Room]

    @property
    def sockets(self) -> SocketQuerySet:
        keys = [room.key for room in self.rows]
        members = Membership.objects.filter(key__in=keys)
        return Socket.objects.online().filter(pk__in=members.values("socket"))

    def parts(self) -> list[Part]:
        named = ((room.namespace, room.name) for room in self.rows)
        return [_part(namespace, names) for namespace, names in _by_namespace(named)]


class SocketsOfUser(Selection):
    """All sockets of one user, in all namespaces."""

    @property
    def sockets(self) -> SocketQuerySet:
        return Socket.objects.online().filter(user=self._user)

    @property
    def _user(self) -> Any:
        return self.rows[0]

    @property
    def namespaces(self) -> list[str]:
        names = self.sockets.order_by("namespace").values_list("namespace", flat=True)
        return list(names.distinct())

    def parts(self) -> list[Part]:
        return [
            Part(realtime.of(namespace).to_user(self._user), ()) for namespace in self.namespaces
        ]


def _part(namespace: str, names: list[str]) -> Part:
    return Part(realtime.of(namespace).to(*names), tuple(names))


def _by_namespace(named: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    names = defaultdict(list)
    for namespace, name in named:
        names[namespace].append(name)
    yield from names.items()
