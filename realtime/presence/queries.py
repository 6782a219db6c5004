"""Who is connected, asked of the database: in the whole cluster, from any process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiref.sync import sync_to_async
from django.db import Error, connections, router
from django.db.models import Q, QuerySet
from django.utils.asyncio import async_unsafe

from ..cluster.envelopes import group_name
from ..cluster.sids import server_of
from ..cluster.targets import Target
from ..exceptions import PresenceUnavailable
from ..fields import DatabaseNow
from ..identity.user_rooms import is_user_room, user_keys
from ..models import (
    Membership,
    Room,
    RoomQuerySet,
    Server,
    Socket,
    SocketQuerySet,
    lifetime,
    recovery,
    require_presence,
)
from . import find_writer
from .bounded import NoAnswer, calls


class Row(NamedTuple):
    """What a server's row tells of the others of its server."""

    pk: str
    seen_at: datetime
    restored_at: datetime | None
    complete: bool
    now: datetime


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
    keys = [group_name(namespace, name) for name in names if not is_user_room(name)]
    among = Q(pk__in=Membership.objects.filter(key__in=keys).values("socket"))
    if sids := [name for name in names if server_of(name) is not None]:
        among |= Q(pk__in=sids)
    if users := user_keys(names):
        among |= Q(user__in=users)
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


def count(sockets: Callable[[], SocketQuerySet]) -> int:
    """
    Return how many rows the queryset has that a function returns.

    Raises PresenceUnavailable where the database fails, does not answer within a bound, or does not
    have all rows since it is back; PresenceDisabled where there are none to be had.
    """
    require_presence()
    raise_if_down()
    alias = router.db_for_read(Socket)
    try:
        return _in_bounds(alias, lambda: _count(alias, sockets()))
    except (Error, NoAnswer) as error:
        raise PresenceUnavailable("The database does not tell who is connected.") from error


async def acount(sockets: Callable[[], SocketQuerySet]) -> int:
    """Return the number of rows, as `count` does, from async code."""
    return await sync_to_async(count)(sockets)


def raise_if_down() -> None:
    """Raise PresenceUnavailable where this process cannot write its own clients."""
    writer = find_writer()
    if writer is not None and writer.is_down:
        raise PresenceUnavailable("The database does not take who is connected.")


@async_unsafe
def _in_bounds(alias: str, question: Callable[[], int]) -> int:
    """
    Ask in a thread that need not be waited for.

    A transaction of the caller's own stays the caller's: what it sees, no other thread does.
    """
    if connections[alias].in_atomic_block:
        return question()
    return calls.call(question)


def _count(alias: str, sockets: SocketQuerySet) -> int:
    """Return how many there are, if that is right before it is counted and after it."""
    _check_rows(alias)
    number = sockets.count()
    _check_rows(alias)
    return number


def _check_rows(alias: str) -> None:
    """
    Raise PresenceUnavailable while the rows may be others than those of the clients.

    That is so while a server writes its rows anew, or others have removed them, and after an outage
    until each server that was there has been heard of again, or cannot be expected any more.
    """
    servers = Server.objects.using(alias).annotate(now=DatabaseNow())
    rows = [Row(*row) for row in servers.values_list(*Row._fields)]
    living = [row for row in rows if row.seen_at > row.now - lifetime()]
    restored = [row.restored_at for row in living if row.restored_at is not None]
    since = max((at for at in restored if at > rows[0].now - recovery()), default=None)
    writer = find_writer()
    own = None if writer is None else writer.server_id
    if (
        (rows and not living)
        or not all(row.complete for row in living)
        or (since is not None and any(row.seen_at < since for row in rows))
        or (own is not None and all(row.pk != own for row in living))
    ):
        raise PresenceUnavailable("Servers are about to write who is connected.")
