"""
Logins that end by time: whoever has one is asked for when it does.

Until when a session is there only its row says. It is read now and then, and soon after a client
has come; what is to come much later is left for then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import time
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from ..identity.logins import user_key
from ..sockets.socket import Socket
from ..transports.connection import Connection
from .interfaces import Hub

# Seconds until it is read when the sessions of those end who have come since.
NEWCOMERS = 1.0

# How often logins are looked through that end by time, where nothing else is asked for.
PERIOD = 60.0

# Clocks of databases and servers differ; and a session is there until its last moment.
LATE = 0.02


class Expiries:
    """Asks for holders of logins when these end; `expire(holder)` does that."""

    def __init__(self, hub: Hub, expire: Callable[[Any], None]) -> None:
        self._hub = hub
        self._expire = expire
        self._newcomers: list[Connection] = []

    @property
    def period(self) -> float:
        """How often all are looked through."""
        return self._hub.settings.REAUTHORIZE_SECONDS or PERIOD

    def note(self, holder: Any, at: float) -> None:
        """Ask for a holder at a Unix time, unless that is later than all are looked through."""
        if (delay := at - time()) <= 2 * self.period:
            self._hub.loop.call_later(max(0.0, delay) + LATE, self._end, holder, at)

    def _end(self, holder: Any, at: float) -> None:
        if not isinstance(holder, Socket) or (
            holder.login is not None and holder.login.expires == at
        ):
            self._expire(holder)

    # Sessions of those who have come just now

    def came(self, connection: Connection) -> None:
        """Take note of a client that has come."""
        if not self._hub.settings.REAUTHORIZE_SECONDS:
            return
        session = connection.scope.get("session")
        if (
            isinstance(session, SessionBase)
            and session.session_key is not None
            and user_key(connection.scope.get("user")) is not None
        ):
            if not self._newcomers:
                self._hub.loop.call_later(NEWCOMERS, self._look)
            self._newcomers.append(connection)

    def _look(self) -> None:
        some, self._newcomers = self._newcomers, []
        self._hub.services.spawn(self._read(some))

    async def _read(self, connections: Sequence[Connection]) -> None:
        with suppress(Exception):  # then it is read with all the others
            keys = [each.scope["session"].session_key for each in connections]
            ends = await self._hub.lookups.run(_ends, type(connections[0].scope["session"]), keys)
            for connection, key in zip(connections, keys, strict=True):
                if key in ends and not connection.closed.happened:
                    self.note(connection, ends[key])


def _ends(store: Any, keys: Sequence[str]) -> dict[str, float]:
    """Return when sessions end that are in the database, by their keys. It blocks."""
    get_model = getattr(store, "get_model_class", None)
    if get_model is None:
        return {}
    rows = get_model().objects.filter(session_key__in=keys)
    return {key: end.timestamp() for key, end in rows.values_list("session_key", "expire_date")}
