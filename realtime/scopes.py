"""A client's request with its Django session and user."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import parse_cookie

from .transports.requests import header

if TYPE_CHECKING:
    from .hub import Hub


async def complete_scope(hub: Hub, scope: dict[str, Any]) -> dict[str, Any]:
    """
    Add `session`, `user` and `cookies` to a request's scope, and return it.

    What a site's own middleware has put there is taken as it is: a `user`, or a `session` whose
    user is looked up. Without a session or its cookie nothing is looked up.
    """
    if "user" in scope:
        return scope
    cookies = parse_cookie(header(scope, b"cookie") or "")
    session = scope.get("session")
    if session is None:
        session = _open_session(cookies)
    # It imports the user model: that is there after django.setup(), which get_application() calls.
    from .users import find_user  # noqa: PLC0415

    user = await find_user(hub.lookups, session)
    # Not in a copy: each connection keeps its own.
    scope.update(cookies=cookies, session=session, user=user)
    return scope


def _open_session(cookies: dict[str, str]) -> Any:
    """Return the session that a client's cookie names, which is not loaded yet, or an empty one."""
    key = cookies.get(settings.SESSION_COOKIE_NAME)
    if key is not None and "\0" in key:  # which not every database can be asked for
        key = None
    return import_module(settings.SESSION_ENGINE).SessionStore(key)
