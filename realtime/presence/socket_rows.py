"""The rows of one server's sockets and of their rooms, written within a transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from .. import models
from ..cluster.envelopes import group_name
from ..models import Membership
from ..sockets.interfaces import Observed
from .changes import Changes, Room
from .seen_users import SeenUsers
from .statements import (
    AT_ONCE,
    DELETE,
    DELETE_PAIR,
    INSERT,
    SELECT,
    SELECT_WITH,
    UPDATE,
    UPDATE_ONE,
    UPSERT,
    Statement,
    TextsStatement,
)
from .users import UserKeys

SOCKET = (
    *("sid", "server", "connection", "namespace", "user", "address", "user_agent"),
    *("transport", "data", "connected_at", "away_since"),
)
MEMBERSHIP = ("socket", "namespace", "room", "key", "joined_at")


class SocketRows:
    """
    What is executed for every socket that changes; made in its thread.

    A socket may come back on another server than it was on. That one takes its row over, and what
    this server does with the rows that it had before has no effect on those that are not its own.
    """

    def __init__(self, server_id: str, alias: str) -> None:
        self._server_id = server_id
        self._alias = alias
        self._users = UserKeys(alias)
        connection = connections[alias]
        self._can_lock = connection.features.has_select_for_update
        lock = f" {connection.ops.for_update_sql()}" if self._can_lock else ""
        socket = models.Socket
        self._lock = TextsStatement(alias, socket, SELECT + lock, "sid")
        self._lock_own = TextsStatement(alias, socket, SELECT_WITH + lock, "server", "sid")
        self._open = Statement(alias, socket, INSERT, *SOCKET)
        self._take = Statement(alias, socket, UPSERT, *SOCKET)
        self._close = TextsStatement(alias, socket, DELETE, "sid")
        self._move = TextsStatement(alias, socket, UPDATE, "transport", "server", "sid")
        self._share = Statement(alias, socket, UPDATE_ONE, "data", "server", "sid")
        self._drop = Statement(alias, socket, UPDATE_ONE, "away_since", "server", "sid")
        self._join = Statement(alias, Membership, INSERT, *MEMBERSHIP)
        self._leave = Statement(alias, Membership, DELETE_PAIR, "socket", "key")
        self._leave_all = TextsStatement(alias, Membership, DELETE, "socket")
        self._seen = SeenUsers(server_id, alias)

    def write(self, changes: Changes) -> None:
        """Write changes."""
        me = self._server_id
        if changes.closed or changes.returned:
            self._begin()
        self._seen.note([*changes.closed, *changes.reassigned])
        self._leave.execute(
            (sid, group_name(*room)) for sid, rooms in changes.left.items() for room in rooms
        )
        self._remove(changes)
        opened, returned = changes.opened, sorted(changes.opened.keys() & changes.returned)
        new = [socket for sid, socket in opened.items() if sid not in changes.returned]
        self._open.execute(self._rows(new, changes.away))
        self._join.execute(
            _membership(sid, room, at)
            for sid, rooms in changes.joined.items()
            if sid not in changes.returned
            for room, at in rooms.items()
        )
        for start in range(0, len(returned), AT_ONCE):
            self._take_over(returned[start : start + AT_ONCE], changes)
        for transport in set(changes.transports.values()):
            moved = [sid for sid, its in changes.transports.items() if its == transport]
            self._move.execute(moved, transport, me)
        self._share.execute((shared, me, sid) for sid, shared in changes.shared.items())
        self._drop.execute((at, me, sid) for sid, at in changes.away.items() if sid not in opened)

    def _begin(self) -> None:
        """
        Let this transaction write, before it reads what it decides by.

        Where rows cannot be locked, as in SQLite, nobody else writes from then on; and one that
        has read first may be refused to write.
        """
        if not self._can_lock:
            self._close.execute([""])

    # Sockets that go

    def _remove(self, changes: Changes) -> None:
        """Remove sockets, but for those that are on other servers by now."""
        taken = changes.closed & changes.returned
        own = self._lock_own.find(sorted(changes.closed - taken), self._server_id)
        self._delete([*own, *taken])

    def remove_some(self, servers: QuerySet[Any], most: int) -> bool:
        """Remove some sockets of servers, which have to be locked; tell if these were all."""
        sockets = models.Socket.objects.using(self._alias).filter(server__in=servers)
        some = sockets.order_by("pk").values_list("pk", flat=True)
        self._seen.note(list(some[:most]))
        self._delete(list(some.select_for_update()[:most]))
        return not sockets.exists()

    def _delete(self, sids: Sequence[str]) -> None:
        """Remove sockets with their memberships."""
        self._leave_all.execute(sids)
        self._close.execute(sids)

    # Sockets that come

    def _take_over(self, sids: Sequence[str], changes: Changes) -> None:
        """
        Write sockets as they are now, whatever their rows were, and their memberships.

        Who is writing to one of these rows at the moment is waited for first, so that all of its
        memberships are seen.
        """
        self._lock.find(sids)
        self._take.execute(self._rows([changes.opened[sid] for sid in sids], changes.away))
        wanted = {
            (sid, group_name(*room)): _membership(sid, room, at)
            for sid in sids
            for room, at in changes.joined.get(sid, {}).items()
        }
        members = Membership.objects.using(self._alias).filter(socket__in=sids)
        there = set(members.values_list("socket_id", "key"))
        self._leave.execute(there - wanted.keys())
        self._join.execute(row for pair, row in wanted.items() if pair not in there)

    def _rows(
        self, sockets: Collection[Observed], away: dict[str, datetime]
    ) -> Iterator[tuple[Any, ...]]:
        facts = [socket.facts for socket in sockets]
        keys = self._users.keys(each.user for each in facts)
        for socket, its, user in zip(sockets, facts, keys, strict=True):
            yield (
                socket.sid,
                self._server_id,
                its.connection,
                socket.namespace,
                user,
                _clean(its.address, models.ADDRESS_LENGTH),
                _clean(its.user_agent, models.USER_AGENT_LENGTH),
                its.transport,
                socket.shared,
                socket.opened_at,
                away.get(socket.sid),
            )


def _membership(sid: str, room: Room, at: datetime) -> tuple[Any, ...]:
    return (sid, *room, group_name(*room), at)


def _clean(text: str, length: int) -> str:
    """Return a text that any database takes."""
    text = text[:length].replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
