"""
Halves of surrogate pairs: JavaScript cuts texts between them, and UTF-8 has no form for them.

U+FFFD stands for each, as where bytes are no UTF-8.
"""

from __future__ import annotations

import re
from typing import Any

REPLACEMENT = "\ufffd"

_HIGH, _LOW = r"[89abAB][0-9a-fA-F]{2}", r"[c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(
    rf"\\u[dD](?:{_HIGH}(?!\\u[dD]{_LOW})|(?<!\\u[dD][89abAB]..\\u[dD]){_LOW})", re.DOTALL
)

_MENDED = frozenset({str, list, dict})


def may_have_halves(text: str) -> bool:
    """Tell whether a JSON text has escapes for surrogates."""
    return "\\ud" in text or "\\uD" in text


def mend_json(text: str) -> str:
    """Return a JSON text with U+FFFD for each escape of half a pair."""
    # After this each backslash begins an escape.
    return _HALF.sub(REPLACEMENT, text.replace("\\\\", "\\u005c"))


def mend(value: Any) -> Any:
    """Return a value, of JSON's types, with U+FFFD for each half of a pair in texts and keys."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else mend_text(value)
    if kind is list:
        return [mend(item) if type(item) in _MENDED else item for item in value]
    if kind is dict and value:
        return {mend(key): mend(item) for key, item in value.items()}
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
