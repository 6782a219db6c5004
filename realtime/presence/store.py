"""What presence does with the database, each in one transaction. All of it blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models import F

from .. import models
from ..fields import DatabaseNow
from ..models import SeenUser, Server, ServerQuerySet, lifetime, recovery
from .changes import Changes
from .deadlocks import made_again
from .servers import Description
from .socket_rows import SocketRows

# Sockets of a dead server that are removed at a time.
CHUNK = 500

# Lifetimes after which a server's rows are removed; a little more than one, after which they do not
# count, so that a server that is late sees that itself.
DEAD_FOR = 1.1


class Lost(Exception):
    """This server missed so many heartbeats that others take it for dead."""


class Retired(Exception):
    """Another store has taken this one's place: it writes no more."""


class Swept(NamedTuple):
    """A dead server, and whether all of its rows are removed."""

    server: str
    done: bool


class Beat(NamedTuple):
    """
    A heartbeat, and what it tells beside: that all sockets are `complete` with the changes that are
    written with it, and that the server is `restored`, after an outage in which nothing was lost.
    """

    complete: bool
    restored: bool


class Withdrawn(Exception):
    """Another server has taken a socket while this one was writing it."""


class Store:
    """
    Writes one server's rows, in one thread.

    One that is `retired`, since its thread was at one call for too long, raises Retired instead,
    and commits nothing any more when the database answers after all.
    """

    def __init__(self, description: Description) -> None:
        self._description = description
        self._id = description.id
        self._alias = router.db_for_write(models.Socket)
        self.retired = False

    @cached_property
    def _rows(self) -> SocketRows:
        """Return the rows of this server's sockets, made by the first call in the thread."""
        return SocketRows(self._id, self._alias)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check()
        with transaction.atomic(using=self._alias):
            yield
            self._check()

    def _check(self) -> None:
        if self.retired:
            raise Retired

    # This server

    def register(self, *, complete: bool, restored: bool) -> None:
        """
        Write this server without sockets, whatever it has left behind; `restored` after an outage.

        Its row stays meanwhile. Unless it is `complete`, since there is nothing to be removed or
        written, a heartbeat tells when it is.
        """
        fields = self._description.fields() | {"complete": complete, "seen_at": DatabaseNow()}
        if restored:
            fields["restored_at"] = DatabaseNow()
        servers = Server.objects.using(self._alias)
        me = servers.filter(pk=self._id)
        with self._transaction():
            if not me.update(**fields):
                servers.create(**fields)
        while not self._remove_some(me, keep=True):
            pass

    def remove(self) -> None:
        """Remove all of this server's rows. They count no more from the first moment on."""
        self._check()
        me = Server.objects.using(self._alias).filter(pk=self._id)
        if me.update(seen_at=DatabaseNow() - lifetime()):
            while not self._remove_some(me):
                pass

    @made_again
    def write(self, changes: Changes, *, beat: Beat | None) -> None:
        """
        Write changes, and this server's heartbeat where it is due.

        Raises Lost where this server is dead already: its rows go away, and it has to start anew.
        """
        while True:
            known = frozenset(changes.withdrawn)
            for sid in known:
                changes.forget(sid)
            with suppress(Withdrawn), self._transaction():
                if beat is not None:
                    self._beat(beat)
                if changes:
                    self._write(changes)
                # Who takes a socket over waits for the rows that are written here, or has them
                # already: then what was written of it here is older.
                if len(changes.withdrawn) > len(known):
                    raise Withdrawn
                return

    def _beat(self, beat: Beat) -> None:
        fields: dict[str, Any] = {"seen_at": DatabaseNow()}
        if beat.complete:
            fields["complete"] = True
        if beat.restored:
            fields["restored_at"] = DatabaseNow()
        me = Server.objects.using(self._alias).living().filter(pk=self._id)
        if not me.update(**fields):
            raise Lost

    def _write(self, changes: Changes) -> None:
        self._rows.write(changes)

    # Others

    def sweep(self) -> Swept | None:
        """
        Remove rows of one server that is dead for a while; None where nobody is.

        After an outage none is taken for dead while it may come back.
        """
        servers = Server.objects.using(self._alias)
        if servers.living().filter(restored_at__gt=DatabaseNow() - recovery()).exists():
            return None
        dead_since = DatabaseNow() - lifetime() * DEAD_FOR
        dead = servers.filter(seen_at__lt=dead_since).exclude(pk=self._id)
        found = dead.values_list("pk", flat=True).first()
        if found is None:
            return None
        return Swept(found, self._remove_some(dead.filter(pk=found)))

    @made_again
    def _remove_some(self, servers: ServerQuerySet, keep: bool = False) -> bool:
        """
        Remove rows of a server, unless it is not among `servers` any more; tell if all went.

        Its own row goes last, unless that is to be kept.
        """
        with self._transaction():
            # Only a write waits for a server that is deciding whether it lives after all.
            if not servers.update(seen_at=F("seen_at")):
                return True
            if not self._rows.remove_some(servers, CHUNK):
                return False
            if not keep:
                servers.delete()
            return True

    def explain(self) -> str:
        """Return what brings presence back, as far as that is clear."""
        try:
            tables = connections[self._alias].introspection.table_names()
        except Exception:
            return "presence comes back with the database"
        if not {Server._meta.db_table, SeenUser._meta.db_table} <= set(tables):
            return "run manage.py migrate"
        return "presence comes back when the database takes its rows"
