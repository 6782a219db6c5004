"""Tokens in the database that are deleted: their users are asked for, who may have come by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models.signals import post_delete

from ..authenticators.requirements import find_models
from ..authority.changes import Change
from ..identity.logins import user_key

Note = Callable[[Change, str], None]


def connect(note: Note) -> None:
    """Have `note` told of changes from now on, where clients come in by tokens of that kind."""

    def deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
        key = getattr(instance, "user_id", None) or user_key(getattr(instance, "user", None))
        if key is not None and isinstance(instance, find_models()):
            note(Change(users={str(key)}), using)

    post_delete.connect(deleted, dispatch_uid=__name__, weak=False)
