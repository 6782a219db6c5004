"""What a socket needs of its hub, its connection and its consumer, which are above it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

from ..conf import Settings
from ..execution import calls
from ..protocol.frames import Frames
from .inbox import Event, Source
from .messages import Format


class Runner(Protocol):
    """What runs handlers."""

    def run(self, job: Coroutine[Any, Any, None], context: Context) -> None:
        """Begin a job at once."""


class Registry(Protocol):
    """The sockets and rooms of a process."""

    def add(self, socket: Any) -> None:
        """Register a socket."""

    def remove(self, socket: Any) -> None:
        """Forget a socket and its place in its rooms."""

    def join(self, socket: Any, room: str) -> bool:
        """Put a socket in a room; tell whether that is new."""

    def leave(self, socket: Any, room: str) -> bool:
        """Take a socket out of a room; tell whether it was there."""


class Observers(Protocol):
    """Who is told what happens to sockets."""

    def opened(self, socket: Any) -> None:
        """Tell that a client is let in."""

    def closed(self, socket: Any, reason: str) -> None:
        """Tell that a socket is gone."""

    def joined(self, socket: Any, room: str) -> None:
        """Tell that an open socket is in a room now."""

    def left(self, socket: Any, room: str) -> None:
        """Tell that an open socket is in a room no more."""

    def shared(self, socket: Any) -> None:
        """Tell that an open socket shares something else."""

    async def wait_written(self) -> None:
        """Wait, but not for long, until what they were told is written."""


class Counters(Protocol):
    """What a hub counts of its sockets."""

    events_in: int
    events_out: int
    limited: int


class Hub(calls.Hub, Protocol):
    """The hub that a socket belongs to."""

    settings: Settings
    sync_handlers: asyncio.Semaphore

    @property
    def runner(self) -> Runner:
        """What runs handlers."""

    @property
    def registry(self) -> Registry:
        """The sockets and rooms of this process."""

    @property
    def observers(self) -> Observers:
        """Who is told what happens to sockets."""

    @property
    def counters(self) -> Counters:
        """What is counted."""

    def new_sid(self) -> str:
        """Return an unguessable id."""

    def run(self, call: Callable[..., object], *args: Any) -> None:
        """Call on the hub's loop, from any thread."""

    def on_loop(self) -> bool:
        """Tell whether the caller is on the hub's own thread."""

    def require_own_thread(self, what: str) -> None:
        """Raise RuntimeError where the caller is not on the hub's own thread."""

    def spawn(
        self, work: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Run `work` in a task that is kept."""

    async def flush_local(self) -> None:
        """Wait until what this hub's sockets joined and left so far is in effect."""


class Connection(Protocol):
    """The connection that a socket is in one namespace of."""

    format: Format
    sid: str
    scope: dict[str, Any]
    last_ack_id: int

    @property
    def sockets(self) -> dict[str, Any]:
        """Its sockets, by namespace."""

    @property
    def transport(self) -> str:
        """How the client is connected now."""

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something that this client may cause again and again."""

    def send(self, frames: Frames, volatile: bool = False) -> None:
        """Send frames, unless the client reads too slowly."""

    def send_connect(self, socket: Any) -> None:
        """Tell the client that it is connected to the socket's namespace."""

    def send_connect_error(self, namespace: str, message: str, data: Any) -> None:
        """Tell the client why it is not connected to a namespace."""

    def send_disconnect(self, namespace: str) -> None:
        """Tell the client that the server disconnects it from a namespace."""

    def parse_again(self, source: Source) -> Event:
        """Return an event that had to wait."""

    def throttle(self, socket: Any) -> None:
        """Read nothing more until `unthrottle`."""

    def unthrottle(self, socket: Any) -> None:
        """Read again, as far as this socket is concerned."""

    def is_behind(self) -> bool:
        """Tell whether the client has much to read still."""

    async def drain(self) -> None:
        """Wait until the client has read most of what it was sent."""

    def overflow(self) -> None:
        """End the connection of a client that is too far behind."""

    def note_ending(self, ending: asyncio.Task[None]) -> None:
        """Learn of the task in which a socket's last hook runs."""

    def close(self, reason: str, detail: str = "") -> None:
        """End the connection for one of Socket.IO's reasons."""

    def disconnect(self) -> None:
        """End the connection by the server's will."""


class Consumer(Protocol):
    """What a site has written, and a socket calls."""

    rate_limits: Any
    _session: Any

    @property
    def user(self) -> Any:
        """The client's user."""

    @property
    def connect(self) -> Callable[..., Any]:
        """The first hook."""

    @property
    def disconnect(self) -> Callable[..., Any]:
        """The last hook."""

    async def handle(self, event: str, args: list[Any]) -> Any:
        """Handle an event; a site may put something around that."""

    def _lead(self, event: str, args: list[Any]) -> Coroutine[Any, Any, Any]:
        """Lead an event to its handler."""

    def _has_own_handle(self) -> bool:
        """Tell whether a class has a `handle` of its own."""

    def _attach(self, socket: Any, kwargs: dict[str, Any], query: str) -> None:
        """Learn which socket it is for."""


class Route(Protocol):
    """What serves a namespace."""

    @property
    def consumer_class(self) -> Callable[..., Consumer]:
        """The consumer's class."""

    @property
    def initkwargs(self) -> dict[str, Any]:
        """How one is made."""

    @property
    def kwargs(self) -> dict[str, Any]:
        """The route's parameters."""


class Acks(Protocol):
    """What a socket's client is asked."""

    @property
    def pending(self) -> bool:
        """Whether any acknowledgement is waited for."""


class Socket(Protocol):
    """One socket, as its acknowledgements and its events see it."""

    hub: Hub
    connection: Connection
    consumer: Consumer
    context: Context
    namespace: str
    sid: str
    rooms: set[str]
    unflushed: bool

    @property
    def connected(self) -> bool:
        """Whether the client was told that it is connected, and still is."""

    @property
    def gone(self) -> bool:
        """Whether the client left or was disconnected."""

    @property
    def acks(self) -> Acks:
        """What its client is asked."""

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something about this socket."""

    def deliver(self, frames: Frames, volatile: bool = False) -> None:
        """Send frames to the client once that is connected."""
