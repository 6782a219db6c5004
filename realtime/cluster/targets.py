"""Whom a message is for."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """
    Sockets of one namespace: those in any of `rooms` (all where it is empty), without those in
    `excluded`. A sid stands for its socket in both.

    With `client` the one room is a sid, and its client is meant: its socket in `namespace`, or the
    sid's own where that is empty.
    """

    namespace: str
    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    client: bool = False


# All hubs, whatever clients they have.
EVERYONE = Target("")
