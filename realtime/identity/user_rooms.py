"""
The rooms of users: in each namespace all sockets of a user are in one, by which they are sent to.

They are rooms like others where clients come back and move, but nobody joins or leaves them, sees
them or names them: a NUL is in their names, which no room of a site has. Nor does the channel layer
know of them: what is for a user goes to all servers that have clients in the namespace, so that
none of it costs anything when a client comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models

from .logins import has_user_model, user_key

_START = "\0user "

# Nobody is in this one.
NOBODYS = "\0nobody"


def is_user_room(name: str) -> bool:
    """Tell whether a name is that of a user's room."""
    return name.startswith("\0")


def find_user_room(user: Any) -> str | None:
    """Return the room of a client's user, or None for somebody who is nobody."""
    key = user_key(user)
    return None if key is None else f"{_START}{key}"


def without_user_rooms(names: Iterable[str]) -> frozenset[str]:
    """Return the rooms that are the site's."""
    return frozenset(name for name in tuple(names) if not is_user_room(name))


def user_keys(names: Iterable[str]) -> list[str]:
    """Return the primary keys of the users whose rooms these are."""
    return [name.removeprefix(_START) for name in names if name.startswith(_START)]


def user_rooms(users: Iterable[Any]) -> tuple[str, ...]:
    """
    Return the rooms of users, or of primary keys: that of nobody, where there are none.

    Raises TypeError for what is neither, and ValueError for somebody who has no primary key.
    """
    return tuple(_START + _key_of(user) for user in users) or (NOBODYS,)


def _key_of(user: Any) -> str:
    model: Any = get_user_model() if has_user_model() else None
    if hasattr(user, "is_authenticated") or (model is not None and isinstance(user, model)):
        key = user_key(user)
        if key is None:
            raise ValueError(f"{user!r} has no primary key: nobody is connected as that user.")
        return str(key)
    if user is None or isinstance(user, bool | models.Model) or _is_several(user):
        raise _no_user(user)
    if model is None:
        return str(user)
    try:
        key = model._meta.pk.to_python(user)
    except (ValidationError, TypeError, ValueError) as error:
        raise _no_user(user) from error
    return str(key)


def _is_several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _no_user(value: Any) -> TypeError:
    return TypeError(
        f"{value!r} is neither a user nor the primary key of one. Give users one by one: "
        "to_user(*users)."
    )
