"""Sending to many: who is meant, and what to do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils.asyncio import async_unsafe
from django.utils.connection import ConnectionDoesNotExist

from . import routing, unreachable
from .exceptions import NotRunning
from .hub import get_gateway
from .hub.calls import Answers
from .hub.gateway import Gateway
from .hub.targets import Target
from .messages import Format, Message
from .names import check_rooms
from .sockets import unsettle

if TYPE_CHECKING:
    from .consumers import NamespaceConsumer
    from .models import RoomQuerySet, SocketQuerySet

Act = Callable[[Gateway], None]

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

    def __init__(
        self, target: Target, *, volatile: bool = False, on_commit: str | None = None
    ) -> None:
        self._target = target
        self._volatile = volatile
        self._on_commit = on_commit  # the alias of a database

    def _with(self, target: Target | None = None, **options: Any) -> Broadcaster:
        current = {"volatile": self._volatile, "on_commit": self._on_commit}
        return Broadcaster(target or self._target, **(current | options))

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

    def on_commit(self, using: str | None = None) -> Broadcaster:
        """
        Emit, join, leave and disconnect when the transaction of the database `using` (the default
        one without it) is committed, and not at all if it is rolled back; at once where there is
        none.

        What fails then is logged, and never raised. Raises ConnectionDoesNotExist for an alias that
        is not in DATABASES.
        """
        alias = DEFAULT_DB_ALIAS if using is None else using
        if alias not in connections:
            known = ", ".join(map(repr, connections))
            raise ConnectionDoesNotExist(f"DATABASES has no {alias!r}. There is {known}.")
        return self._with(on_commit=alias)

    # What

    def emit(self, event: str, *args: Any) -> Pending:
        """
        Send an event to all of them.

        Raises TypeError or ValueError for what cannot be sent. Where nobody can be reached, it
        raises NotRunning or LayerUnavailable, or logs that, as ``REALTIME["UNREACHABLE"]`` says.
        """
        message = Message(self._target.namespace, event, args, self._volatile)
        message.frames(Format.SOCKETIO)
        return self._do(lambda gateway: gateway.emit(self._target, message), "emit", event)

    def join(self, *rooms: str) -> Pending:
        """Put all of them into these rooms. Where nobody can be reached, the same as `emit`."""
        return self._command("join", check_rooms(rooms))

    def leave(self, *rooms: str) -> Pending:
        """Take all of them out of these rooms. Where nobody can be reached, the same as `emit`."""
        return self._command("leave", check_rooms(rooms))

    def disconnect(self, *, connection: bool = False) -> Pending:
        """
        Disconnect all of them from the namespace; with `connection` end their whole connections,
        with all their namespaces. Where nobody can be reached, the same as `emit`.
        """
        return self._command("end" if connection else "disconnect", ())

    def _command(self, action: str, names: tuple[str, ...]) -> Pending:
        def act(gateway: Gateway) -> None:
            unsettle()
            gateway.command(self._target, action, names)

        return self._do(act, action)

    def _do(self, act: Act, call: str, event: str | None = None) -> Pending:
        if self._on_commit is not None:
            return self._do_after_commit(act, call, event)
        try:
            gateway = get_gateway()
            act(gateway)
        except unreachable.ERRORS as error:
            unreachable.take(error, **self._describe(call, event))
            return Pending(_nothing)
        if event is not None:
            return Pending(gateway.drain)
        return Pending(partial(self._settled, gateway, call))

    async def _settled(self, gateway: Gateway, call: str) -> None:
        try:
            await gateway.settled()
        except unreachable.ERRORS as error:
            unreachable.take(error, **self._describe(call))

    def _describe(self, call: str, event: str | None = None) -> dict[str, str]:
        """Return what the log tells of a call."""
        fields = {"namespace": self._target.namespace, "call": call}
        return fields if event is None else {**fields, "event": event}

    def _do_after_commit(self, act: Act, call: str, event: str | None) -> Pending:
        def act_or_log() -> None:
            try:
                act(get_gateway())
            except Exception as error:  # or the other hooks of the commit would not run
                unreachable.take_after_commit(error, **self._describe(call, event))

        try:
            get_gateway()
        except NotRunning:  # that will be so at the commit, too: better said before it
            if unreachable.should_raise():
                raise
        _on_commit(act_or_log, self._on_commit)
        return Pending(_nothing)

    # Questions

    async def acall(self, event: str, *args: Any, timeout: float = DEFAULT_CALL_TIMEOUT) -> Answers:
        """
        Send an event to all of them and return their acknowledgements.

        What did not come within `timeout` seconds is in the answer's `missing`.
        """
        self._refuse_on_commit("call")
        message = Message(self._target.namespace, event, args)
        message.frames(Format.SOCKETIO)
        return await get_gateway().call(self._target, message, timeout)

    def call(self, event: str, *args: Any, timeout: float = DEFAULT_CALL_TIMEOUT) -> Answers:
        """The same as `acall`, from code that is not async."""
        self._refuse_on_commit("call")
        return get_gateway().wait(lambda: self.acall(event, *args, timeout=timeout))

    def _refuse_on_commit(self, question: str) -> None:
        if self._on_commit is not None:
            raise TypeError(
                f"{question}() wants an answer now, and on_commit() lets it wait for the commit. "
                "Ask without on_commit(), or in a function that you give to transaction.on_commit()"
            )

    # Who is there, in the whole cluster. The models are imported late: a site may import this
    # module while its apps are loading.

    def sockets(self) -> SocketQuerySet:
        """Return them as a QuerySet of `realtime.models.Socket`. Raises PresenceDisabled."""
        from . import queries  # noqa: PLC0415

        self._refuse_on_commit("sockets")
        return queries.find_sockets(self._target)

    def rooms(self) -> RoomQuerySet:
        """
        Return the rooms that they are in as a QuerySet of `realtime.models.Room`, each with the
        number of these sockets in it as `sockets`. Raises PresenceDisabled.
        """
        from . import queries  # noqa: PLC0415

        self._refuse_on_commit("rooms")
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


async def _nothing() -> None:
    """There is nothing to wait for."""


@async_unsafe(
    "on_commit() waits for the transaction of the thread that it is called in, and async code has "
    "none. Call it where the transaction is: in a plain def, such as a receiver of post_save or a "
    "function given to sync_to_async(). Without a transaction, send without on_commit()."
)
def _on_commit(function: Callable[[], None], using: str | None) -> None:
    transaction.on_commit(function, using)


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
