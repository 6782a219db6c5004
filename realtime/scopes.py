"""A client's request with its Django session and user."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from channels.auth import get_user
from django.conf import settings
from django.db import connections
from django.http import parse_cookie

from .transports.requests import header


async def complete_scope(scope: dict[str, Any]) -> dict[str, Any]:
    """
    Return a scope with `session` and `user`.

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
    user = await _find_user(session) if key else AnonymousUser()
    return scope | {"cookies": cookies, "session": session, "user": user}


async def _find_user(session: Any) -> Any:
    """Return the session's user, looked up in a thread of its own."""
    async with ThreadSensitiveContext() as context:
        try:
            return await get_user({"session": session})
        finally:
            if context in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()
