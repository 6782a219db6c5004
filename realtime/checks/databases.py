"""Where the site's router sends presence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, router

from ..identity.logins import has_user_model
from ..models import Socket
from .settings import usable_settings


@register(Tags.compatibility)
def check_databases(**kwargs: Any) -> Iterator[CheckMessage]:
    """E010: sockets and their users in two databases, which no query can join."""
    settings = usable_settings()
    if settings is None or not settings.PRESENCE or not has_user_model():
        return
    sockets, users = router.db_for_write(Socket), router.db_for_write(get_user_model())
    if _identity(sockets) == _identity(users):
        return
    yield Error(
        f"Who is connected is kept in the database {sockets!r} and the users in {users!r}, "
        "but a socket refers to its user, and queries and the admin read both at once.",
        hint=f"Let your router send the app 'realtime' to {users!r}, or set "
        'REALTIME["PRESENCE"] to False. If both are the same database, reached in two ways, '
        "silence this check.",
        obj=Socket,
        id="realtime.E010",
    )


def find_unshared(alias: str) -> str | None:
    """Return why not all threads and processes find a database's rows, or None."""
    config = connections[alias].settings_dict
    name = str(config["NAME"])
    if config["ENGINE"] == "django.db.backends.dummy":
        return "there is no database for it"
    if connections[alias].vendor == "sqlite" and (":memory:" in name or "mode=memory" in name):
        return f"the database {alias!r} is in memory, where no other process finds it"
    return None


def _identity(alias: str) -> tuple[str, ...]:
    """Return what two aliases of the same database have in common."""
    config = connections[alias].settings_dict
    options = config["OPTIONS"]
    return (
        *(str(config[name]) for name in ("ENGINE", "HOST", "PORT", "NAME")),
        *(str(options.get(name)) for name in ("service", "read_default_file")),
    )
