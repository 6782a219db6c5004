"""The argument of a handler that names a try of its client: `@event(once="key")`."""

from __future__ import annotations

import inspect
from typing import Any

from msgspec import inspect as types

from ..exceptions import InvalidConsumer
from .handlers import Method, parameters_of
from .overrides import POSITIONAL, definition, place_of, signature_of

# What a key may be: each has one text, and no two have the same.
_KEYS = (types.StrType, types.IntType, types.UUIDType)

_HINT = "A key is a str, an int or a UUID, like {definition} {name}(self, {once}: str, ...)."


def check_once(method: Method) -> None:
    """
    Raise InvalidConsumer where `once` names no argument that can be a key.

    A type whose name comes later in the module is not looked at.
    """
    once = method.mark.once
    if once is None:
        return
    parameters, resolved = _parameters(method)
    found = next((each for each in parameters if each.name == once), None)
    fault = _find_fault(found, resolved)
    if fault is None:
        return
    hint = _HINT.format(definition=definition(method.value), name=method.name, once=once)
    raise InvalidConsumer(
        f"{place_of(method.holder, method.name, method.value)}: once is {once!r}, and {fault}.",
        hint,
    )


def _parameters(method: Method) -> tuple[list[inspect.Parameter], bool]:
    """Return a handler's parameters, and whether their annotations are resolved."""
    try:
        return parameters_of(method.value), True
    except Exception:  # whatever an annotation does: `check_annotations` says so
        return list(signature_of(method.value).parameters.values())[1:], False


def _find_fault(parameter: inspect.Parameter | None, resolved: bool) -> str | None:
    if parameter is None:
        return "it has no such parameter"
    if parameter.kind not in POSITIONAL:
        return "that is not one argument of the client's"
    if parameter.default is not parameter.empty:
        return "the client may leave that out, since it has a default"
    if parameter.annotation is parameter.empty:
        return "that has no type, so it may be anything"
    if not resolved or _is_key(parameter.annotation):
        return None
    return f"that is {parameter.annotation!r}"


def _is_key(annotation: Any) -> bool:
    try:
        return isinstance(types.type_info(annotation), _KEYS)
    except Exception:  # msgspec's own, of which `check_annotations` says more
        return False
