"""What transports need of the hub, which is above them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ..sockets import interfaces as sockets
from ..utils.limits import ConnectionLimits, Rate
from .bodies import Body
from .heartbeats import TimerWheel


class Counters(sockets.Counters, Protocol):
    """What a hub counts of its connections."""

    dropped: int
    cut: int
    unlogged: int


class Observers(sockets.Observers, Protocol):
    """Who is told what happens to connections."""

    def transport_changed(self, socket: Any) -> None:
        """Tell that an open socket's connection changed its transport."""


class Entrance(Protocol):
    """What lets connections into namespaces."""

    def enter(self, connection: Any, namespace: str, auth: dict[str, Any], query: str) -> bool:
        """Open a socket for a connection, or refuse it; tell whether there is one."""


class Cluster(Protocol):
    """The other servers, as far as polling needs them."""

    def find(self, server: str) -> Awaitable[bool]:
        """Tell whether there is a server of that id."""

    def ask(self, server: str, question: Any, timeout: float | None = None) -> Awaitable[Any]:
        """Ask a server, and return its answer. Raises ServerGone."""


class Hub(sockets.Hub, Protocol):
    """The hub that a connection belongs to."""

    limits: ConnectionLimits
    connect_rate: Rate
    timers: TimerWheel
    foreign_polls: dict[asyncio.Task[Any], tuple[str, str]]
    # Whether it takes no more clients, while those that it has go on until they are told.
    draining: bool

    @property
    def connections(self) -> dict[str, Any]:
        """Its connections, by their secret ids."""

    @property
    def counters(self) -> Counters:
        """What is counted."""

    @property
    def observers(self) -> Observers:
        """Who is told what happens to connections."""

    @property
    def entrance(self) -> Entrance:
        """What lets connections into namespaces."""

    @property
    def cluster(self) -> Cluster:
        """The other servers."""

    def keep_current_task(self) -> None:
        """Count the caller's task among those that the hub's end waits for."""


class Request(Protocol):
    """A polling request that may be another server's to answer."""

    scope: dict[str, Any]
    receive: Callable[[], Awaitable[dict[str, Any]]]
    body: Body

    @property
    def hub(self) -> Hub:
        """The hub that the request reached."""

    async def send_unavailable(self) -> None:
        """Answer that the client is to try again later."""

    async def send_response(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Send a response as another server has made it."""
