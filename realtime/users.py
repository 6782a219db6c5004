"""
The users of sessions: found by Django one by one, or many at once where that comes to the same.

A lookup by Django is two queries. Clients who come together, as all do after a restart, can share
them: one query for all sessions, one for all users.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user,
    get_user_model,
    load_backend,
)
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ValidationError
from django.db.models import Manager
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from .lookups import Lookups

# What Django's keys of sessions look like. Others come from clients that made them up.
_KEY = re.compile("[a-z0-9]{8,40}")


async def find_user(lookups: Lookups, session: Any) -> Any:
    """Return a session's user. Without a key nothing is looked up."""
    if session.session_key is None:
        return AnonymousUser()
    if _can_share(session):
        user = await lookups.run_together(_find_users, session)
        if user is not None:
            return user
    return await lookups.run(get_session_user, session)


def get_session_user(session: Any) -> Any:
    """
    Return the user of a Django session, as Django finds it; AnonymousUser where there is none.

    It asks the database. The session keeps its key, of which only Django can tell a client.
    """
    return get_user(cast(HttpRequest, _Request(_Unrenewed(session))))


def _can_share(session: Any) -> bool:
    """
    Tell whether a session can be looked up together with others.

    That is so where sessions are kept and read as Django does it by default. Whatever a site does
    in another way may depend on the client for whom it is done.
    """
    store: Any = type(session)
    return (
        issubclass(store, SessionStore)
        and store.load is SessionStore.load
        and store._get_session_from_db is cast(Any, SessionStore)._get_session_from_db
        and not settings.DATABASE_ROUTERS
        and _is_plain(session.model.objects)
        and _is_plain(get_user_model()._default_manager)
        and all(_is_own(path) for path in settings.AUTHENTICATION_BACKENDS)
        and _KEY.fullmatch(session.session_key) is not None
    )


def _find_users(sessions: Sequence[Any]) -> list[Any]:
    """
    Return the users of sessions that can share, in their order.

    None stands for whom Django has to look at itself.
    """
    _load(sessions)
    ids = [_user_id(session) for session in sessions]
    users = get_user_model()._default_manager.in_bulk({each for each in ids if each is not None})
    return [_check(session, users.get(each)) for session, each in zip(sessions, ids, strict=True)]


def _is_plain(manager: Any) -> bool:
    return type(manager).get_queryset is Manager.get_queryset


def _is_own(path: str) -> bool:
    """Tell whether a backend finds users as Django's own does."""
    return getattr(import_string(path), "get_user", None) is ModelBackend.get_user


def _load(sessions: Sequence[Any]) -> None:
    """Load the sessions that are in the database, as SessionStore.load() does for one."""
    by_key: dict[str, list[Any]] = {}
    for session in sessions:
        by_key.setdefault(session.session_key, []).append(session)
    rows = sessions[0].model.objects.filter(session_key__in=by_key, expire_date__gt=timezone.now())
    for key, data in rows.values_list("session_key", "session_data"):
        for session in by_key[key]:
            session._session_cache = session.decode(data)


def _data(session: Any) -> dict[str, Any]:
    """Return what was loaded of a session: one that was not found would look again if asked."""
    data: dict[str, Any] = vars(session).get("_session_cache", {})
    return data


def _user_id(session: Any) -> Any:
    """Return the id of the user who has logged in, or None."""
    try:
        return get_user_model()._meta.pk.to_python(_data(session).get(SESSION_KEY))
    except ValidationError:
        return None


def _check(session: Any, user: Any) -> Any:
    """
    Return a user of its own for a session, if Django would let it be this one by its first rules.

    It has others: it knows older secret keys, and ends sessions from before a change of password.
    """
    data = _data(session)
    if data and SESSION_KEY not in data:
        return AnonymousUser()
    path = data.get(BACKEND_SESSION_KEY)
    if user is None or path is None or path not in settings.AUTHENTICATION_BACKENDS:
        return None
    backend: Any = load_backend(path)
    known = data.get(HASH_SESSION_KEY, "")
    may = backend.user_can_authenticate(user)
    return (
        copy(user) if may and constant_time_compare(known, user.get_session_auth_hash()) else None
    )


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
