"""JSON text, strictly parsed, in the time that the standard library takes for it."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from time import monotonic
from typing import Any

import msgspec

from ..exceptions import InvalidJSON, ProtocolError
from .floats import USUAL, Watch, finite, has_easy_floats
from .nesting import is_deeper_than
from .surrogates import (
    may_have_halves,
    mend_json,
    mend_value,
    replace_halves,
)

# Deep enough for any real message; what walks a value afterwards recurses no further.
MAX_DEPTH = 100
# A text that is no longer has not the brackets for that.
_SHALLOW = 2 * MAX_DEPTH
_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

# A text that is longer is looked at before it is parsed,
_SHORT = 256
# has its objects replaced while it is parsed, not afterwards,
LONG_TO_WALK = 1024
# is not encoded for msgspec where it goes beyond ASCII,
_LONG_TO_ENCODE = 4096
# and is parsed without the garbage collector.
_LONG = 32_768

_SCALARS = frozenset({str, int, float, bool, type(None)})

# Given each object of a text, inner ones first; returns what is to stand in its place.
Replace = Callable[[dict[str, Any]], Any]


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


# msgspec is the fastest for nearly all texts, and many times slower than the standard library for
# a few that only an attacker writes: these are left to the latter. So are floats where there are
# few: Python's own cost more than msgspec's, but none of them costs a hundred times as much.
_decode = msgspec.json.Decoder().decode
_decode_any_float = msgspec.json.Decoder(float_hook=finite).decode
_standard = json.JSONDecoder(parse_float=finite, parse_constant=_refuse_constant)
_watch = Watch()


def loads(text: str, replace: Replace | None = None) -> Any:
    """
    Return the value of a JSON text, with `replace(object)` in the place of each object.

    Half a surrogate pair, which JavaScript writes where it cut a text, becomes U+FFFD. Raises
    InvalidJSON for what is not JSON and for nesting that is too deep, and what `replace` raises.
    """
    size = len(text)
    try:
        if size > _SHORT:
            return _parse(text, replace) if size <= _LONG else _parse_long(text, replace)
        try:
            if "." not in text or (started := monotonic()) < _watch.distrusts_until:
                value = _decode_any_float(text)
            else:
                try:
                    value = _decode(text)
                finally:
                    if (ended := monotonic()) - started > USUAL:
                        _watch.note(started, ended)
        except ValueError:
            if not may_have_halves(text):
                raise
            value = _decode_any_float(replace_halves(text))
        if size > _SHALLOW and is_deeper_than(text, MAX_DEPTH):
            raise ValueError(_TOO_DEEP)
        return value if replace is None else replace_objects(value, replace)
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
        if _is_slow_to_decode(text):
            return _scan(text, replace)
        return _parse(text, replace)
    finally:
        if enabled:
            gc.enable()


def _is_slow_to_decode(text: str) -> bool:
    """
    Tell whether msgspec would take long: it makes anew each of the texts of one letter that Python
    has made already.
    """
    return text.count('"') * 4 > len(text)


def _parse(text: str, replace: Replace | None) -> Any:
    if (
        (replace is not None and len(text) > LONG_TO_WALK)
        or (len(text) > _LONG_TO_ENCODE and not text.isascii())
        or may_have_halves(text)
    ):
        return _scan(text, replace)
    value = (_decode if has_easy_floats(text) else _decode_any_float)(text)
    if is_deeper_than(text, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value if replace is None else replace_objects(value, replace)


def _scan(text: str, replace: Replace | None) -> Any:
    """Parse with the standard library, and mend halves of surrogate pairs where it is cheaper."""
    decoder = _standard
    if replace is not None:
        decoder = json.JSONDecoder(
            object_hook=replace, parse_float=finite, parse_constant=_refuse_constant
        )
    mended = mend_json(text) if may_have_halves(text) else text
    value = mend_value(decoder.decode(text)) if mended is None else decoder.decode(mended)
    if is_deeper_than(text, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value


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
