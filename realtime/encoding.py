"""Django's types as JSON: lazy strings, Decimal, UUID, dates, as DjangoJSONEncoder writes them."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import msgspec
from django.core.serializers.json import DjangoJSONEncoder

_django = DjangoJSONEncoder()

# What to_builtins() leaves alone: bytes for the walk that takes them out, the rest for Django.
_KEPT = (
    bytes,
    bytearray,
    memoryview,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
)


def default(value: Any) -> Any:
    """
    Return a plainer value for one that JSON has no form for.

    Knows what DjangoJSONEncoder knows, and dataclasses, msgspec and attrs classes, enums and sets.
    Raises TypeError, which names the type, for all else.
    """
    try:
        return _django.default(value)
    except TypeError:
        pass
    try:
        plain = msgspec.to_builtins(value, builtin_types=_KEPT, enc_hook=_django.default)
    except TypeError:
        plain = value
    if plain is value:
        raise TypeError(
            f"a value of type {type(value).__name__} cannot be sent: "
            "make it a dict, a list, a text, a number or bytes first"
        )
    return plain
