"""
Halves of surrogate pairs: JavaScript cuts texts between them, and UTF-8 has no form for them.

U+FFFD stands for each, as where bytes are no UTF-8. No way to find them is fast for every text:
each of these takes about as long as the parsing of what it is chosen for.
"""

from __future__ import annotations

import json
import re
from typing import Any

REPLACEMENT = "\ufffd"

_HIGH, _LOW = r"[89abAB][0-9a-fA-F]{2}", r"[c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rf"\\u[dD](?:{_HIGH}(?!\\u[dD]{_LOW})|(?<!\\u[dD]{_HIGH}\\u[dD]){_LOW})")

# With so many characters for each quotation mark of a text, its value is mended and not the text:
# each look at that takes longer where a character of it needs more than a byte.
_FEW_TEXTS, _FEW_IN_UNICODE = 30, 18

# So many bytes beyond ASCII are read as UTF-8 in the time that UTF-32 needs for half a pair.
_BYTES_PER_HALF = 50

# Control characters stand for what must step aside: no JSON text has them.
_QUOTE, _BACKSLASH, _BACKSLASHES, _QUESTION = "\x01\x02\x03\x04"
_STAND_INS = bytes.maketrans(b"\x01\x02\x03\x04", b'"\\\\?')
_unescape = json.JSONDecoder(strict=False).decode


def may_have_halves(text: str) -> bool:
    """Tell whether a JSON text has escapes for surrogates."""
    return "\\" in text and ("\\ud" in text or "\\uD" in text)  # one character is found faster


def mend_json(text: str) -> str | None:
    """
    Return a JSON text with U+FFFD for each escape of half a pair, or None where it takes less time
    to mend its value.
    """
    few = len(text) // (_FEW_TEXTS if text.isascii() else _FEW_IN_UNICODE)
    if (marks := text.count('"')) < few or marks - text.count('\\"') < few:
        return None
    return _unescape_surrogates(text)


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
    text = _HALF.sub(REPLACEMENT, text)
    return text.replace(_BACKSLASHES, "\\") if escaped else text


def _unescape_surrogates(text: str) -> str:
    """Let Python join the pairs of all escapes, and put a question mark for what is left."""
    if _has_stand_ins(text):
        return text
    text = text.replace("\\\\", _BACKSLASHES * 2)
    if text.count("\\") != text.count("\\ud") + text.count("\\uD"):
        text = text.replace("\\", _BACKSLASH)
        text = text.replace(f"{_BACKSLASH}ud", "\\ud").replace(f"{_BACKSLASH}uD", "\\uD")
    text = _unescape('"' + text.replace('"', _QUOTE).replace("?", _QUESTION) + '"')
    mended = text.encode("utf-8", "replace").replace(b"?", REPLACEMENT.encode())
    return mended.translate(_STAND_INS).decode()


def mend_value(value: Any) -> Any:
    """
    Return a value, of JSON's types, with U+FFFD for each half of a pair in texts and keys; lists
    are changed where they are.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else mend_text(value)
    if kind is list:
        _mend_list(value)
    elif kind is dict:
        return {mend_value(key): mend_value(item) for key, item in value.items()}
    return value


def _mend_list(items: list[Any]) -> None:
    for at, item in enumerate(items):
        kind = type(item)
        if kind is str:
            if not item.isascii():
                items[at] = mend_text(item)
        elif kind is list:
            if item:
                _mend_list(item)
        elif kind is dict and item:
            items[at] = mend_value(item)


def mend_text(text: str) -> str:
    """Return a text with U+FFFD for each half of a pair."""
    # Python is fast at putting question marks there; those that are meant step aside.
    stand_in = _unused(text) if "?" in text else ""
    marked = text.replace("?", stand_in) if stand_in else text
    encoded = marked.encode("utf-8", "replace")
    halves = encoded.count(b"?")
    if not halves:
        return text
    if len(encoded) - len(marked) > halves * _BYTES_PER_HALF:
        return text.encode("utf-32-le", "surrogatepass").decode("utf-32-le", "replace")
    mended = encoded.decode().replace("?", REPLACEMENT)
    return mended.replace(stand_in, "?") if stand_in else mended


def _unused(text: str) -> str:
    """Return a character that a text has not; a narrow one does not widen it."""
    for control in map(chr, range(1, 32)):
        if control not in text:
            return control
    code = 0x10FFFF
    while chr(code) in text:
        code -= 1
    return chr(code)
