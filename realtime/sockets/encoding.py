"""
Django's types as JSON: lazy strings, Decimal, UUID, dates, as DjangoJSONEncoder writes them; and
what is wrong with a value that has no JSON form.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import msgspec
from django.core.serializers.json import DjangoJSONEncoder

from ..protocol.jsontext import dumps, replace_bytes

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


def explain(error: Exception, what: str, values: list[Any], first: int) -> None:
    """
    Raise a TypeError or ValueError in the place of the error that sending `values` raised.

    It says which of them cannot be sent, and why. They are the arguments of `what`, counted from
    `first`; number 0 is the name of an event. Returns where it is none of them.
    """
    for number, value in enumerate(values, first):
        try:
            dumps(replace_bytes(value, len, default))
        except (TypeError, ValueError, RecursionError) as fault:
            kind = TypeError if isinstance(fault, TypeError) else ValueError
            argument = f"argument {number}" if number else "the name"
            raise kind(f"{argument} of {what} cannot be sent: {_reason(fault)}") from error


def _reason(fault: Exception) -> str:
    if isinstance(fault, UnicodeEncodeError):
        return "a text in it has half a surrogate pair, for which there is no UTF-8"
    if isinstance(fault, RecursionError):
        return "it is nested too deeply, or stands in itself"
    return str(fault)
