"""What recovery needs of the hub, which is above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..cluster.targets import Target
from ..execution.tasks import Tasks
from ..sockets import interfaces as sockets
from ..sockets.messages import Message
from ..sockets.socket import Socket


class Registry(sockets.Registry, Protocol):
    """The sockets and rooms of this process."""

    sockets: dict[str, Socket]

    def rooms_of(self, socket: Socket) -> list[str]:
        """Return the rooms that a socket is in."""


class Cluster(Protocol):
    """The other hubs, and the groups that this one is in."""

    @property
    def subscribe(self) -> Callable[[str, str | None], None]:
        """Ask for a room's messages from now on."""

    @property
    def unsubscribe(self) -> Callable[[str, str | None], None]:
        """Ask for them no more."""


class Hub(sockets.Hub, Protocol):
    """The hub whose clients come back."""

    server_id: str
    services: Tasks

    @property
    def registry(self) -> Registry:
        """The sockets and rooms of this process."""

    @property
    def cluster(self) -> Cluster:
        """The other hubs."""

    def emit(self, target: Target, message: Message) -> None:
        """Deliver to the sockets of a target, in the whole cluster."""
