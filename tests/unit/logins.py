"""Users who have logged in, and requests that bring their sessions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User

from realtime.hub.hub import Hub
from realtime.identity import lookups
from realtime.identity.scopes import complete_scope

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@database_sync_to_async
def log_in(user: User, **changed: str) -> Any:
    """Return the saved session of somebody who has logged in."""
    session = new_session()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = MODEL_BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.update(changed)
    session.save()
    return session


def new_session(key: str | None = None) -> Any:
    """Return a session of the engine of the settings."""
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def request(key: str | None) -> dict[str, Any]:
    """Return the scope of a request with this session."""
    cookie = b"other=1" if key is None else b"other=1; sessionid=" + key.encode()
    return {"type": "websocket", "headers": [(b"cookie", cookie)]}


async def find(hub: Hub, session: Any) -> Any:
    """Return the user of a request with this session."""
    return (await complete_scope(hub, request(session.session_key)))["user"]


@asynccontextmanager
async def no_free_thread(hub: Hub) -> AsyncIterator[None]:
    """Keep all of a hub's threads for lookups busy."""
    gate = threading.Event()
    busy = [asyncio.create_task(hub.lookups.run(gate.wait)) for _ in range(lookups.SIZE)]
    try:
        yield
    finally:
        gate.set()
        await asyncio.gather(*busy)
