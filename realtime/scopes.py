"""A client's request with its Django session and user."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie

from .transports.requests import header

if TYPE_CHECKING:
    from .hub import Hub


async def complete_scope(hub: Hub, scope: dict[str, Any]) -> dict[str, Any]:
    """
    Add `session`, `user` and `cookies` to a request's scope, and return it.

    A scope that a site's own middleware has completed is taken as it is. Without a session cookie
    nothing is looked up.
    """
    # The user model can be imported only after django.setup(), which get_application() calls.
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415

    if "user" in scope:
        return scope
    cookies = parse_cookie(header(scope, b"cookie") or "")
    key = cookies.get(settings.SESSION_COOKIE_NAME)
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = await hub.lookups.run(_find_user, session) if key else AnonymousUser()
    # Not in a copy: each connection keeps its own.
    scope.update(cookies=cookies, session=session, user=user)
    return scope


def _find_user(session: Any) -> Any:
    """Return the session's user, found and checked by Django."""
    return get_user(cast(HttpRequest, _Request(_Unrenewed(session))))


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
