"""What events carry behind their number: nothing, text, bytes, or several of them."""

from __future__ import annotations

import hashlib


def payload_of(number: int) -> list[str | bytes]:
    """Return what the event of a number carries, the same in every process."""
    some = hashlib.blake2b(str(number).encode()).digest() * (1 + number % 24)
    kind = number % 6
    if kind == 0:
        return [some]
    if kind == 1:
        return [some[:7], "between", some]
    if kind == 2:
        return [some.hex() + " é\u2028"]
    return []
