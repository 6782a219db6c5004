"""
The users of sessions and of primary keys as they are now, many at a time: one query for all
sessions, and one for all users, where they are kept as Django does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from time import time
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.utils.crypto import constant_time_compare

from . import outages
from .fresh_users import copy_of, differs, load_users
from .logins import user_key
from .renewal import Found, Subject, note_failed
from .sessions import follow
from .users import can_share, get_session_user, load_together


class Held(NamedTuple):
    """A session as it is now, loaded, or None where it is gone; and until when it is there."""

    session: Any
    until: float | None = None


def find_all(subjects: Sequence[Subject]) -> list[Found]:
    """Return the user of each, as `find_again` does, with what it may. It blocks."""
    held = _open_sessions(subjects)
    keys = (_key_of(subject, its) for subject, its in zip(subjects, held, strict=True))
    users = _Users(load_users(key for key in keys if key is not None))
    return [
        _compare(subject, its, _find(subject, its, users))
        for subject, its in zip(subjects, held, strict=True)
    ]


def _compare(subject: Subject, held: Held | None, found: Found) -> Found:
    """Return what was found, with whether that is another one; then the session is known anew."""
    changed = differs(subject.user, found.user)
    if changed and held is not None and isinstance(held.session, SessionBase):
        session = subject.scope["session"]
        session._session_cache = dict(held.session.items())
    return found._replace(changed=changed)


class _Users:
    """Users that were loaded; each client gets one of its own."""

    def __init__(self, users: dict[str, Any]) -> None:
        self._users = users
        self._given: set[str] = set()

    def get(self, key: Any) -> Any:
        """Return the user of a primary key, or None."""
        text = str(key)
        user = self._users.get(text)
        if user is None or text not in self._given:
            self._given.add(text)
            return user
        return copy_of(user)


# Sessions


def _open_sessions(subjects: Sequence[Subject]) -> list[Held | None]:
    """Return the session of each, or None for who has not come with one."""
    stores = [_contained(_new_store, subject) for subject in subjects]
    shared = [store for store in stores if isinstance(store, SessionBase) and can_share(store)]
    until = load_together(shared) if shared else {}
    return [
        store
        if store is None or isinstance(store, Held)
        else _contained(_load, subject, store, until)
        for subject, store in zip(subjects, stores, strict=True)
    ]


def _contained(step: Callable[..., Any], subject: Subject, *args: Any) -> Any:
    """Return what a step does for one; what fails there concerns nobody else."""
    try:
        return step(subject, *args)
    except outages.ERRORS:
        raise
    except Exception as error:
        return Held(note_failed(subject.user, error))


def _new_store(subject: Subject) -> Any:
    """Return the session by which somebody has logged in, to be loaded; None for others."""
    session = None if subject.login or _is_elsewhere(subject) else subject.scope.get("session")
    if not isinstance(session, SessionBase) or session.session_key is None:
        return None
    # One that middleware has set, beside a user whom it knows otherwise, says nothing of that.
    owner, key = session.get(SESSION_KEY), user_key(subject.user)
    if owner is None or (key is not None and str(key) != owner):
        return None
    return session.__class__(session.session_key)


def _load(subject: Subject, store: Any, until: dict[str, datetime]) -> Held:
    key = store.session_key
    if key in until:
        return Held(store, until[key].timestamp())
    if not can_share(store) and store.get(SESSION_KEY) is not None:
        return Held(store)
    session = subject.scope["session"]
    moved = follow(session.__class__, key, session.get(SESSION_KEY))
    if moved is None:
        return Held(None)
    session._session_key = moved.session_key
    return Held(moved)


# Users


def _key_of(subject: Subject, held: Held | None) -> Any:
    """Return by which primary key a user is looked up together with others; None for others."""
    if held is None:
        user = subject.user
        return user_key(user) if _is_row(user) and not _is_elsewhere(subject) else None
    session = held.session
    return (
        session.get(SESSION_KEY)
        if isinstance(session, SessionBase) and _is_plain(session)
        else None
    )


def _is_elsewhere(subject: Subject) -> bool:
    """Tell whether middleware says that the user is no row here, such as one of another schema."""
    return subject.login is None and "presence_user" in subject.scope


def _is_row(user: Any) -> bool:
    """Tell whether a user comes from the database, and is not made of a token, say."""
    return user.__class__ is get_user_model() and not user._state.adding


def _is_plain(session: Any) -> bool:
    """Tell whether the user of a session is found as Django's own backend does it."""
    path = session.get(BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS:
        return False
    backend = load_backend(path)
    return isinstance(backend, ModelBackend) and type(backend).get_user is ModelBackend.get_user


def _find(subject: Subject, held: Held | None, users: _Users) -> Found:
    if held is not None and isinstance(held.session, Found):
        return held.session
    try:
        return _find_row(subject, users) if held is None else _find_owner(held, users)
    except outages.ERRORS:
        raise
    except Exception as error:
        return note_failed(subject.user, error)


def _find_row(subject: Subject, users: _Users) -> Found:
    """Find a user by the primary key; what is no row, such as the user of a token, stays as is."""
    user, login = subject.user, subject.login
    if login is not None and login.expires is not None and login.expires <= time():
        return Found(AnonymousUser())
    if _is_elsewhere(subject):
        return Found(user)
    if _is_row(user):
        return Found(users.get(user_key(user)) or AnonymousUser())
    if isinstance(user, get_user_model()) and not user._state.adding:  # of a proxy's class
        manager: Any = user.__class__._default_manager
        return Found(manager.filter(pk=user.pk).first() or AnonymousUser())
    return Found(user)


def _find_owner(held: Held, users: _Users) -> Found:
    """Find the user of a session, as Django's `get_user` does."""
    session = held.session
    if session is None:
        return Found(AnonymousUser(), missing=True)
    if session.get(SESSION_KEY) is None:
        return Found(AnonymousUser())
    if not _is_plain(session):
        user = get_session_user(session, end=False)
        return Found(user, held.until, missing=not user.is_authenticated)
    user, backend = users.get(session[SESSION_KEY]), load_backend(session[BACKEND_SESSION_KEY])
    assert isinstance(backend, ModelBackend)
    if user is None or not backend.user_can_authenticate(user):
        return Found(AnonymousUser())
    if not _is_verified(user, session.get(HASH_SESSION_KEY)):
        return Found(AnonymousUser(), missing=True)
    return Found(user, held.until)


def _is_verified(user: Any, digest: Any) -> bool:
    """Tell whether a session is from the time of the user's password."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    return bool(digest) and any(constant_time_compare(digest, each) for each in _digests(user))


def _digests(user: Any) -> Iterator[str]:
    yield user.get_session_auth_hash()
    fallback: Iterable[str] = user.get_session_auth_fallback_hash()
    yield from fallback
