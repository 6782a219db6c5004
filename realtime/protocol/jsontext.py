"""Values as JSON text, and the walk that takes bytes out of a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()

_SCALARS = frozenset({str, int, float, bool, type(None)})


def unsupported(value: Any) -> Any:
    """Refuse a value that JSON has no form for: the default of `replace_bytes`."""
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent as JSON")


def dumps(value: Any) -> str:
    """
    Return a plain value (scalars, lists, tuples, dicts) as JSON text without spaces.

    Raises TypeError or ValueError for what has no JSON form.
    """
    return _encoder.encode(value).decode()


def is_plain(value: Any) -> bool:
    """Tell whether a value is made of nothing but JSON's own types: `replace_bytes` is a copy."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110 - a generator would take twice the time
            if type(item) not in _SCALARS and not is_plain(item):
                return False
        return True
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or (type(item) not in _SCALARS and not is_plain(item)):
                return False
        return True
    return False


def replace_bytes(
    value: Any,
    replace: Callable[[bytes], Any],
    default: Callable[[Any], Any] = unsupported,
) -> Any:
    """
    Return `value` with all bytes in it, nested anywhere, replaced by `replace(bytes)`.

    What is neither plain nor bytes is given to `default`, which returns a plainer value or raises
    TypeError. Containers without bytes are returned as copies; the value given stays as it was.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list or kind is tuple:
        return [replace_bytes(item, replace, default) for item in value]
    if kind is dict:
        return {
            key if type(key) is str else _key(key, default): replace_bytes(item, replace, default)
            for key, item in value.items()
        }
    if isinstance(value, (bytes, bytearray, memoryview)):
        return replace(bytes(value))
    return _replace_subclass(value, replace, default)


def _replace_subclass(
    value: Any, replace: Callable[[bytes], Any], default: Callable[[Any], Any]
) -> Any:
    """Handle subclasses of plain types as their base, and give all else to `default`."""
    if isinstance(value, str):
        return str.__str__(value)  # an enum's text, not its name
    for number in (int, float):
        if isinstance(value, number):
            return number(value)
    if isinstance(value, (list, tuple)):
        return replace_bytes(list(value), replace, default)
    if isinstance(value, dict):
        return replace_bytes(dict(value), replace, default)
    return replace_bytes(default(value), replace, default)


def _key(key: Any, default: Callable[[Any], Any]) -> str:
    """Return a dict's key as the text that JSON has for it."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return dumps(key)
    plain = default(key)
    if isinstance(plain, (list, tuple, dict)) or plain is key:
        raise TypeError(f"a value of type {type(key).__name__} cannot be sent as a dict's key")
    return _key(plain, default)
