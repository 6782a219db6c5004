"""Python's values as JSON from which the very same values can be made again, types included."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 50

# What JSON has; all else is an object with one key, which begins so and names the type.
_PLAIN = (str, int, float, bool, type(None))
_TAG = "\0"

_TEXTS: dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    bytes: (lambda value: b64encode(value).decode(), b64decode),
    datetime.datetime: (datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    datetime.date: (datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: (datetime.time.isoformat, datetime.time.fromisoformat),
    decimal.Decimal: (str, decimal.Decimal),
    uuid.UUID: (str, uuid.UUID),
}
_SERIES: tuple[type, ...] = (tuple, set, frozenset)
_TYPES = {kind.__name__: kind for kind in (*_TEXTS, *_SERIES)}


class Inexact(Exception):
    """A value has no such form."""


def dump(value: Any) -> str:
    """Return a value as JSON. Raises Inexact, which names the type that cannot be written."""
    return json.dumps(_encode(value, 0))


def load(text: str) -> Any:
    """Return the value that `dump` was given."""
    return _decode(json.loads(text))


def _encode(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth == MAX_DEPTH:
        raise Inexact(f"something nested {MAX_DEPTH} deep")
    if kind is list:
        return [_encode(item, depth + 1) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith(_TAG) for key in value):
            return {key: _encode(item, depth + 1) for key, item in value.items()}
        return {f"{_TAG}dict": [_encode(pair, depth + 1) for pair in value.items()]}
    tag = _TAG + kind.__name__
    if kind in _TEXTS:
        # Of a zone's name nothing would be left but its offset.
        if getattr(value, "tzinfo", None) not in (None, datetime.UTC):
            raise Inexact(f"a {kind.__name__} in another zone than UTC")
        return {tag: _TEXTS[kind][0](value)}
    if kind in _SERIES:
        return {tag: [_encode(item, depth + 1) for item in value]}
    raise Inexact(f"a value of type {kind.__name__}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key,) = value
        if key.startswith(_TAG):
            return _decode_tagged(key.removeprefix(_TAG), value[key])
    return {key: _decode(item) for key, item in value.items()}


def _decode_tagged(name: str, value: Any) -> Any:
    if name == "dict":
        return dict(_decode(pair) for pair in value)
    kind = _TYPES[name]
    if kind in _TEXTS:
        return _TEXTS[kind][1](value)
    return kind(_decode(item) for item in value)
