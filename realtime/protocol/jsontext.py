"""JSON text, strictly parsed, and the walk that takes bytes out of a value."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from math import isfinite
from time import monotonic
from typing import Any

import msgspec

from ..exceptions import InvalidJSON, ProtocolError
from .nesting import is_deeper_than
from .surrogates import may_have_halves, mend, mend_json

# Deep enough for any real message; what walks a value afterwards recurses no further.
MAX_DEPTH = 100
# A text that is no longer has not the brackets for that.
_SHALLOW = 2 * MAX_DEPTH

_SCALARS = frozenset({str, int, float, bool, type(None)})

# Given each object of a text, inner ones first; returns what is to stand in its place.
Replace = Callable[[dict[str, Any]], Any]


def unsupported(value: Any) -> Any:
    """Refuse a value that JSON has no form for: the default of `replace_bytes`."""
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent as JSON")


# Parsing. msgspec is the fastest for nearly all texts, and many times slower than the standard
# library for a few that only an attacker writes: these are left to the latter.


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode
# Python's own floats cost more than msgspec's, but none of them costs a hundred times as much.
_decode_any_float = msgspec.json.Decoder(float_hook=_finite).decode

# A text that is longer is looked at before it is parsed, or its objects are replaced.
_LONG = 32_768
LONG_TO_WALK = 1024
# So many escapes are found one by one in any text.
_FEW_ESCAPES = 1000

# A text with floats that is no longer may turn out to be slow, and makes this many times as long
# be one of distrust.
_WATCHED, _DISTRUST = 16_384, 50
# What msgspec takes at most in seconds, for any text and for each of its characters.
_USUAL, _USUAL_FOR_EACH = 20e-6, 20e-9

# All digits as one, and both letters of an exponent.
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
# All digits and points of a number as one, and all else as a space.
_NUMBERS = bytes(0x30 if byte in b"0." else 0x20 for byte in range(256))
_EXPONENT, _MANY_DIGITS, _LARGE = b"0e", b"0" * 10, b"0" * 16 + b"."
# The digits, and the point, of a number that msgspec need not cut off.
_LONGEST_NUMBER = 20
# So many bytes are looked at in the time that Python needs for one float.
_BYTES_PER_FLOAT = 64


def loads(text: str, replace: Replace | None = None) -> Any:
    """
    Return the value of a JSON text, with `replace(object)` in the place of each object.

    Half a surrogate pair, which JavaScript writes where it cut a text, becomes U+FFFD. Raises
    InvalidJSON for what is not JSON and for nesting that is too deep, and what `replace` raises.
    """
    try:
        if len(text) > _LONG:
            return _parse_long(text, replace)
        return _parse(text, replace)
    except ProtocolError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(f"invalid JSON: {error}") from None


def _parse_long(text: str, replace: Replace | None) -> Any:
    """
    Parse without the garbage collector: again and again it would look at all there is, which takes
    ten times as long where there are very many lists.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _parse(text, replace)
    finally:
        if enabled:
            gc.enable()


def _parse(text: str, replace: Replace | None) -> Any:
    size = len(text)
    if size > LONG_TO_WALK and (replace is not None or _is_slow_to_decode(text)):
        return _scan(text, replace)
    try:
        if "." not in text:
            value = _decode_any_float(text)
        elif size <= _WATCHED:
            value = _watch.decode(text)
        else:
            value = (_decode if _has_easy_floats(text) else _decode_any_float)(text)
    except ValueError:
        if "\\u" not in text:
            raise
        return _scan(text, replace)
    if size > _SHALLOW:
        _check_depth(text)
    return value if replace is None else replace_objects(value, replace)


def _scan(text: str, replace: Replace | None) -> Any:
    """Parse with the standard library, and mend halves of surrogate pairs where it is cheaper."""
    halves = may_have_halves(text)
    in_text = halves and text.count("\\") <= text.count('"') + _FEW_ESCAPES
    if in_text:
        text = mend_json(text)
    decoder = json.JSONDecoder(
        object_hook=replace, parse_float=_finite, parse_constant=_refuse_constant
    )
    value = decoder.decode(text)
    _check_depth(text)
    return mend(value) if halves and not in_text else value


def _check_depth(text: str) -> None:
    if is_deeper_than(text, MAX_DEPTH):
        raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _is_slow_to_decode(text: str) -> bool:
    """
    Tell whether msgspec would take long: it encodes a text beyond ASCII, and makes anew each of
    the texts of one letter that Python has made already.
    """
    return len(text) > _LONG and (not text.isascii() or text.count('"') * 4 > len(text))


class _Watch:
    """
    Lets msgspec parse floats, of which it is fast at all that are usual; for some time after a text
    that took it long, Python does.

    To look at a clock is faster than to look at a short text.
    """

    __slots__ = ("_distrusts_until",)

    def __init__(self) -> None:
        self._distrusts_until = 0.0

    def decode(self, text: str) -> Any:
        started = monotonic()
        if started < self._distrusts_until:
            return _decode_any_float(text)
        try:
            return _decode(text)
        finally:
            now = monotonic()
            if now - started > _USUAL + _USUAL_FOR_EACH * len(text):
                self._distrusts_until = now + (now - started) * _DISTRUST


_watch = _Watch()


def _has_easy_floats(text: str) -> bool:
    """
    Tell whether there may be so many floats that msgspec's are worth it, and none is of the kinds
    that it is slow at: with an exponent, very large, or of more digits than it can hold.
    """
    if text.count(".") * _BYTES_PER_FLOAT < len(text):
        return False
    digits = text.encode().translate(_DIGITS)
    if _EXPONENT in digits:
        return False
    if _MANY_DIGITS not in digits:
        return True
    return (
        _LARGE not in digits
        and max(map(len, digits.translate(_NUMBERS).split())) <= _LONGEST_NUMBER
    )


def replace_objects(value: Any, replace: Replace) -> Any:
    """
    Return what `loads` would have returned with `replace`; objects are changed where they are.

    It takes long: not for much.
    """
    if type(value) is list:
        return [
            item if type(item) in _SCALARS else replace_objects(item, replace) for item in value
        ]
    if type(value) is dict:
        for key, item in value.items():
            if type(item) not in _SCALARS:
                value[key] = replace_objects(item, replace)
        return replace(value)
    return value


# Writing


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
