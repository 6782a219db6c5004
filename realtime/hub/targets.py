"""Whom a message is for."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """
    Sockets of one namespace: those in any of `rooms` (all where it is empty), without those in
    `excluded`. A sid stands for its socket in both.
    """

    namespace: str
    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
