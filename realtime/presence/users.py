"""Which row of the site's users a socket's row refers to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Field

from ..identity.logins import user_key


class UserKeys:
    """
    Finds the primary keys of clients' users.

    A user that middleware has made of a token, without the database, is the row of its key, if
    there is one.
    """

    def __init__(self, alias: str) -> None:
        self._model = get_user_model()
        self._alias = alias

    def keys(self, users: Iterable[Any]) -> list[Any]:
        """Return each user's key, or None for who has no row. It blocks."""
        users = list(users)
        stateless = [self._stateless_key(user) for user in users]
        wanted = {key for key in stateless if key is not None}
        there = self._existing(wanted) if wanted else set()
        return [
            user.pk if isinstance(user, self._model) else key if key in there else None
            for user, key in zip(users, stateless, strict=True)
        ]

    def _stateless_key(self, user: Any) -> Any:
        """Return the key that a user would have who is no row itself; None for nobody's."""
        pk: Field[Any, Any] = self._model._meta.pk
        try:
            if isinstance(user, self._model) or not getattr(user, "is_authenticated", False):
                return None
            key = pk.clean(user_key(user), None)
        except ValidationError:  # what cannot be a key, such as a number that is too large
            return None
        except Exception:  # of a site's own class: it is no reason to write none of the others
            return None
        return None if "\0" in str(key) else key  # which not every database can be asked for

    def _existing(self, keys: set[Any]) -> set[Any]:
        rows = self._model._base_manager.using(self._alias).filter(pk__in=keys)
        return set(rows.values_list("pk", flat=True))
