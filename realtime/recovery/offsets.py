"""
Offsets, as clients have them: which hub counted, and how far.

Specification: https://socket.io/docs/v4/connection-state-recovery (there they are opaque).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..cluster.sids import SERVER_ID_LENGTH

_SHAPE = re.compile(rf"[\w-]{{{SERVER_ID_LENGTH}}}[0-9a-f]{{1,15}}", re.ASCII)

# Behind an offset that names an event, and before the last number for which it does.
LIMIT = "-"


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


def limit_name(name: str, server: str, number: int) -> str:
    """
    Return the name of an event that a hub logs anew for a client, behind this number.

    A name is an offset that the event has had. One of this hub's own tells what a client has got
    that is not beyond that number: one that is has got its offset since, and perhaps not the event.
    """
    if not name.startswith(server) or LIMIT in name[SERVER_ID_LENGTH:]:
        return name
    return f"{name}{LIMIT}{number:x}"


def is_known(name: str, place: Offset) -> bool:
    """Tell whether who is at a place has got the event of this name."""
    if not name.startswith(place.server):
        return False
    text, _, limit = name[SERVER_ID_LENGTH:].partition(LIMIT)
    try:
        return int(text, 16) <= place.number and (not limit or place.number <= int(limit, 16))
    except ValueError:  # another hub has made it
        return False
