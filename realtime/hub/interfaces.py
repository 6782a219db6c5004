"""What the parts of a hub see of the whole, which imports them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ..cluster.cluster import Cluster
from ..cluster.envelopes import HttpRequest, HttpResponse, Inherit, Take
from ..cluster.standalone import LocalCluster
from ..cluster.targets import Target
from ..execution.tasks import Tasks
from ..identity.lookups import Lookups
from ..recovery.recovery import Recovery
from ..sockets import interfaces as sockets
from ..sockets.messages import Message
from ..sockets.socket import Socket
from ..transports import interfaces as transports
from ..transports.arrivals import Arrivals
from ..transports.connection import Connection
from ..transports.departures import Departures
from .files import Files
from .moves import Moves
from .registry import Registry


class Removable(Protocol):
    """What has been installed in the process."""

    def remove(self) -> None:
        """Take it out again."""


class Serving(Protocol):
    """What is told of the start and the end of serving."""

    @property
    def starting(self) -> bool:
        """Whether receivers are still told of the start."""

    async def stop(self) -> None:
        """Tell the end."""


class Drain(Protocol):
    """What gets rid of the hub's clients."""

    def begin(self) -> None:
        """Take no more of them."""

    async def finish(self) -> None:
        """Tell all to go, and wait for that."""


class Runner(sockets.Runner, Protocol):
    """What runs handlers."""

    def close(self) -> None:
        """Begin no more."""


class Observers(transports.Observers, Protocol):
    """Who is told what happens to the hub's sockets."""

    async def close(self) -> None:
        """Let them finish."""


class Sessions(Protocol):
    """The sessions that a hub keeps of clients that are away."""

    def counted(self) -> Sequence[sockets.Observed]:
        """Return those that still count as there."""

    async def take(self, question: Take) -> bytes | None:
        """Give a session away, or with `final` false tell of it; return what it is, or None."""

    async def inherit(self, question: Inherit) -> bool:
        """Keep what a hub that stops hands over; tell whether that is done."""


class Hub(transports.Hub, Protocol):
    """The hub, as its parts use it."""

    server_id: str
    tasks: Tasks
    services: Tasks
    lookups: Lookups
    files: Files
    answer_http: Callable[[HttpRequest], Awaitable[HttpResponse]] | None

    @property
    def runner(self) -> Runner:
        """What runs handlers."""

    @property
    def connections(self) -> dict[str, Connection]:
        """Its connections, by their secret ids."""

    @property
    def cluster(self) -> Cluster | LocalCluster:
        """The other servers."""

    @property
    def registry(self) -> Registry:
        """The sockets and rooms of this process."""

    @property
    def moves(self) -> Moves:
        """Clients that came from other servers, or went to them."""

    @property
    def recovery(self) -> Recovery | None:
        """What lets clients come back, where the site wants that."""

    @property
    def sessions(self) -> Sessions | None:
        """The sessions that are kept; None where none are."""

    @property
    def observers(self) -> Observers:
        """Who is told what happens to its sockets."""

    @property
    def drain(self) -> Drain:
        """What gets rid of its clients."""

    @property
    def signals(self) -> Removable:
        """What waits for SIGTERM and SIGINT."""

    @property
    def serving(self) -> Serving:
        """What tells a site's receivers that clients are served."""

    def select(self, target: Target) -> list[Socket]:
        """Return the local sockets of any target."""

    def is_here(self, target: Target) -> bool:
        """Tell whether a target is one client of this hub."""

    @property
    def departures(self) -> Departures:
        """Sessions that others take over."""

    @property
    def arrivals(self) -> Arrivals:
        """Sessions that are taken over here."""

    def new_event_id(self) -> str:
        """Return the id of an event, a command or a question, which no other one has anywhere."""

    def deliver(self, target: Target, message: Message, event_id: str = "", number: int = 0) -> str:
        """Deliver to the local sockets of a target; return the event's offset, if it has one."""

    def emit(self, target: Target, message: Message) -> None:
        """Deliver to the sockets of a target, in the whole cluster."""

    async def wait_returned(self) -> None:
        """Wait until what was sent so far is done here."""

    def execute(
        self,
        target: Target,
        action: str,
        names: tuple[str, ...],
        command_id: str = "",
        number: int = 0,
    ) -> None:
        """Let the local sockets of a target do something."""

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the sockets of a target do something, in the whole cluster."""

    async def flush_cluster(self) -> None:
        """Wait until all hubs have done what this one has asked for so far."""

    def describe(self) -> dict[str, Any]:
        """Return what this hub is and counts."""

    async def close(self, grace: float = 4.0) -> None:
        """Close every connection, and wait for their last hooks."""

    def hurry(self) -> None:
        """Let the end that has begun wait for nobody any more."""
