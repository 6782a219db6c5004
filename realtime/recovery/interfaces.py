"""What recovery needs of the hub, which is above it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Protocol

from ..cluster.envelopes import Command, Emit, Take
from ..cluster.targets import Target
from ..execution.tasks import Tasks
from ..sockets import interfaces as sockets
from ..sockets.messages import Message
from ..sockets.socket import Socket


class Registry(sockets.Registry, Protocol):
    """The sockets and rooms of this process."""

    sockets: dict[str, Socket]


class Cluster(Protocol):
    """The other hubs, and the groups that this one is in."""

    @property
    def subscribe(self) -> Callable[[str, str | None], None]:
        """Ask for a room's messages from now on."""

    @property
    def unsubscribe(self) -> Callable[[str, str | None], None]:
        """Ask for them no more."""

    async def flush_local(self) -> None:
        """Wait until that is in effect."""

    async def fence(self) -> None:
        """Wait until the layer has what other hubs were sending before."""

    async def look_for_losses(self) -> None:
        """Take note of what the layer has had no room for so far."""

    async def meet(self, servers: Iterable[str]) -> bool:
        """Wait for a hub that was not heard of so far; tell whether there is one."""

    def is_peer(self, server: str) -> bool:
        """Tell whether another hub is there, as far as its beats tell."""

    def heir(self, server: str) -> str | None:
        """Return the hub that has the sessions of one that is gone."""

    def choose_heir(self, excluding: Container[str] = ()) -> str | None:
        """Return a hub to hand sessions to."""

    def claim(self, server: str) -> None:
        """Take note that this hub has the sessions of another."""

    async def announce(self) -> None:
        """Let all hubs know that."""

    def peers_with_recovery(self) -> list[str]:
        """Return the other hubs that keep sessions."""


class Moves(Protocol):
    """Clients that came from other servers, or went to them."""

    def expect(self, sid: str) -> None:
        """Ask for what is for a client that another hub is about to give away."""

    def give_up(self, sid: str) -> None:
        """Take note that it does not come."""

    def adopt(self, sid: str) -> None:
        """Take note that it is here now."""

    def note_had(self, sid: str, ids: Iterable[str]) -> None:
        """Take note of events that a client has got where it was."""

    def want(self, sid: str) -> None:
        """Take note that another hub is about to have a client."""

    def note(self, sid: str, server: str) -> None:
        """Take note that a client is given to another hub."""

    def forget(self, sid: str) -> None:
        """Take note that a client is gone for good."""

    def forward(self, sid: str, envelope: Emit | Command, origin: str) -> None:
        """Send something of a server on to a client that was given away."""

    def where(self, sid: str) -> str | None:
        """Return the other hub that a client is at."""

    async def scatter(self) -> None:
        """Wait until no hub takes it for granted that clients of this server are here."""


class Lingering(Protocol):
    """Clients that were given to another hub just now."""

    def add(self, namespace: str, sid: str, rooms: Iterable[str], late: Iterable[str] = ()) -> None:
        """Hear what is for a client a little longer."""


class Arrivals(Protocol):
    """Clients that are just coming from other hubs without a drop."""

    async def wait(self) -> None:
        """Wait until nobody is on the way, but not for long."""


class Hub(sockets.Hub, Protocol):
    """The hub whose clients come back."""

    server_id: str
    services: Tasks
    draining: bool

    @property
    def registry(self) -> Registry:
        """The sockets and rooms of this process."""

    @property
    def cluster(self) -> Cluster:
        """The other hubs."""

    @property
    def moves(self) -> Moves:
        """Clients that came from other servers, or went to them."""

    def is_sid(self, name: str) -> bool:
        """Tell whether a name is the sid of a client that any hub has, or had."""

    def emit(self, target: Target, message: Message) -> None:
        """Deliver to the sockets of a target, in the whole cluster."""

    @property
    def lingering(self) -> Lingering:
        """Clients that were given away just now."""

    @property
    def arrivals(self) -> Arrivals:
        """Clients that are just coming without a drop."""

    async def take(self, server: str, question: Take) -> bytes | None:
        """Ask another hub for a session; return its bytes. Raises ServerGone."""

    async def hand_over(self, server: str, kind: str, body: bytes) -> bool:
        """Let another hub keep something; tell whether it does. Raises ServerGone."""
