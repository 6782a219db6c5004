"""What transports need of the hub, which is above them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from ..cluster.envelopes import HttpRequest, HttpResponse, Upgrade
from ..cluster.targets import Target
from ..execution.tasks import Tasks
from ..recovery.holds import Holds
from ..recovery.interfaces import Moves
from ..recovery.lingering import Lingering
from ..recovery.recovery import Recovery
from ..sockets import interfaces as sockets
from ..sockets.messages import Message
from ..utils.limits import ConnectionLimits, Rate
from .bodies import Body
from .heartbeats import TimerWheel


class Counters(sockets.Counters, Protocol):
    """What a hub counts of its connections."""

    dropped: int
    cut: int
    unlogged: int
    not_upgraded: int
    not_moved: int


class Observers(sockets.Observers, Protocol):
    """Who is told what happens to connections."""

    def transport_changed(self, socket: Any) -> None:
        """Tell that an open socket's connection changed its transport."""


class Entrance(Protocol):
    """What lets connections into namespaces."""

    def enter(self, connection: Any, namespace: str, auth: dict[str, Any], query: str) -> bool:
        """Open a socket for a connection, or refuse it; tell whether there is one."""


class Crossing(Protocol):
    """A session that moves to another hub, or comes: it is told what is done here meanwhile."""

    def note_emit(self, target: Target, message: Message, id: str) -> None:
        """Take note of an event that is delivered."""

    def note_command(self, target: Target, action: str, names: tuple[str, ...], id: str) -> None:
        """Take note of a command that is carried out."""

    def note_call(self, id: str) -> None:
        """Take note of a question that clients are asked."""


class Arrivals(Protocol):
    """The sessions that are about to be here, until that is `finished`."""

    finished: bool

    def begin(self, sid: str) -> Any:
        """Keep what is for a session from now on."""

    def end(self, arrival: Any) -> None:
        """Take note that it is here, or does not come."""

    async def wait(self) -> None:
        """Wait until nobody is on the way, but not for long."""

    async def wait_for(self, sid: str) -> None:
        """Wait until a session is not on the way any more, but not for long."""


class Departures(Protocol):
    """The sessions that other hubs take over."""

    async def settled(self, sid: str) -> None:
        """Wait until a client that stays on polling is not about to go, but not for long."""


class Wanderers(Protocol):
    """The sessions whose requests come to this hub for good."""

    def begin(self, owner: str, sid: str, scope: dict[str, Any]) -> None:
        """Take a session over, where that can be begun now."""

    def approach(self, sid: str) -> AbstractAsyncContextManager[None]:
        """Let a session go nowhere in the block, in which a WebSocket of it is here."""

    def approached(self, sid: str) -> bool:
        """Tell whether a WebSocket of it is here."""


class Cluster(Protocol):
    """The other servers, as far as polling and the moves of clients need them."""

    def find(self, server: str) -> Awaitable[bool]:
        """Tell whether there is a server of that id."""

    def ask(
        self,
        server: str,
        question: Any,
        timeout: float | None = None,
        hear: Callable[[Any], object] = ...,
        *,
        patience: float = ...,
    ) -> Awaitable[Any]:
        """
        Ask a server, and return its answer; `hear` gets earlier ones. Raises ServerGone where
        nothing comes for as long as `patience`.
        """

    async def flush_local(self) -> None:
        """Wait until what was asked for so far comes here."""

    async def fence(self) -> None:
        """Wait until the layer has what other hubs were sending before."""


class Hub(sockets.Hub, Protocol):
    """The hub that a connection belongs to."""

    limits: ConnectionLimits
    connect_rate: Rate
    timers: TimerWheel
    server_id: str
    services: Tasks
    crossings: set[Crossing]
    answer_http: Callable[[HttpRequest], Awaitable[HttpResponse]] | None
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

    @property
    def recovery(self) -> Recovery | None:
        """What lets clients come back, where the site wants that."""

    @property
    def moves(self) -> Moves:
        """Clients that came from other servers, or went to them."""

    @property
    def holds(self) -> Holds:
        """Who holds which rooms."""

    @property
    def lingering(self) -> Lingering:
        """Clients that were given to another hub just now."""

    @property
    def departures(self) -> Departures:
        """Sessions that others take over."""

    @property
    def arrivals(self) -> Arrivals:
        """Sessions that are taken over here."""

    @property
    def wanderers(self) -> Wanderers:
        """Sessions that are to be here, as their requests are."""

    async def wait_returned(self) -> None:
        """Wait until what was sent so far is done here."""

    async def take(self, server: str, question: Upgrade) -> bytes | None:
        """Ask another hub for a step of a takeover; return its answer. Raises ServerGone."""

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
