"""
Slimming: the objects that a server keeps for each connection, made to take less memory.

Most of what is in them serves the handshake, or what hardly ever comes once frames are read and
written past them. A server's adapter has a subclass of the server's own class for that: attributes
of it are None where nobody needs them any more, and made again when they are asked for elsewhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def replaced(kind: type) -> frozenset[str]:
    """Return the attributes that a slim class has in the place of its objects."""
    return frozenset(name for name in vars(kind) if not name.startswith("__"))


def named_as_base(kind: type) -> type:
    """Let a slim class have the name by which its base is known; return it."""
    base = kind.__bases__[0]
    kind.__module__, kind.__name__ = base.__module__, base.__name__
    kind.__qualname__ = base.__qualname__
    return kind


def slim(thing: Any, kind: type) -> None:
    """
    Make an object one of a slim class, without what the class has in its place.

    Objects of other classes than the one that it is made for stay as they are.
    """
    if type(thing) is not kind.__base__:
        return
    gone = replaced(kind)
    kept = {name: value for name, value in vars(thing).items() if name not in gone}
    thing.__class__ = kind
    thing.__dict__ = kept
