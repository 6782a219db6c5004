"""
Who is to be found anew, and what is found: the users of connections, and of sockets that have a
user of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple

from ..exceptions import ConnectionRefused
from ..logs import describe, log
from .logins import new_anonymous


class Found(NamedTuple):
    """
    The user of a login, and when it is to be asked for again at the latest, as Unix time; `error`
    is why that cannot be told now: then it stays who it was. A login is `missing` that may only
    have another key, of which nobody has told yet: it is to be asked for once more, soon. `changed`
    tells whether the user is another one, or may other things, than the one before. `refusal` is
    why what a client has shown is good no more: then it is not even nobody, but disconnected.
    """

    user: Any
    expires: float | None = None
    error: BaseException | None = None
    missing: bool = False
    changed: bool = True
    refusal: ConnectionRefused | None = None

    @property
    def holds(self) -> bool:
        """Whether it was told that the login is good still."""
        return self.error is None and self.refusal is None


# Finds a login anew.
Find = Callable[[], Awaitable[Found]]


class Login:
    """
    Who a socket's client is, where that is not for its connection to say.

    It is asked for again when it `expires` (Unix time), and whenever something may have changed: by
    `find`, or by the user's primary key. `key` tells this login from others of the same user, for
    who comes back; without one the connection's own counts, and this user has to be set again.
    """

    __slots__ = ("expires", "find", "key", "user")

    def __init__(
        self,
        user: Any,
        expires: datetime | float | None = None,
        find: Find | None = None,
        key: str | None = None,
    ) -> None:
        self.user = new_anonymous() if user is None else user
        self.expires = as_time(expires)
        self.find = find
        self.key = key


def as_time(moment: datetime | float | None) -> float | None:
    """Return a time as Unix time. Raises ValueError for a datetime without a time zone."""
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: give one, as django.utils.timezone.now().")
    return moment.timestamp()


class Subject(NamedTuple):
    """One whose user is to be found anew: a connection by its scope, or a socket's own login."""

    scope: dict[str, Any]
    login: Login | None = None

    @property
    def user(self) -> Any:
        """The user as it is known."""
        return self.scope.get("user") if self.login is None else self.login.user


def note_failed(user: Any, error: BaseException) -> Found:
    """Log why a user cannot be told now."""
    log(logging.ERROR, "reauthorize-failed", step="user", error=describe(error), exc_info=error)
    return Found(user, error=error)
