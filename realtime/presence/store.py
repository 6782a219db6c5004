"""What presence does with the database, each in one transaction. All of it blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.contrib.auth import get_user_model
from django.db import connections, router, transaction
from django.db.models import F
from django.db.models.functions import Now

from .. import models
from ..hub.envelopes import group_name
from ..models import Membership, Server, ServerQuerySet, lifetime
from ..sockets import Socket
from ..transports.requests import header
from .changes import Changes
from .servers import Description

Item = TypeVar("Item")

# Values in one IN (...), and sockets of a dead server removed at a time.
CHUNK = 500

# Lifetimes after which a server's rows are removed; a little more than one, after which they do not
# count, so that a server that is late sees that itself.
DEAD_FOR = 1.1

# The start of a connection's secret id: enough to tell connections apart, too little to guess it.
CONNECTION_LENGTH = 12


class Lost(Exception):
    """This server missed so many heartbeats that others take it for dead."""


class Swept(NamedTuple):
    """A dead server, and whether all of its rows are removed."""

    server: str
    done: bool


class Store:
    """Writes one server's rows."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._id = description.id
        self._user_model = get_user_model()
        self._alias = router.db_for_write(models.Socket)

    def _transaction(self) -> Any:
        return transaction.atomic(using=self._alias)

    def register(self) -> None:
        """Write this server without sockets, whatever it has left behind."""
        self.remove()
        fields = self._description.fields()
        Server.objects.using(self._alias).create(**fields, seen_at=Now())

    def remove(self) -> None:
        """Remove all of this server's rows. They count no more from the first moment on."""
        me = Server.objects.using(self._alias).filter(pk=self._id)
        if me.update(seen_at=Now() - lifetime()):
            while not self._remove_some(me):
                pass

    def _remove_some(self, servers: ServerQuerySet) -> bool:
        """Remove rows of a server, unless it is not among `servers` any more; tell if all went."""
        with self._transaction():
            # Only a write waits for a server that is deciding whether it lives after all.
            if not servers.update(seen_at=F("seen_at")):
                return True
            sids = models.Socket.objects.using(self._alias).filter(server__in=servers)
            some = list(sids.values_list("sid", flat=True)[:CHUNK])
            self._delete_sockets(some)
            if len(some) == CHUNK:
                return False
            servers.delete()
            return True

    def write(self, changes: Changes) -> None:
        """
        Write changes, which may be none; it is this server's heartbeat too.

        Raises Lost where this server is dead already: its rows go away, and it has to start anew.
        """
        with self._transaction():
            # First a write, so that SQLite waits for its turn here, and others for ours.
            self._beat()
            if changes:
                self._delete(changes)
                self._insert(changes)
                self._update(changes)

    def _beat(self) -> None:
        me = Server.objects.using(self._alias).living().filter(pk=self._id)
        if not me.update(seen_at=Now()):
            raise Lost

    def _delete(self, changes: Changes) -> None:
        for sids in _chunks(changes.left):
            self._delete_left({sid: changes.left[sid] for sid in sids})
        for sids in _chunks(changes.closed):
            self._delete_sockets(sids)

    def _delete_left(self, left: dict[str, Any]) -> None:
        pairs = {(sid, group_name(*room)) for sid, rooms in left.items() for room in rooms}
        for keys in _chunks({key for _, key in pairs}):
            found = Membership.objects.using(self._alias).filter(socket__in=left, key__in=keys)
            rows = found.values_list("pk", "socket_id", "key")
            ids = [pk for pk, sid, key in rows if (sid, key) in pairs]
            for part in _chunks(ids):
                Membership.objects.using(self._alias).filter(pk__in=part).delete()

    def _delete_sockets(self, sids: list[str]) -> None:
        models.Socket.objects.using(self._alias).filter(sid__in=sids).only("sid").delete()

    def _insert(self, changes: Changes) -> None:
        models.Socket.objects.using(self._alias).bulk_create(
            [self._row(socket) for socket in changes.opened.values()]
        )
        Membership.objects.using(self._alias).bulk_create(
            [
                Membership(
                    socket_id=sid,
                    namespace=room.namespace,
                    room=room.name,
                    key=group_name(*room),
                    joined_at=at,
                )
                for sid, rooms in changes.joined.items()
                for room, at in rooms.items()
            ]
        )

    def _row(self, socket: Socket) -> models.Socket:
        connection = socket.connection
        scope = connection.scope
        user = scope.get("user")
        client = scope.get("client") or ("",)
        assert socket.opened_at is not None  # only such sockets are observed
        return models.Socket(
            sid=socket.sid,
            server_id=self._id,
            connection=connection.sid[:CONNECTION_LENGTH],
            namespace=socket.namespace,
            user_id=user.pk if isinstance(user, self._user_model) else None,
            address=_clean(str(client[0] or ""), models.ADDRESS_LENGTH),
            user_agent=_clean(header(scope, b"user-agent"), models.USER_AGENT_LENGTH),
            transport=connection.transport,
            connected_at=socket.opened_at,
        )

    def _update(self, changes: Changes) -> None:
        by_transport = defaultdict(list)
        for sid, transport in changes.moved.items():
            by_transport[transport].append(sid)
        for transport, moved in by_transport.items():
            for sids in _chunks(moved):
                sockets = models.Socket.objects.using(self._alias).filter(sid__in=sids)
                sockets.update(transport=transport)

    def sweep(self) -> Swept | None:
        """Remove rows of one server that is dead for a while; None where nobody is."""
        servers = Server.objects.using(self._alias)
        dead = servers.filter(seen_at__lt=Now() - lifetime() * DEAD_FOR).exclude(pk=self._id)
        found = dead.values_list("pk", flat=True).first()
        if found is None:
            return None
        return Swept(found, self._remove_some(dead.filter(pk=found)))

    def explain(self) -> str:
        """Return what brings presence back, as far as that is clear."""
        try:
            tables = connections[self._alias].introspection.table_names()
        except Exception:
            return "presence comes back with the database"
        if Server._meta.db_table not in tables:
            return "run manage.py migrate"
        return "presence comes back when the database takes its rows"


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _clean(text: str | None, length: int) -> str:
    """Return a text that any database takes."""
    text = (text or "")[:length].replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
