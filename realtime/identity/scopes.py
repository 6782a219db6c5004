"""A client's request with its Django session and user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.http import parse_cookie

from ..conf import Settings
from ..exceptions import ServerUnavailable
from ..execution.calls import raise_if_cancelled, raise_if_signalled
from ..logs import describe, log
from ..utils.headers import header
from . import outages, sessions
from .authentication import asks_sessions
from .logins import find_anonymity, has_sessions, new_anonymous, session_store
from .lookups import LookupGivenUp, Lookups

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Hub(Protocol):
    """The hub that a client comes to."""

    settings: Settings
    lookups: Lookups


async def identify(hub: Hub, scope: dict[str, Any]) -> dict[str, Any]:
    """
    Complete the scope of a client who comes (`complete_scope`), within LOOKUP_TIMEOUT seconds.

    Raises ServerUnavailable where that fails: who cannot be looked up may be somebody, and is not
    let in as nobody, unless ``REALTIME["LOOKUP_FAILURE"]`` is "anonymous".
    """
    try:
        async with asyncio.timeout(hub.settings.LOOKUP_TIMEOUT):
            return await complete_scope(hub, scope)
    except BaseException as error:  # of the database, or of a site's own backends
        raise_if_cancelled()
        raise_if_signalled(error)
        # A traceback shows whose fault it is, where that is not the database's.
        is_code = not isinstance(error, (DatabaseFailure, TimeoutError, LookupGivenUp))
        told = outages.name_timeout(error, hub.settings.LOOKUP_TIMEOUT)
        outages.lines.note(told, step="lookup", exc_info=is_code)
        if hub.settings.LOOKUP_FAILURE != "anonymous":
            raise ServerUnavailable from error
    scope.update(
        cookies=parse_cookie(header(scope, b"cookie") or ""),
        session=session_store()(None),
        user=new_anonymous(),
    )
    return scope


async def complete_scope(hub: Hub, scope: dict[str, Any]) -> dict[str, Any]:
    """
    Add `session`, `user` and `cookies` to a request's scope, and return it.

    What a site's own middleware has put there is taken as it is: a `user`, or a `session` whose
    user is looked up. Without a session or its cookie nothing is looked up, nor where sessions are
    none of the ``AUTHENTICATORS``.
    """
    if "user" in scope:
        return scope
    cookies = parse_cookie(header(scope, b"cookie") or "")
    session = scope.get("session")
    if session is None and not asks_sessions():
        session = session_store()(None)
    elif session is None:
        session = _open_session(cookies)
    if find_anonymity() is None:
        # It imports the user model: that is there after django.setup(), which get_application()
        # calls.
        from .users import find_user  # noqa: PLC0415

        user = await find_user(hub.lookups, session)
    else:
        user = new_anonymous()
    # Not in a copy: each connection keeps its own.
    scope.update(cookies=cookies, session=session, user=user)
    return scope


def follow_sessions(hub: Hub, scope: dict[str, Any], send: Send) -> Send:
    """
    Return what sends a site's own response, and notes where that gives a session another key.

    So consumers find the session of a client whose request to connect had the old one.
    """
    if header(scope, b"cookie") is None or not has_sessions():
        return send

    async def watch(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            keys = sessions.find_new_key(scope, message.get("headers", ()))
            if keys is not None:
                await _note_moved(hub, *keys)
        await send(message)

    return watch


async def _note_moved(hub: Hub, key: str, moved: str) -> None:
    """Note a session's new key, if that can be done; the client gets its response anyway."""
    try:
        async with asyncio.timeout(hub.settings.LOOKUP_TIMEOUT):
            await hub.lookups.run(sessions.note_moved, session_store(), key, moved)
    except Exception as error:
        log(logging.WARNING, "session-not-followed", error=describe(error))


def _open_session(cookies: dict[str, str]) -> Any:
    """Return the session that a client's cookie names, which is not loaded yet, or an empty one."""
    key = cookies.get(settings.SESSION_COOKIE_NAME)
    if key is not None and "\0" in key:  # which not every database can be asked for
        key = None
    return session_store()(key if has_sessions() else None)
