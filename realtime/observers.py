"""Who is told what happens to the sockets of a hub, such as presence and the signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from .hub import Hub
    from .sockets import Socket


class Observer(Protocol):
    """
    Told about the sockets that `connect()` accepted, on the hub's event loop, in order.

    Its methods return at once and never raise.
    """

    def opened(self, socket: Socket) -> None:
        """A client is let in, and not told so yet. `socket.rooms` holds what it has joined."""

    def closed(self, socket: Socket, reason: str) -> None:
        """A socket is gone, from all its rooms too. `socket.rooms` still holds them."""

    def joined(self, socket: Socket, room: str) -> None:
        """An open socket is in a room now."""

    def left(self, socket: Socket, room: str) -> None:
        """An open socket is in a room no more."""

    def moved(self, socket: Socket) -> None:
        """An open socket's connection changed its transport."""

    async def settled(self) -> None:
        """Wait, but not for long, until what it was told so far is in effect."""

    async def close(self) -> None:
        """Finish: the last hook of the last socket has run."""


# Returns None where there is nothing to tell.
Factory = Callable[["Hub"], Observer | None]

_factories: list[str] = []


def register(factory: str) -> None:
    """Let every hub that starts from now on have an observer: the dotted path of its `Factory`."""
    if factory not in _factories:
        _factories.append(factory)


class Observers:
    """All observers of a hub, told as one."""

    def __init__(self, hub: Hub) -> None:
        made = (import_string(factory)(hub) for factory in _factories)
        self.all: list[Observer] = [observer for observer in made if observer is not None]

    def opened(self, socket: Socket) -> None:
        for observer in self.all:
            observer.opened(socket)

    def closed(self, socket: Socket, reason: str) -> None:
        for observer in self.all:
            observer.closed(socket, reason)

    def joined(self, socket: Socket, room: str) -> None:
        for observer in self.all:
            observer.joined(socket, room)

    def left(self, socket: Socket, room: str) -> None:
        for observer in self.all:
            observer.left(socket, room)

    def moved(self, socket: Socket) -> None:
        for observer in self.all:
            observer.moved(socket)

    async def settled(self) -> None:
        for observer in self.all:
            await observer.settled()

    async def close(self) -> None:
        for observer in self.all:
            await observer.close()
