"""Who is connected, asked of the database: in the whole cluster, from any process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error
from django.db.models import Q, QuerySet

from .exceptions import PresenceUnavailable
from .hub.envelopes import group_name
from .hub.sids import server_of
from .hub.targets import Target
from .models import Membership, Room, RoomQuerySet, Socket, SocketQuerySet

if TYPE_CHECKING:
    Base = QuerySet[Any]
else:
    Base = object


@contextmanager
def _available() -> Iterator[None]:
    """Raise PresenceUnavailable where the database fails."""
    try:
        yield
    except Error as error:
        raise PresenceUnavailable("The database does not tell who is connected.") from error


class Asked(Base):
    """A QuerySet that raises PresenceUnavailable wherever its database fails."""

    def _fetch_all(self) -> None:
        with _available():
            super()._fetch_all()

    def count(self) -> int:
        with _available():
            return super().count()

    def exists(self) -> bool:
        with _available():
            return super().exists()

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        with _available():
            return super().aggregate(*args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        with _available():
            return super().explain(*args, **kwargs)

    def iterator(self, chunk_size: int | None = None) -> Iterator[Any]:
        with _available():
            yield from super().iterator(chunk_size)

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Any]:
        with _available():
            async for row in super().aiterator(chunk_size):
                yield row


class AskedSockets(Asked, SocketQuerySet):
    """Sockets that were asked for."""


class AskedRooms(Asked, RoomQuerySet):
    """Rooms that were asked for."""


def _online() -> AskedSockets:
    return AskedSockets(Socket, Socket.objects.online().query)


def find_sockets(target: Target) -> SocketQuerySet:
    """Return the online sockets of a target. Raises PresenceDisabled."""
    sockets = _online().filter(namespace=target.namespace)
    if target.rooms:
        sockets = sockets.filter(_among(target.namespace, target.rooms))
    if target.excluded:
        sockets = sockets.exclude(_among(target.namespace, target.excluded))
    return sockets


def _among(namespace: str, names: tuple[str, ...]) -> Q:
    """Return the condition to be in one of some rooms, or to have one of some sids."""
    keys = [group_name(namespace, name) for name in names]
    among = Q(pk__in=Membership.objects.filter(key__in=keys).values("socket"))
    if sids := [name for name in names if server_of(name) is not None]:
        among |= Q(pk__in=sids)
    return among


def find_rooms(target: Target) -> RoomQuerySet:
    """
    Return the rooms that the sockets of a target are in, each with the number of those sockets as
    `sockets`. Raises PresenceDisabled.
    """
    rooms = AskedRooms(Room, Room.objects.with_counts().query)
    rooms = rooms.filter(namespace=target.namespace)
    if target.rooms or target.excluded:
        rooms = rooms.filter(member__in=find_sockets(target))
    return rooms


def find_clients() -> SocketQuerySet:
    """Return one row for each connected client. Raises PresenceDisabled."""
    return _online().values("connection").distinct()  # type: ignore[return-value]
