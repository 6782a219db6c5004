"""The database of presence: which processes and machines share it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Info, Tags, Warning, register
from django.db import connections, router

from ..models import Socket
from .databases import find_unshared
from .layers import is_in_memory
from .settings import usable_settings


@register(Tags.compatibility)
def check_presence(**kwargs: Any) -> Iterator[CheckMessage]:
    """W003: presence without a database that the writer's thread shares with all others."""
    settings = usable_settings()
    if settings is None or not settings.PRESENCE:
        return
    alias = router.db_for_write(Socket)
    problem = find_unshared(alias)
    if problem is None:
        return
    yield Warning(
        f"Presence is on, and {problem}.",
        hint='Name another one in DATABASES, or set REALTIME["PRESENCE"] to False.',
        id="realtime.W003",
    )


@register(Tags.compatibility, deploy=True)
def check_machines(**kwargs: Any) -> Iterator[CheckMessage]:
    """I001: several processes, with presence in a file that machines cannot share."""
    settings = usable_settings()
    if settings is None or not settings.PRESENCE or is_in_memory(settings.CHANNEL_LAYER):
        return
    if connections[router.db_for_write(Socket)].vendor == "sqlite":
        yield Info(
            "Who is connected is kept in SQLite, which only processes of one machine can share.",
            hint="Use PostgreSQL, MariaDB or MySQL for several machines.",
            id="realtime.I001",
        )
