"""What a socket needs of its hub, its connection and its consumer, which are above it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from datetime import datetime
from typing import Any, Protocol

from ..conf import Settings
from ..exceptions import ConnectionRefused
from ..execution import calls
from ..identity.authentication import Authenticator
from ..identity.clients import ClientFacts
from ..identity.lookups import Lookups
from ..protocol.frames import Frames
from ..utils.oneshot import OneShotEvent
from .inbox import Event, Source
from .messages import Format, Message
from .trail import Trail


class Runner(Protocol):
    """What runs handlers."""

    def run(self, job: Coroutine[Any, Any, None], context: Context) -> None:
        """Begin a job at once."""


class Registry(Protocol):
    """The sockets and rooms of a process."""

    @property
    def sockets(self) -> dict[str, Any]:
        """The sockets, by sid."""

    def add(self, socket: Any) -> None:
        """Register a socket."""

    def remove(self, socket: Any) -> None:
        """Forget a socket and its place in its rooms."""

    def join(self, socket: Any, room: str) -> bool:
        """Put a socket in a room; tell whether that is new."""

    def leave(self, socket: Any, room: str) -> bool:
        """Take a socket out of a room; tell whether it was there."""

    def rooms_of(self, socket: Any) -> list[str]:
        """Return the rooms that a socket is in."""


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

    def away(self, socket: Any) -> None:
        """Tell that a client has dropped, and may come back to the same socket."""

    def back(self, socket: Any) -> None:
        """Tell that a client that was away, or elsewhere, is let in with the same sid."""

    def arrived(self, socket: Any) -> None:
        """Tell that a connected client has come from another server, as the same socket."""

    def moved(self, socket: Any) -> None:
        """Tell that another server has a socket, or its session, from now on."""

    def adopted(self, socket: Any) -> None:
        """Tell that this server keeps a session that is away, and was another's."""

    def shared(self, socket: Any) -> None:
        """Tell that an open socket shares something else."""

    def user_changed(self, socket: Any) -> None:
        """Tell that an open socket is another user's."""

    async def wait_written(self) -> None:
        """Wait, but not for long, until what they were told is written."""


class Observed(Protocol):
    """A socket, or the session of one that is away, as observers see it."""

    @property
    def sid(self) -> str:
        """Its id."""

    @property
    def namespace(self) -> str:
        """Its namespace."""

    @property
    def rooms(self) -> set[str]:
        """The rooms that it is in."""

    @property
    def shared(self) -> str:
        """What others see of it, as JSON."""

    @property
    def opened_at(self) -> datetime | None:
        """When observers came to know it first, however often it was away since then."""

    @property
    def away_since(self) -> datetime | None:
        """When its client dropped; None where that is connected."""

    @property
    def facts(self) -> ClientFacts:
        """What is told of its client."""

    @property
    def consumer_class(self) -> type:
        """The class of its consumer."""

    @property
    def user(self) -> Any:
        """Its client's user."""

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something about it."""


class Counters(Protocol):
    """What a hub counts of its sockets."""

    events_in: int
    events_out: int
    limited: int


class Target(Protocol):
    """Whom something is for."""

    def means(self, client: Any) -> bool:
        """Tell whether a client is meant."""


class Claim(Protocol):
    """What a client that has come back gets again."""

    @property
    def session(self) -> Any:
        """What it had before."""

    async def finish(self) -> list[Any]:
        """Return what it has missed."""

    def go_on(self) -> Trail | None:
        """Return the trail that goes on, if one does."""

    def count(self) -> bool:
        """Tell whether it has counted as there all the time."""

    def release(self, socket: Any) -> bool:
        """Leave all as it was: the client is gone again."""

    def refuse(self) -> None:
        """End what it had before."""

    def log_out(self) -> None:
        """End it as far as it is here: other hubs are told so as well."""

    async def settle(self) -> None:
        """Wait until it is here or elsewhere, and not on its way, for a client that is gone."""


class Recovery(Protocol):
    """What lets clients come back."""

    # Whether all hubs share one log, from which an event comes back before it is delivered.
    shared: bool

    def in_order(self, call: Callable[[], object]) -> None:
        """Do something when all that was sent so far is done."""

    async def new_trail(self, pid: str) -> Any:
        """Return the trail of a new client, or None where it gets one when it is let in."""

    def about_to_join(self, socket: Any, room: str) -> None:
        """Take note that a socket is about to join a room, in the order of what is sent."""

    def is_let_in(self, socket: Any) -> bool:
        """Tell whether a socket has its place among all events."""

    async def let_in(
        self, socket: Any, missed: list[Any], backlog: Any
    ) -> tuple[list[Frames], int]:
        """
        Give a socket its place among all events of the shared log; return its frames, and the last
        one's place.
        """

    def unfold(self, socket: Any, items: Iterable[Any], place: int) -> tuple[list[Frames], int]:
        """Return the frames of what was put off, behind a place, and the last one's place."""

    def data_changed(self, socket: Any) -> None:
        """Take note that what a site keeps of a client is another."""

    async def restore(self, socket: Any, auth: dict[str, Any]) -> dict[str, Any]:
        """Let a new socket be what its client had before; return what is left of `auth`."""

    def begin_anew(self, socket: Any, pid: str) -> None:
        """Let a socket that is coming back be a new client, which may come back by `pid`."""

    def begin(self, socket: Any, missed: list[Any]) -> list[Frames]:
        """Count what is sent to a socket from now on; return the frames of what it has missed."""

    def unheard(self, items: Iterable[Any], missed: list[Any]) -> list[Any]:
        """Return what was put off, without what is missed, or was decided with that."""

    def keep(self, socket: Any, reason: str) -> bool:
        """Keep what a client comes back to; tell whether that still counts as there."""

    def mark(self) -> int:
        """Return how far all that was sent is counted."""

    def joined(self, socket: Any, room: str) -> None:
        """Take note that a socket is in a room now."""

    def left(self, socket: Any, room: str) -> None:
        """Take note that a socket is in a room no more."""

    def forget(self, socket: Any) -> None:
        """Let the client of a socket come back to nothing."""

    def user_changed(self, socket: Any, before: list[str]) -> None:
        """Take note that a socket is another user's; `before` is the key of the one before."""

    def to_socket(self, socket: Any, message: Message, event_id: str = "") -> Frames:
        """Log an event for one client; return its frames."""


class Reasking(Protocol):
    """What asks again what clients may."""

    def ask(self, socket: Any) -> None:
        """Ask for one socket again."""

    def came(self, connection: Any, *, moved: bool = False) -> None:
        """Take note of a client that has just come, or has moved here."""

    def note_login(self, socket: Any) -> None:
        """Take note that a socket has a login of its own, which may expire."""

    def look_at(self, socket: Any) -> None:
        """Ask for a socket with a login of its own, where something has changed lately."""


class Hub(calls.Hub, Protocol):
    """The hub that a socket belongs to."""

    @property
    def reasking(self) -> Reasking:
        """What asks again what clients may."""

    settings: Settings
    lookups: Lookups
    sync_handlers: asyncio.Semaphore
    authenticators: tuple[Authenticator, ...]

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
    def recovery(self) -> Recovery | None:
        """What lets clients come back, where the site wants that."""

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

    def emit_after(self, socket: Any, message: Message) -> None:
        """Send an event to the client of a socket that has ended here, wherever that is now."""

    def command_after(self, socket: Any, action: str, *names: str) -> None:
        """Let the client of a socket that is elsewhere do something (see `Command`)."""

    def note_left(self, sid: str) -> None:
        """Take note that a client is gone for good."""


class Connection(Protocol):
    """The connection that a socket is in one namespace of."""

    format: Format
    sid: str
    scope: dict[str, Any]
    last_ack_id: int
    closed: OneShotEvent

    @property
    def sockets(self) -> dict[str, Any]:
        """Its sockets, by namespace."""

    @property
    def transport(self) -> str:
        """How the client is connected now."""

    @property
    def watched(self) -> bool:
        """Whether there is a heartbeat."""

    def may_ask(self) -> bool:
        """Count that the client asks for a namespace, or who it is; tell whether it may."""

    def count_login(self, user: Any) -> None:
        """Count the connection for a user of one of its sockets. Raises TooManyConnections."""

    def take_place(self) -> None:
        """Take the place of another connection of the user, where that has no free one."""

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something that this client may cause again and again."""

    def send(self, frames: Frames, volatile: bool = False) -> None:
        """Send frames, unless the client reads too slowly."""

    def send_connect(self, socket: Any) -> None:
        """Tell the client that it is connected to the socket's namespace."""

    def send_connect_error(self, namespace: str, message: str, data: Any) -> None:
        """Tell the client why it is not connected to a namespace."""

    def send_disconnect(self, namespace: str, refusal: ConnectionRefused | None = None) -> None:
        """Tell the client that the server disconnects it from a namespace, and perhaps why."""

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
    login_required: bool
    guard_rooms: bool
    _session: Any

    @property
    def user(self) -> Any:
        """The client's user."""

    @property
    def has_permission(self) -> Callable[..., Any]:
        """Tells whether the user may be in the namespace."""

    @property
    def may_join(self) -> Callable[..., Any]:
        """Tells whether the client may be in a room."""

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

    def _restore(self, data: str) -> None:
        """Have the data again that the client had before."""

    def _forget(self) -> None:
        """Have none of the data that the client had before."""

    def _asks_permission(self) -> bool:
        """Tell whether `has_permission` may say no."""

    def _has_own(self, hook: str) -> bool:
        """Tell whether the site has written a hook itself."""

    @property
    def user_changed(self) -> Callable[..., Any]:
        """The hook that tells that the user is another one."""

    @property
    def unauthorized(self) -> Callable[..., Any]:
        """The hook that tells that the client may not be here any more."""

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

    async def wait_asked(self) -> None:
        """Wait until it is in all rooms that it was to join, or may not be in them."""

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something about this socket."""

    def deliver(self, frames: Frames, volatile: bool = False) -> None:
        """Send frames to the client once that is connected."""

    @property
    def shares_log(self) -> bool:
        """Whether hubs share a log, from which what is sent comes back before it is done here."""

    def in_order(self, call: Callable[[], object]) -> None:
        """Do something behind all that this process has sent before."""
