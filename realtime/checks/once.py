"""Handlers that run once for each key of a client, and the database that this takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, router

from ..identity.logins import has_user_model
from ..models import HandledEvent
from ..sockets.handlers import find_methods
from ..sockets.overrides import place_of
from .databases import find_unshared
from .namespaces import usable_consumers
from .settings import usable_settings


@register(Tags.compatibility)
def check_once(**kwargs: Any) -> Iterator[CheckMessage]:
    """E014: `once` without a database that all processes share."""
    if usable_settings() is None or not has_user_model():
        return
    alias = router.db_for_write(HandledEvent)
    problem = find_unshared(alias)
    # Django's tests have one in memory that all threads share, which is enough for them.
    if problem is None or "mode=memory" in str(connections[alias].settings_dict["NAME"]):
        return
    for consumer_class in dict.fromkeys(each for each, _ in usable_consumers()):
        for method in find_methods(consumer_class):
            if method.mark.once is not None:
                yield Error(
                    f"{place_of(method.holder, method.name, method.value)} runs once for each key, "
                    f"which is kept in the database, and {problem}: its clients are refused.",
                    hint="Name another one in DATABASES, or leave out once.",
                    id="realtime.E014",
                )
