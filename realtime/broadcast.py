"""Sending to many: who is meant, and what to do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import transaction

from . import routing
from .hub import get_gateway
from .hub.calls import Answers
from .hub.targets import Target
from .messages import Format, Message
from .names import check_rooms
from .sockets import unsettle

if TYPE_CHECKING:
    from .consumers import NamespaceConsumer
    from .models import RoomQuerySet, SocketQuerySet

Answer = TypeVar("Answer")

DEFAULT_CALL_TIMEOUT = 10.0


class Pending:
    """
    What a plain call returns. It has taken effect already; awaiting it waits until the network,
    or the cluster, has kept up.
    """

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()


class Broadcaster:
    """
    Sockets of one namespace, and what can be done with all of them.

    Each of `to`, `excluding`, `volatile` and `on_commit` returns a new Broadcaster.
    """

    __slots__ = ("_on_commit", "_target", "_volatile")

    def __init__(self, target: Target, *, volatile: bool = False, on_commit: bool = False) -> None:
        self._target = target
        self._volatile = volatile
        self._on_commit = on_commit

    def _with(self, target: Target | None = None, **flags: bool) -> Broadcaster:
        current = {"volatile": self._volatile, "on_commit": self._on_commit}
        return Broadcaster(target or self._target, **(current | flags))

    # Whom

    def to(self, *rooms: str) -> Broadcaster:
        """Only sockets in one of these rooms, or in one of those named before; sids do as well."""
        return self._with(self._target._replace(rooms=self._target.rooms + check_rooms(rooms)))

    def excluding(self, *names: str) -> Broadcaster:
        """Not the sockets in these rooms, nor those with these sids."""
        excluded = self._target.excluded + check_rooms(names)
        return self._with(self._target._replace(excluded=excluded))

    @property
    def volatile(self) -> Broadcaster:
        """Messages that a slow client may miss."""
        return self._with(volatile=True)

    def on_commit(self) -> Broadcaster:
        """Emit when the database transaction is committed, and not at all if it is rolled back."""
        return self._with(on_commit=True)

    # What

    def emit(self, event: str, *args: Any) -> Pending:
        """
        Send an event to all of them.

        Raises TypeError or ValueError for what cannot be sent, NotRunning where no hub is near.
        """
        gateway = get_gateway()
        message = Message(self._target.namespace, event, args, self._volatile)
        message.frames(Format.SOCKETIO)
        send = partial(gateway.emit, self._target, message)
        if self._on_commit:
            transaction.on_commit(send)
        else:
            send()
        return Pending(gateway.drain)

    def join(self, *rooms: str) -> Pending:
        """Put all of them into these rooms."""
        return self._command("join", check_rooms(rooms))

    def leave(self, *rooms: str) -> Pending:
        """Take all of them out of these rooms."""
        return self._command("leave", check_rooms(rooms))

    def disconnect(self) -> Pending:
        """Disconnect all of them from the namespace."""
        return self._command("disconnect", ())

    def _command(self, action: str, names: tuple[str, ...]) -> Pending:
        gateway = get_gateway()
        unsettle()
        gateway.command(self._target, action, names)
        return Pending(gateway.settled)

    # Questions

    async def acall(self, event: str, *args: Any, timeout: float = DEFAULT_CALL_TIMEOUT) -> Answers:
        """
        Send an event to all of them and return their acknowledgements.

        What did not come within `timeout` seconds is in the answer's `missing`.
        """
        message = Message(self._target.namespace, event, args)
        message.frames(Format.SOCKETIO)
        return await get_gateway().call(self._target, message, timeout)

    def call(self, event: str, *args: Any, timeout: float = DEFAULT_CALL_TIMEOUT) -> Answers:
        """The same as `acall`, from code that is not async."""
        return get_gateway().wait(lambda: self.acall(event, *args, timeout=timeout))

    # Who is there, in the whole cluster. The models are imported late: a site may import this
    # module while its apps are loading.

    def sockets(self) -> SocketQuerySet:
        """Return them as a QuerySet of `realtime.models.Socket`. Raises PresenceDisabled."""
        from . import queries  # noqa: PLC0415

        return queries.find_sockets(self._target)

    def rooms(self) -> RoomQuerySet:
        """
        Return the rooms that they are in as a QuerySet of `realtime.models.Room`, each with the
        number of these sockets in it as `sockets`. Raises PresenceDisabled.
        """
        from . import queries  # noqa: PLC0415

        return queries.find_rooms(self._target)

    def count(self) -> int:
        """Return how many sockets they are. Raises PresenceDisabled and PresenceUnavailable."""
        from . import queries  # noqa: PLC0415

        with queries.available():
            return self.sockets().count()

    async def acount(self) -> int:
        """The same as `count`, from async code."""
        from . import queries  # noqa: PLC0415

        with queries.available():
            return await self.sockets().acount()


def of(namespace: str | type[NamespaceConsumer] = "/", **kwargs: Any) -> Broadcaster:
    """
    Return all sockets of a namespace: its name, or its consumer's class and its route's kwargs.

    Raises UnknownNamespace where no route leads to it.
    """
    if isinstance(namespace, str):
        routing.check(namespace)
        return Broadcaster(Target(namespace))
    return Broadcaster(Target(routing.reverse(namespace, **kwargs)))


def to(*rooms: str) -> Broadcaster:
    """Return the sockets in any of these rooms of the namespace "/"."""
    return of().to(*rooms)


def emit(event: str, *args: Any) -> Pending:
    """Send an event to all clients of the namespace "/"."""
    return of().emit(event, *args)


def count_clients() -> int:
    """
    Return how many clients are connected, each counted once however many namespaces it is in.

    Raises PresenceDisabled and PresenceUnavailable.
    """
    from . import queries  # noqa: PLC0415

    with queries.available():
        return queries.find_clients().count()


def send_to_client(sid: str, namespace: str | None, event: str, *args: Any) -> bool:
    """
    Send an event to the client with this sid, and tell whether it is there.

    `namespace` chooses another namespace of the same client. Raises TypeError or ValueError for
    what cannot be sent.
    """
    gateway = get_gateway()
    Message(namespace or "/", event, args).frames(Format.SOCKETIO)  # raises here, not there
    return gateway.wait(lambda: gateway.send_to_client(sid, namespace, event, args))


async def asend_to_client(sid: str, namespace: str | None, event: str, *args: Any) -> bool:
    """The same as `send_to_client`, from async code."""
    gateway = get_gateway()
    Message(namespace or "/", event, args).frames(Format.SOCKETIO)
    return await gateway.send_to_client(sid, namespace, event, args)
