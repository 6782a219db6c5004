"""Who is connected, asked of the database: in the whole cluster, from any process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error
from django.db.models import Q

from .exceptions import PresenceUnavailable
from .hub.envelopes import group_name
from .hub.sids import server_of
from .hub.targets import Target
from .models import Membership, Room, RoomQuerySet, Socket, SocketQuerySet


def find_sockets(target: Target) -> SocketQuerySet:
    """Return the online sockets of a target. Raises PresenceDisabled."""
    sockets = Socket.objects.online().filter(namespace=target.namespace)
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
    rooms: RoomQuerySet = Room.objects.with_counts().filter(namespace=target.namespace)
    if target.rooms or target.excluded:
        rooms = rooms.filter(member__in=find_sockets(target))
    return rooms


def find_clients() -> SocketQuerySet:
    """Return one row for each connected client. Raises PresenceDisabled."""
    return Socket.objects.online().values("connection").distinct()  # type: ignore[return-value]


@contextmanager
def available() -> Iterator[None]:
    """Raise PresenceUnavailable where the database fails."""
    try:
        yield
    except Error as error:
        raise PresenceUnavailable("The database does not tell who is connected.") from error
