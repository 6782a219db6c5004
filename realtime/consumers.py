"""NamespaceConsumer: what a site writes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cache, cached_property, partial, update_wrapper
from typing import Any, ParamSpec, TypeVar

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from django.http import QueryDict

from .annotations import check_annotations
from .broadcast import Broadcaster, Pending
from .contract import check_class, check_initkwargs
from .handlers import Handler, event, find_handlers
from .handshake import find_headers, find_query
from .hub.calls import as_answer
from .hub.gateway import HubGateway
from .hub.targets import Target
from .messages import Message
from .names import check_rooms
from .running import call_hook, call_in_thread
from .sharing import add_shared, lock, read_shared
from .sockets import Socket

__all__ = ["NamespaceConsumer", "event"]

Consumer = TypeVar("Consumer", bound="NamespaceConsumer")
Given = ParamSpec("Given")

DEFAULT_ACK_TIMEOUT = 10.0


def _hook(function: Callable[Given, Coroutine[Any, Any, Any]]) -> Callable[Given, Any]:
    """Let type checkers know that a plain `def` may override this as well as an `async def`."""
    return function


class NamespaceConsumer:
    """
    One instance is one socket: one client in one namespace.

    Override `connect`, `receive` and `disconnect`, and write handlers with `@event`. Each of them
    is an ``async def``, or a plain ``def`` that runs in a thread.
    """

    channel_layer_alias = DEFAULT_CHANNEL_LAYER

    # How many events of each name one client may send: {"message": "5/s", "*": "100/m"}, where "*"
    # is for all others together.
    rate_limits: Mapping[str, str] = {}

    # What the route captured.
    kwargs: dict[str, Any]

    # Each of these names is the consumer's own, and refused in subclasses.
    _socket: Socket
    _target: Target
    _handlers: dict[str, list[Handler]]
    _query: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise InvalidConsumer for a class that cannot work as it is written."""
        super().__init_subclass__(**kwargs)
        check_class(cls, NamespaceConsumer)

    def __init__(self, **initkwargs: Any) -> None:
        for name, value in initkwargs.items():
            setattr(self, name, value)

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> Any:
        """
        Return what a route of ``REALTIME["NAMESPACES"]`` points to.

        `initkwargs` set attributes of the class on each instance, as in Django's ``as_view``.
        Raises InvalidConsumer (a TypeError) for a name that the class does not have or that is the
        consumer's own, and for a class that cannot work as it is written.
        """
        check_class(cls, NamespaceConsumer)
        check_initkwargs(cls, initkwargs, NamespaceConsumer)
        check_annotations(cls, patient=True)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise TypeError(
                f"{cls.__name__} serves a namespace. Put its route into REALTIME['NAMESPACES'], "
                "and serve those with realtime.asgi.get_application()."
            )

        app.consumer_class = cls  # type: ignore[attr-defined]
        app.consumer_initkwargs = initkwargs  # type: ignore[attr-defined]
        return update_wrapper(app, cls, updated=())

    def attach(self, socket: Socket, kwargs: dict[str, Any], query: str) -> None:
        """Bind the instance to its socket, before any hook runs."""
        self._socket = socket
        self._target = Target(socket.namespace)
        self._handlers = _handlers(type(self))  # type: ignore[arg-type]
        self.kwargs = kwargs
        self._query = query

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the site's code keeps about this client, as long as it is here."""
        return {}

    @cached_property
    def scope(self) -> dict[str, Any]:
        """
        The client's request, and the `namespace`, its `namespace_query` (what followed "?") and its
        `url_route`.
        """
        return self._socket.connection.scope | {
            "namespace": self._socket.namespace,
            "namespace_query": self._query,
            "url_route": {"args": (), "kwargs": self.kwargs},
        }

    @property
    def _request(self) -> dict[str, Any]:
        """The scope, without making one where nobody has asked for it."""
        return self.__dict__.get("scope") or self._socket.connection.scope

    # Hooks

    @_hook
    async def connect(self, auth: dict[str, Any]) -> None:
        """
        A client asks for this namespace, with `auth` as it gave it (empty where it gave none).

        Return to accept; raise ConnectionRefused to turn it away.
        """

    @_hook
    async def receive(self, event: str, *args: Any) -> Any:
        """
        Take every event that no handler claims; what is returned is the acknowledgement.

        In a class that does not override this such an event is not acknowledged, as with Node.
        """

    @_hook
    async def disconnect(self, reason: str) -> None:
        """The client is gone, for one of Socket.IO's reasons. What is emitted reaches others."""

    def handle(self, event: str, args: list[Any]) -> Coroutine[Any, Any, Any]:
        """
        Lead an event to its handler and return what that returns, when it is awaited.

        Override it for what is to happen around every event, and call ``super().handle()``. That is
        None for an event that nobody claims; where the override returns None too, the client gets
        no acknowledgement.
        """
        for handler in self._handlers.get(event, ()):
            if handler.room is None or handler.room in self._socket.rooms:
                if self._socket.dispatcher.unclaimed:  # an override has led here another one before
                    self._socket.dispatcher.unclaimed = False
                bound = args if len(args) == handler.plain else handler.bind(args)
                if handler.is_async:
                    return handler.function(self, *bound)  # type: ignore[no-any-return]
                slots = self._socket.hub.sync_handlers
                return call_in_thread(handler.function, self, *bound, slots=slots)
        receive = self.receive
        if getattr(receive, "__func__", None) is NamespaceConsumer.receive:
            self._socket.dispatcher.unclaimed = True
        return call_hook(receive, event, *args, slots=self._socket.hub.sync_handlers)

    # Who and where

    @property
    def sid(self) -> str:
        """This socket's id."""
        return self._socket.sid

    @property
    def user(self) -> Any:
        """The session's user, AnonymousUser where there is none."""
        return self._request["user"]

    @property
    def session(self) -> Any:
        """
        The Django session of the client's request. Save changes with ``await asave()``.

        Raises ImproperlyConfigured where a site's own middleware has set a user, but no session.
        """
        try:
            return self._request["session"]
        except KeyError:
            raise ImproperlyConfigured(
                "This client has no session: middleware around Realtime has set scope['user'], "
                "and so Realtime looks up neither. Let the middleware set scope['session'] as "
                "well, or do without self.session."
            ) from None

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The headers of the client's first request, by names in any case."""
        return find_headers(self._request)

    @cached_property
    def query(self) -> QueryDict:
        """The query of the client's first request."""
        return find_query(self._request)

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms that this socket is in, or was in when its client went away."""
        return frozenset(self._socket.rooms)

    @property
    def transport(self) -> str:
        """How the client is connected now: "websocket", "polling" or "plain"."""
        return self._socket.connection.transport

    @property
    def channel_layer(self) -> Any:
        """The site's channel layer by this class's alias, for groups and channels of its own."""
        return get_channel_layer(self.channel_layer_alias)

    # Sending

    def emit(self, event: str, *args: Any, callback: Callable[..., Any] | None = None) -> Pending:
        """
        Send an event to this client.

        `callback`, a function or coroutine function, is called with the arguments of the client's
        acknowledgement; not at all where the client goes away first.
        """
        socket = self._socket
        message = Message(socket.namespace, event, args)
        frames = message.frames(socket.connection.format)
        if callback is None:
            socket.hub.run(socket.emit, frames)
        else:
            socket.hub.run(socket.send, message, partial(self._call_back, callback))
        return Pending(socket.connection.drain)

    def _call_back(self, callback: Callable[..., Any], args: list[Any] | None) -> None:
        if args is not None:
            self._socket.hub.spawn(self._socket.call_back(callback, args))

    async def acall(
        self, event: str, *args: Any, timeout: float | None = DEFAULT_ACK_TIMEOUT
    ) -> Any:
        """
        Send an event to this client and return its acknowledgement: None, a value, or a list.

        Raises AckTimeout after `timeout` seconds, ClientDisconnected when the client goes away.
        """
        message = Message(self._socket.namespace, event, args)
        return as_answer(await self._socket.call(message, timeout))

    def call(self, event: str, *args: Any, timeout: float | None = DEFAULT_ACK_TIMEOUT) -> Any:
        """The same as `acall`, from a plain handler."""
        gateway = HubGateway(self._socket.hub)
        return gateway.wait(lambda: self.acall(event, *args, timeout=timeout))

    @property
    def namespace(self) -> Broadcaster:
        """All sockets of this namespace, this one too."""
        return Broadcaster(self._target)

    @property
    def broadcast(self) -> Broadcaster:
        """All sockets of this namespace but this one."""
        return self.namespace.excluding(self.sid)

    @property
    def volatile(self) -> Broadcaster:
        """This client, with messages that it may miss while it is slow."""
        return self.namespace.to(self.sid).volatile

    def to(self, *rooms: str) -> Broadcaster:
        """The other sockets in any of these rooms."""
        return self.broadcast.to(*rooms)

    def excluding(self, *names: str) -> Broadcaster:
        """The other sockets of this namespace that are not in these rooms nor have these sids."""
        return self.broadcast.excluding(*names)

    # Rooms

    def join(self, *rooms: str) -> Pending:
        """Join rooms: any texts."""
        return self._move(self._socket.join, self._socket.rooms.add, rooms)

    def leave(self, *rooms: str) -> Pending:
        """Leave rooms."""
        return self._move(self._socket.leave, self._socket.rooms.discard, rooms)

    def _move(
        self,
        move: Callable[[str], None],
        note: Callable[[str], None],
        rooms: tuple[str, ...],
    ) -> Pending:
        hub = self._socket.hub
        for room in check_rooms(rooms):
            note(room)
            hub.run(move, room)
        return Pending(hub.settled)

    def close(self, *, connection: bool = False) -> Pending:
        """
        Disconnect this client from the namespace ("server namespace disconnect"); with `connection`
        from all of its namespaces, and end its connection.
        """
        socket = self._socket
        socket.hub.run(socket.connection.disconnect if connection else socket.close)
        return Pending(socket.connection.drain)

    # What others see

    @property
    def shared(self) -> dict[str, Any]:
        """What others see of this client, as `data` in ``sockets()``: a copy."""
        return read_shared(self._socket.shared)

    def share(self, **values: Any) -> Pending:
        """
        Let others see these values of this client, beside what it shares already.

        Raises TypeError for a value that JSON has no form for, and ValueError where all of them
        would be more than 4 KiB of JSON.
        """
        socket = self._socket
        with lock:
            socket.shared = add_shared(socket.shared, values)
        socket.hub.run(socket.note_shared)
        return Pending(socket.hub.settled)


@cache
def _handlers(consumer_class: type) -> dict[str, list[Handler]]:
    return find_handlers(consumer_class)
