"""What a consumer's class declares of who may be in its namespace: which values are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

# What a declaration may look like, for who has written something else.
_HINTS = {
    "login_required": "Write login_required = True, or leave it out.",
    "guard_rooms": "Write guard_rooms = True, and may_join(self, room), or leave both out.",
    "permission_required": 'Name one permission, like "shop.view_order", or a list of several.',
}


def find_fault(name: str, value: Any) -> tuple[str, str] | None:
    """
    Return what is wrong with the value of a declaration and what to write instead; None where that
    is nothing, and for a name that is none of a declaration.
    """
    check = _CHECKS.get(name)
    fault = None if check is None else check(value)
    return None if fault is None else (fault, _HINTS[name])


def permissions_of(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return the permissions that a `permission_required` names."""
    return (value,) if isinstance(value, str) and value else tuple(value)


def _check_switch(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"is {value!r}, and neither True nor False"


def _check_permissions(value: Any) -> str | None:
    if isinstance(value, str):
        names: Iterable[Any] = permissions_of(value)
    elif isinstance(value, Iterable) and not isinstance(value, Iterator | bytes):
        names = value
    else:
        return f"is {value!r}"
    for name in names:
        if not isinstance(name, str):
            return f"names {name!r}, which is no text"
        app, _, codename = name.partition(".")
        if not (app and codename):
            return f"names {name!r}, which has no app label before a dot"
    return None


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "login_required": _check_switch,
    "guard_rooms": _check_switch,
    "permission_required": _check_permissions,
}

# The names of declarations.
DECLARATIONS = tuple(_CHECKS)
