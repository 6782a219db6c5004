"""What is wrong with where the router sends presence, said at start-up with a hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, router

from .conf import find_problems, get_settings
from .models import Socket


@register(Tags.compatibility)
def check_databases(**kwargs: Any) -> Iterator[CheckMessage]:
    """E010: sockets and their users in two databases, which no query can join."""
    if any(find_problems(getattr(django_settings, "REALTIME", {}))) or not get_settings().PRESENCE:
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


def _identity(alias: str) -> tuple[str, ...]:
    """Return what two aliases of the same database have in common."""
    config = connections[alias].settings_dict
    options = config["OPTIONS"]
    return (
        *(str(config[name]) for name in ("ENGINE", "HOST", "PORT", "NAME")),
        *(str(options.get(name)) for name in ("service", "read_default_file")),
    )
