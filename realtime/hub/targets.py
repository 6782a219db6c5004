"""Whom a message is for."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Target(NamedTuple):
    """
    Sockets of one namespace: those in any of `rooms` (all where it is empty), without those in
    `excluded`. A sid stands for its socket in both.
    """

    namespace: str
    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def all_of(namespace: str) -> Target:
    """Return the target of all sockets of a namespace: one object, which they share."""
    return Target(namespace)
