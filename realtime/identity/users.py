"""
The users of sessions, as Django finds them.

Clients who come together, as all do after a restart, share one query for their sessions. Who the
user of each is, and whether the session is still good for that, is for Django to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import Manager
from django.http import HttpRequest
from django.utils import timezone

from .lookups import Lookups

# What Django's keys of sessions look like. Others come from clients that made them up.
_KEY = re.compile("[a-z0-9]{8,40}")


# How Django reads one session, where this version of it does so in that way.
_READ = getattr(SessionStore, "_get_session_from_db", None)


async def find_user(lookups: Lookups, session: Any) -> Any:
    """Return a session's user. Without a key nothing is looked up."""
    if session.session_key is None:
        return AnonymousUser()
    if can_share(session):
        await lookups.share(load_together, session)
    return await lookups.run(get_session_user, session)


def get_session_user(session: Any, *, end: bool = True) -> Any:
    """
    Return the user of a Django session, as Django finds it; AnonymousUser where there is none.

    It asks the database. The session keeps its key, of which only Django can tell a client; one
    that is no login any more is ended, as Django does it, unless `end` is false.
    """
    kept = _Unrenewed(session) if end else _Unended(session)
    return get_user(cast(HttpRequest, _Request(kept)))


def can_share(session: Any) -> bool:
    """
    Tell whether a session can be loaded together with others.

    That is so where sessions are kept and read as Django does it by default. Whatever a site does
    in another way may depend on the client for whom it is done.
    """
    store: Any = type(session)
    return (
        issubclass(store, SessionStore)
        and store.load is SessionStore.load
        and _READ is not None
        and store._get_session_from_db is _READ
        and not settings.DATABASE_ROUTERS
        and type(session.model.objects).get_queryset is Manager.get_queryset
        and _KEY.fullmatch(session.session_key) is not None
    )


def load_together(sessions: Sequence[Any]) -> dict[str, datetime]:
    """
    Load the sessions that are in the database, as SessionStore.load() does for one; return until
    when they are there, by their keys.

    One that is not is left for Django to look for, and to find it gone.
    """
    by_key: dict[str, list[Any]] = {}
    for session in sessions:
        by_key.setdefault(session.session_key, []).append(session)
    rows = sessions[0].model.objects.filter(session_key__in=by_key, expire_date__gt=timezone.now())
    until: dict[str, datetime] = {}
    for key, data, expires in rows.values_list("session_key", "session_data", "expire_date"):
        until[key] = expires
        for session in by_key[key]:
            session._session_cache = session.decode(data)
    return until


class _Request(NamedTuple):
    """What `get_user` has to know of a request."""

    session: _Unrenewed


class _Unrenewed:
    """
    A session that keeps its key.

    Django gives a new one to a session from the time of an older key in SECRET_KEY_FALLBACKS, and
    tells the client. That can be done only by an HTTP response of its own, so it is left to the
    next one.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __getitem__(self, name: str) -> Any:
        return self._session[name]

    def __setitem__(self, name: str, value: Any) -> None:
        pass

    def cycle_key(self) -> None:
        pass


class _Unended(_Unrenewed):
    """
    A session that is not ended, either: one of another password may be that of the very view that
    has changed the password, and is about to say so in the session.
    """

    def flush(self) -> None:
        pass
