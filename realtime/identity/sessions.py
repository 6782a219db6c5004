"""
The sessions of clients, as consumers see them: read anew for each event, and written key by key.

A connection is long, and its client's session goes on without it: views store things, a login or a
change of password gives it another key, a logout ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.http import parse_cookie
from django.utils.asyncio import async_unsafe
from django.utils.crypto import salted_hmac

from ..exceptions import NoSession
from ..utils.headers import header
from .logins import session_store, user_key

# Where a session's new key is kept, in the place of a session.
MOVED = "realtime_moved_to"

# How many changes of its key are followed at a time.
MOST_MOVES = 20

# For engines that cannot lock a session.
_lock = threading.Lock()

if TYPE_CHECKING:
    Base = SessionBase
else:
    Base = object


def open_session(scope: dict[str, Any]) -> Any:
    """
    Return the session of a client's request, to be read when it is asked for something.

    One that is none of Django's, but of a site's own middleware, is returned as it is.
    """
    session = scope["session"]
    if not isinstance(session, SessionBase):
        return session
    return _merging(session.__class__)(scope)


@cache
def _merging(store: type[SessionBase]) -> Any:
    return type(store.__name__, (MergingSession, store), {"_plain": store})


class MergingSession(Base):
    """
    What a consumer adds to the site's class of sessions.

    `save` writes what was changed here, over what others have stored meanwhile. A session that is
    gone is empty, and raises NoSession when it is to be saved.
    """

    _plain: Any

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__(scope["session"].session_key)
        self._scope = scope
        # What was read; None where nothing was.
        self._read: dict[str, Any] | None = None
        if self.session_key is None:  # what a test or middleware has put there is not stored
            self._session_cache = deepcopy(dict(scope["session"].items()))

    # Reading

    @async_unsafe(
        "This reads the session, and blocks. In an async def write: await self.session.aget(...), "
        "and likewise aset, apop, ahas_key, akeys, avalues, aitems and asave."
    )
    def load(self) -> dict[str, Any]:
        """Return what is stored now. It blocks."""
        key = self.session_key
        data: dict[str, Any] = super().load()
        if self.session_key is None and key is not None:
            data = self._follow(key)
        self._read = deepcopy(data)
        return data

    async def aload(self) -> dict[str, Any]:
        """Load the session, as `load` does, from async code."""
        data: dict[str, Any] = await sync_to_async(self.load)()
        return data

    def _follow(self, key: str) -> dict[str, Any]:
        """
        Return what is stored under the key that a view has given the session, or nothing.

        Only the same user's is followed: a key is changed at a login lest whoever knew the old one
        come in with the user.
        """
        store = follow(self._plain, key, user_key(self._scope.get("user")))
        if store is None:
            return {}
        self._set_key(store.session_key)
        return dict(store.items())

    def _set_key(self, key: str | None) -> None:
        """Let all sockets of the connection have the session under this key."""
        self._session_key = key
        self._scope["session"]._session_key = key

    # Writing

    def save(self, must_create: bool = False) -> None:
        """
        Write what was changed since it was read. It blocks.

        Raises NoSession where the session is over or the client has none, and ImproperlyConfigured
        where sessions are kept by the clients themselves.
        """
        if must_create:
            super().save(must_create=True)
            return
        if issubclass(self._plain, CookieStore):
            raise ImproperlyConfigured(
                "SESSION_ENGINE keeps sessions in cookies, which only an HTTP response can change. "
                "Choose another engine, or keep this elsewhere."
            )
        data = dict(self.items())
        if self.session_key is None:
            raise NoSession
        with _locked(self._plain, self.session_key):
            store = self._plain(self.session_key)
            stored = dict(store.items())
            if store.session_key is None:
                raise NoSession
            _merge(store, self._read if self._read is not None else stored, data)
            try:
                store.save()
            except UpdateError:
                raise NoSession from None
        self._session_cache = dict(store.items())
        self._read = deepcopy(self._session_cache)

    async def asave(self, must_create: bool = False) -> None:
        """Save what has changed, as `save` does, from async code."""
        await sync_to_async(self.save)(must_create)

    def cycle_key(self) -> None:
        """
        Give the session another key, with all that is in it, at once.

        The client is not told: only an HTTP response can do that. Raises NoSession as `save` does.
        """
        data = dict(self.items())
        if self.session_key is None:
            raise NoSession
        super().cycle_key()
        store = self._plain(self.session_key)
        store.update(data)
        store.save()
        self._read = deepcopy(data)
        self._set_key(self.session_key)

    async def acycle_key(self) -> None:
        """Give the session a new key, as `cycle_key` does, from async code."""
        await sync_to_async(self.cycle_key)()

    def flush(self) -> None:
        """End the session, for all who have it."""
        super().flush()
        self._scope["session"].clear()
        self._set_key(None)

    async def aflush(self) -> None:
        """Delete the session, as `flush` does, from async code."""
        await sync_to_async(self.flush)()


def _merge(store: Any, read: dict[str, Any], data: dict[str, Any]) -> None:
    """Change in a session what is another in `data` than it was when it was `read`."""
    for name in read.keys() - data.keys():
        store.pop(name, None)
    for name, value in data.items():
        if name not in read or read[name] != value:
            store[name] = value


@contextmanager
def _locked(store: Any, key: str) -> Iterator[None]:
    """Let no other consumer write a session meanwhile, as far as its engine can tell."""
    model = getattr(store, "get_model_class", lambda: None)()
    if model is None:
        with _lock:
            yield
        return
    alias = router.db_for_write(model)
    with transaction.atomic(using=alias):
        model.objects.using(alias).select_for_update().filter(session_key=key).first()
        yield


# Keys that views have changed


def find_moved(store: Any, key: str) -> str | None:
    """Return the key under which a session goes on that was kept under another one, or None."""
    moved = store(_note_key(key)).get(MOVED)
    return moved if isinstance(moved, str) else None


def follow(store: Any, key: str, user: Any) -> Any:
    """
    Return the session, loaded, that goes on under another key than this one, where it is the user's
    of this primary key, or nobody's (None); None where there is no such. It blocks.
    """
    for _ in range(MOST_MOVES):
        moved = find_moved(store, key)
        if moved is None:
            break
        session = store(moved)
        owner = session.get(SESSION_KEY)
        if session.session_key is not None:
            return session if owner == (None if user is None else str(user)) else None
        key = moved
    return None


def note_moved(store: Any, key: str, moved: str) -> None:
    """Keep under which key a session goes on, as long as sessions are kept. It blocks."""
    note = store()
    note[MOVED] = moved
    note._session_key = _note_key(key)
    note.save(must_create=True)


def _note_key(key: str) -> str:
    """Return a key that no client can know, nor make of its own one."""
    return salted_hmac("realtime.sessions", key, algorithm="sha256").hexdigest()[:32]


def find_new_key(scope: dict[str, Any], headers: Any) -> tuple[str, str] | None:
    """
    Return the key of a request's session, and the other one that its response's headers set.

    None where they set none. Sessions in cookies have no keys.
    """
    name = settings.SESSION_COOKIE_NAME
    start = f"{name}=".encode("latin-1")
    for header_name, value in headers:
        if header_name.lower() == b"set-cookie" and value.startswith(start):
            moved = parse_cookie(value.decode("latin-1")).get(name)
            key = parse_cookie(header(scope, b"cookie") or "").get(name)
            if key and moved and key != moved and not issubclass(session_store(), CookieStore):
                return key, moved
    return None
