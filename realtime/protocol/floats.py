"""
Floats in JSON: msgspec is the fastest at all that are usual, and a hundred times slower than Python
at those beyond 1e288 and below 1e-307.
"""

from __future__ import annotations

import re
from math import isfinite


def finite(text: str) -> float:
    """Return the float that a text means. Raises ValueError for one that is out of range."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


# What msgspec takes at most in seconds for a short text; longer, and for this many times as long
# it is not trusted.
USUAL, _DISTRUST = 30e-6, 50

# All digits as one, and both letters of an exponent, and its signs.
_DIGITS = bytes.maketrans(b"123456789E+", b"000000000e-")
_EXPONENT, _LARGE, _LARGE_SIGNED, _MANY_DIGITS = b"0e", b"0e000", b"0e-000", b"0" * 64
_MANY_ZEROS = "0" * 200
_ALL_DIGITS = frozenset("0123456789")
# So many letters that may begin an exponent are looked at one by one.
_FEW = 8
_may_be_large = re.compile(r"[-+]?[0-9]{2}").match
# So many characters are looked at in the time that Python needs for one float.
_CHARACTERS_PER_FLOAT = 64


class Watch:
    """
    Whether msgspec may parse the floats of short texts: not for some time after one took it long.

    To look at a clock is faster than to look at a text.
    """

    __slots__ = ("distrusts_until",)

    def __init__(self) -> None:
        self.distrusts_until = 0.0

    def note(self, started: float, ended: float) -> None:
        """Take note of a text that took longer than is usual."""
        self.distrusts_until = ended + (ended - started) * _DISTRUST


def has_easy_floats(text: str) -> bool:
    """
    Tell whether there may be so many floats that msgspec's are worth it, and none is of the kinds
    that it may be slow at: with an exponent of three digits, or of very many digits itself.
    """
    point = text.find(".")
    if point < 0 or text[point + 1 : point + 2] not in _ALL_DIGITS:  # none, or that of a sentence
        return False
    if _MANY_ZEROS in text:
        return False
    if "E" not in text:
        after = text.split("e", _FEW)
        if len(after) <= _FEW and not any(map(_may_be_large, after[1:])):
            return True
    if text.count(".") * _CHARACTERS_PER_FLOAT < len(text):
        return False
    digits = text.encode().translate(_DIGITS)
    return _EXPONENT not in digits or not (
        _LARGE in digits or _LARGE_SIGNED in digits or _MANY_DIGITS in digits
    )
