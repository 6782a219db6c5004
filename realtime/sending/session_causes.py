"""
Sessions in the database that are deleted, or are another user's from now on.

A session is saved again and again, and only its row before that says whose it was. That is read
where a process has not saved the session lately: another one may have given it to somebody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from threading import Lock
from time import monotonic
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db.models.signals import post_delete, pre_save
from django.utils import timezone

from ..authority.changes import Change
from ..identity.logins import has_sessions, session_store
from ..recovery.identities import name_login

Note = Callable[[Change, str], None]

# As many sessions' users are kept, each for so many seconds.
KNOWN, KNOWN_FOR = 10_000, 10.0


def connect(note: Note) -> None:
    """Have `note` told of changes from now on, where sessions are in the database."""
    watcher = _Watcher(note)
    pre_save.connect(watcher.saving, dispatch_uid=__name__, weak=False)
    post_delete.connect(watcher.deleted, dispatch_uid=__name__, weak=False)


@cache
def _model() -> Any:
    """Return the model of the site's sessions, or None where they are not in the database."""
    if not has_sessions():
        return None
    get_model = getattr(session_store(), "get_model_class", None)
    return None if get_model is None else get_model()


class _Watcher:
    """Notices whose sessions are."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._owners: OrderedDict[str, tuple[str | None, float]] = OrderedDict()
        self._lock = Lock()

    def saving(self, *, instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
        """Take note of a session that is about to be another user's."""
        if raw or not _is_session(instance):
            return
        key, owner = instance.session_key, _owner(instance)
        before = self._known(key, using)
        with self._lock:
            self._owners[key] = owner, monotonic()
            self._owners.move_to_end(key)
            if len(self._owners) > KNOWN:
                self._owners.popitem(last=False)
        if before is not None and before != owner:
            self._note(Change(sessions={(before, name_login(key))}), using)

    def _known(self, key: str, using: str) -> str | None:
        """Return whose a session was that is to be saved."""
        with self._lock:
            owner, at = self._owners.get(key, (None, -KNOWN_FOR))
            if monotonic() - at < KNOWN_FOR:
                return owner
        stored = _model()._default_manager.using(using).filter(session_key=key).first()
        return None if stored is None else _owner(stored)

    def deleted(self, *, instance: Any, using: str, **kwargs: Any) -> None:
        """Take note of a session that is gone; one that was over has been noticed by then."""
        if not _is_session(instance):
            return
        with self._lock:
            self._owners.pop(instance.session_key, None)
        if instance.expire_date > timezone.now() and (owner := _owner(instance)) is not None:
            self._note(Change(sessions={(owner, name_login(instance.session_key))}), using)


def _is_session(instance: Any) -> bool:
    return isinstance(instance, AbstractBaseSession) and isinstance(instance, _model() or ())


def _owner(session: Any) -> str | None:
    owner = session.get_decoded().get(SESSION_KEY)
    return None if owner is None else str(owner)
