"""
Halves of surrogate pairs: JavaScript cuts texts between them, and UTF-8 has no form for them.

U+FFFD stands for each, as where bytes are no UTF-8. No way to find them is fast for every text:
each of these takes no longer than twice the parsing of what it is chosen for.
"""

from __future__ import annotations

import json
import re
from typing import Any

REPLACEMENT = "\ufffd"

_HIGH, _LOW = r"[89abAB][0-9a-fA-F]{2}", r"[c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rf"\\u[dD](?:{_HIGH}(?!\\u[dD]{_LOW})|(?<!\\u[dD]{_HIGH}\\u[dD]){_LOW})")

_MENDED = frozenset({str, list, dict})

# With fewer characters for each escape, these are unescaped all at once; with more escapes for each
# text, the value is mended.
_DENSE, _DENSE_IN_UNICODE, _SPARSE = 20, 10, 3

_SHORT = 1000

# Control characters stand for what must step aside: no JSON text has them.
_QUOTE, _BACKSLASH, _BACKSLASHES, _QUESTION = "\x01\x02\x03\x04"
_STAND_INS = bytes.maketrans(b"\x01\x02\x03\x04", b'"\\\\?')
_unescape = json.JSONDecoder(strict=False).decode


def may_have_halves(text: str) -> bool:
    """Tell whether a JSON text has escapes for surrogates."""
    return "\\ud" in text or "\\uD" in text


def _count_surrogates(text: str) -> int:
    return text.count("\\ud") + text.count("\\uD")


def has_many_surrogates(text: str) -> bool:
    """Tell whether there are some in a text of which escapes are much."""
    return may_have_halves(text) and text.count("\\") * _DENSE > len(text)


def mend_json(text: str) -> str | None:
    """
    Return a JSON text with U+FFFD for each escape of half a pair, or None where it takes less time
    to mend its value.
    """
    count, marks = _count_surrogates(text), text.count('"')
    if count * 2 > marks * _SPARSE or (
        count * 8 > marks * _SPARSE and count * 2 > (marks - text.count('\\"')) * _SPARSE
    ):
        return None
    if count * (_DENSE if text.isascii() else _DENSE_IN_UNICODE) > len(text):
        return _unescape_surrogates(text, count)
    return replace_halves(text)


def _has_stand_ins(text: str) -> bool:
    """Tell whether a text has characters that stand for others here: it is no JSON then."""
    return any(stand_in in text for stand_in in (_QUOTE, _BACKSLASH, _BACKSLASHES, _QUESTION))


def replace_halves(text: str) -> str:
    """Return a JSON text with U+FFFD for each escape of half a pair, found one by one."""
    escaped = "\\\\" in text
    if escaped and _has_stand_ins(text):
        return text
    if escaped:  # now each backslash begins another escape
        text = text.replace("\\\\", _BACKSLASHES * 2)
    # An escape leaves a long text as narrow as it is; to make one takes longer where that is short.
    text = _HALF.sub(REPLACEMENT if len(text) <= _SHORT or not text.isascii() else r"\\ufffd", text)
    return text.replace(_BACKSLASHES, "\\") if escaped else text


def _unescape_surrogates(text: str, count: int) -> str:
    """Let Python join the pairs of all escapes, and put a question mark for what is left."""
    if _has_stand_ins(text):
        return text
    text = text.replace("\\\\", _BACKSLASHES * 2)
    if text.count("\\") != count:
        text = text.replace("\\", _BACKSLASH)
        text = text.replace(f"{_BACKSLASH}ud", "\\ud").replace(f"{_BACKSLASH}uD", "\\uD")
    text = _unescape('"' + text.replace('"', _QUOTE).replace("?", _QUESTION) + '"')
    mended = text.encode("utf-8", "replace").replace(b"?", REPLACEMENT.encode())
    return mended.translate(_STAND_INS).decode()


def mend_value(value: Any) -> Any:
    """Return a value, of JSON's types, with U+FFFD for each half of a pair in texts and keys."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else mend_text(value)
    if kind is list:
        return [mend_value(item) if type(item) in _MENDED else item for item in value]
    if kind is dict and value:
        return {mend_value(key): mend_value(item) for key, item in value.items()}
    return value


def mend_text(text: str) -> str:
    """Return a text with U+FFFD for each half of a pair."""
    # Python is fast at putting question marks there; those that are meant step aside.
    if "?" not in text:
        return text.encode("utf-8", "replace").decode().replace("?", REPLACEMENT)
    stand_in = _unused(text)
    marked = text.replace("?", stand_in).encode("utf-8", "replace").decode()
    return marked.replace("?", REPLACEMENT).replace(stand_in, "?")


def _unused(text: str) -> str:
    """Return a character that a text has not."""
    code = 0x10FFFF
    while chr(code) in text:
        code -= 1
    return chr(code)
