"""Whom a message is for."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Client(Protocol):
    """A client in a namespace."""

    @property
    def namespace(self) -> str:
        """The namespace."""

    @property
    def sid(self) -> str:
        """Its sid there."""

    @property
    def rooms(self) -> Collection[str]:
        """The rooms that it is in."""


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

    def means(self, client: Client) -> bool:
        """Tell whether a client is meant, which no hub need have at the moment."""
        if client.namespace != self.namespace:
            return False
        names = {client.sid, *client.rooms}
        if names & set(self.excluded):
            return False
        return not self.rooms or bool(names & set(self.rooms))


# All hubs, whatever clients they have.
EVERYONE = Target("")
