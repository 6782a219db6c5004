"""
Who a socket's client is by what it shows: when it asks for its namespace, whenever that may have
changed, and when it shows something new, by an event of our own.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import Context, copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from ..exceptions import ConnectionRefused, EventError, RateLimited
from ..execution.calls import call_apart
from ..identity.authentication import Authenticated, Unanswered, authenticate
from ..identity.credentials import Credentials
from ..identity.logins import new_anonymous, user_key
from ..identity.renewal import Found, Login
from .interfaces import Connection, Hub

# The event by which a client shows something new. All names that begin as it does are our own.
EVENT = "realtime:authenticate"

# What a client shows is kept, since it is asked for again; more than so many characters is not.
MAX_SHOWN = 16_384

# What is shown later comes without a request.
_NO_REQUEST: dict[str, Any] = {"headers": []}


class ShownLogin(Login):
    """A login by what a client has shown, which is shown once more whenever it is asked for."""

    __slots__ = ("shown",)

    def __init__(self, hub: Hub, found: Authenticated) -> None:
        find = partial(_find_again, hub, found, copy_context())
        super().__init__(found.user, found.expires, find, _secret_of(found.user))
        self.shown = found.credentials

    @property
    def is_by_request(self) -> bool:
        """Whether the client's first request was shown, too: not with what it has shown later."""
        return self.shown.scope is not _NO_REQUEST


class Socket(Protocol):
    """A socket, as far as its user is concerned."""

    hub: Hub
    namespace: str

    @property
    def connection(self) -> Connection:
        """Its connection."""

    @property
    def user(self) -> Any:
        """The client's user."""

    def log_in(self, login: Login | None) -> None:
        """Be somebody's from now on."""


class Consumer(Protocol):
    """A consumer, which has a socket."""

    _socket: Any


async def log_in(socket: Socket, auth: dict[str, Any]) -> None:
    """
    Let a socket's user be who its client is by what it shows; its connection's, where that is all.

    Raises ConnectionRefused where that is wrong, or cannot be told.
    """
    shown = Credentials(auth, socket.namespace, socket.connection.scope)
    found = await _ask(socket.hub, shown)
    if found is not None and not found.authenticator.is_session:
        socket.log_in(ShownLogin(socket.hub, found))


async def find_login(
    hub: Hub, namespace: str, auth: dict[str, Any], scope: dict[str, Any] | None
) -> Login | None:
    """
    Return the login of a client by what it has shown elsewhere, with its first request or, where
    `scope` is None, without. Raises ConnectionRefused.
    """
    found = await _ask(hub, Credentials(auth, namespace, _NO_REQUEST if scope is None else scope))
    return None if found is None else ShownLogin(hub, found)


async def show_again(consumer: Consumer, auth: dict[str, Any]) -> dict[str, str | None]:
    """
    Take what a client shows in the place of what it has shown before; return when that ends.

    Raises EventError where it is wrong, cannot be told or is another user's, and RateLimited.
    """
    socket: Socket = consumer._socket
    if not socket.connection.may_ask():
        socket.hub.counters.limited += 1
        raise RateLimited("too many tries to authenticate")
    try:
        found = await _ask(socket.hub, Credentials(auth, socket.namespace, _NO_REQUEST))
    except ConnectionRefused as refusal:
        code = refusal.data["code"] if isinstance(refusal, Unanswered) else refusal.code
        raise EventError(refusal.message, refusal.data, code=code) from None
    if found is None:
        raise EventError("nobody is known by this", code=401)
    if _key_of(found.user) != _key_of(socket.user):
        raise EventError("this is another user's: connect again with it", code="another_user")
    socket.log_in(ShownLogin(socket.hub, found))
    return {"expires": None if found.expires is None else _as_text(found.expires)}


async def _ask(hub: Hub, shown: Credentials) -> Authenticated | None:
    found = await authenticate(hub, shown, _call(hub), hub.authenticators)
    if found is None or found.authenticator.is_session:
        return found
    if _is_over(found):
        raise _expired()
    if len(repr(shown.auth)) > MAX_SHOWN:
        raise ConnectionRefused(f"auth may have {MAX_SHOWN} characters", code=413)
    return found


def _call(hub: Hub) -> Any:
    """Return what calls an authenticator of the site's, with a thread of its own for its ORM."""
    return partial(call_apart, slots=hub.sync_handlers)


async def _find_again(hub: Hub, before: Authenticated, context: Context) -> Found:
    """
    Return who a client is now by what it has shown, or why that is good no more: in the context in
    which it has shown that, which may say whose database is asked.
    """
    asking = authenticate(hub, before.credentials, _call(hub), [before.authenticator])
    try:
        found = await asyncio.get_running_loop().create_task(asking, context=context)
    except Unanswered as error:
        return Found(before.user, before.expires, error)
    except ConnectionRefused as refusal:
        return Found(new_anonymous(), refusal=refusal)
    if found is None or _key_of(found.user) != _key_of(before.user):
        return Found(new_anonymous(), refusal=ConnectionRefused("log in again", code=401))
    if _is_over(found):
        return Found(new_anonymous(), refusal=_expired())
    return Found(found.user, found.expires)


def _expired() -> ConnectionRefused:
    return ConnectionRefused("this has expired", code=401)


def _is_over(found: Authenticated) -> bool:
    return found.expires is not None and found.expires <= time.time()


def _secret_of(user: Any) -> str:
    """
    Return what tells logins of a user apart, for who comes back: not the token, which may be a new
    one, but the password.
    """
    hash_of = getattr(user, "get_session_auth_hash", None)
    return f"shown {'' if hash_of is None else hash_of()}"


def _key_of(user: Any) -> str | None:
    key = user_key(user)
    return None if key is None else str(key)


def _as_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
