"""
Places in a log that all hubs share, and their offsets, as clients have them.

A *place* is a number and what stands behind it: `connect` may emit to a client that is let in
behind what it has missed, and before all that came meanwhile.
"""

from __future__ import annotations

import re

# Offsets begin with this, where those of a hub's own log have its id.
NAME = "-redis"

_SHAPE = re.compile(rf"{NAME}([0-9a-f]{{1,15}})(?:\.([0-9a-f]{{1,5}}))?", re.ASCII)

# Places behind one number.
BITS = 20


def place_of(number: int, behind: int = 0) -> int:
    """Return the place of a number, or one behind it."""
    return number << BITS | behind


def number_of(place: int) -> int:
    """Return the number at or before a place."""
    return place >> BITS


def end_of(number: int) -> int:
    """Return the last place of a number."""
    return place_of(number + 1) - 1


def format_place(place: int) -> str:
    """Return the offset of a place."""
    number, behind = number_of(place), place & (1 << BITS) - 1
    return f"{NAME}{number:x}.{behind:x}" if behind else f"{NAME}{number:x}"


def parse_place(text: str) -> int | None:
    """Return the place of an offset, or None where it is none of this log."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        return None
    number, behind = found.groups()
    return place_of(int(number, 16), int(behind or "0", 16))
