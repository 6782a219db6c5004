"""
Offsets, as clients have them: which hub counted, and how far.

Specification: https://socket.io/docs/v4/connection-state-recovery (there they are opaque).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..cluster.sids import SERVER_ID_LENGTH

_SHAPE = re.compile(rf"[\w-]{{{SERVER_ID_LENGTH}}}[0-9a-f]{{1,15}}", re.ASCII)


class Offset(NamedTuple):
    """A place among the events of a hub: its `server` id, and the event's `number` there."""

    server: str
    number: int


def format_offset(server: str, number: int) -> str:
    """Return the text of an offset."""
    return f"{server}{number:x}"


def parse_offset(text: str) -> Offset | None:
    """Return the offset of a text, or None where it is none."""
    if _SHAPE.fullmatch(text) is None:
        return None
    return Offset(text[:SERVER_ID_LENGTH], int(text[SERVER_ID_LENGTH:], 16))
