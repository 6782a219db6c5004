"""
Who clients are by now: the users of connections, and of sockets that have a user of their own,
found anew, many at a time.

A session is asked for as Django does it: it may be over, or have another key, and its user another
password. Any other user is looked up by the primary key. What else there is to ask, such as who a
token is for, is a `Find` of the login.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.sessions.backends.base import SessionBase

from ..execution.calls import raise_if_cancelled
from ..logs import describe, log
from . import outages
from .logins import AUTH, new_anonymous, user_key
from .lookups import Lookups


class Found(NamedTuple):
    """
    The user of a login, and when it is to be asked for again at the latest, as Unix time; `error`
    is why that cannot be told now: then it stays who it was.
    """

    user: Any
    expires: float | None = None
    error: BaseException | None = None


# Finds a login anew: None where it is over.
Find = Callable[[], Awaitable[Found | None]]


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


async def find_again(lookups: Lookups, subjects: Sequence[Subject]) -> list[Found]:
    """
    Return the user of each as it is now; AnonymousUser for who has none any more.

    Raises the database's error where it does not answer. What else fails concerns one of them.
    """
    others = [subject for subject in subjects if _find_of(subject) is None]
    known = iter(await lookups.run(find_together, others) if others else ())
    return [
        next(known) if (find := _find_of(subject)) is None else await _ask(subject, find)
        for subject in subjects
    ]


def _find_of(subject: Subject) -> Find | None:
    return None if subject.login is None else subject.login.find


async def _ask(subject: Subject, find: Find) -> Found:
    try:
        found = await find()
    except BaseException as error:  # of a site's own authenticator, too
        raise_if_cancelled()
        return _failed(_now(subject), error)
    return Found(new_anonymous()) if found is None else found


def find_together(subjects: Sequence[Subject]) -> list[Found]:
    """Return the user of each, as `find_again` does. It blocks."""
    if not apps.is_installed(AUTH):
        return [Found(_now(subject)) for subject in subjects]
    from .users import get_session_user  # noqa: PLC0415 (it imports the user model)

    return [_find(subject, get_session_user) for subject in subjects]


def _now(subject: Subject) -> Any:
    return subject.scope.get("user") if subject.login is None else subject.login.user


def _find(subject: Subject, get_session_user: Callable[[Any], Any]) -> Found:
    user = _now(subject)
    try:
        session = None if subject.login else subject.scope.get("session")
        if isinstance(session, SessionBase) and session.session_key is not None:
            return Found(get_session_user(type(session)(session.session_key)))
        return Found(_find_by_key(user))
    except outages.ERRORS:
        raise
    except Exception as error:
        return _failed(user, error)


def _find_by_key(user: Any) -> Any:
    """Return the row of a user; what is no row, such as a user of a token, as it is."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    model = get_user_model()
    key = user_key(user)
    if key is None or not isinstance(user, model):
        return user
    return model._default_manager.filter(pk=key).first() or new_anonymous()


def _failed(user: Any, error: BaseException) -> Found:
    log(logging.ERROR, "reauthorize-failed", step="user", error=describe(error), exc_info=error)
    return Found(user, error=error)
