"""NamespaceConsumer: what a site writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cache, cached_property, partial, update_wrapper
from typing import Any, ParamSpec, TypeVar

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from django.http import QueryDict

from .authority.declarations import permissions_of
from .broadcast import Broadcaster
from .cluster.targets import Target
from .execution.calls import call_hook, call_in_thread
from .hub.calls import as_answer
from .hub.gateway import on_loop, wait_on
from .identity.handshake import find_headers, find_query
from .identity.sessions import open_session
from .identity.user_rooms import without_user_rooms
from .protocol.names import check_rooms
from .sending.plain_calls import DEFAULT_CALL_TIMEOUT, Pending
from .sockets import authentication
from .sockets.annotations import check_annotations
from .sockets.contract import check_class, check_initkwargs
from .sockets.data import RecoverableData, load_data
from .sockets.handlers import Handler, Mark, event, find_handlers
from .sockets.messages import Message
from .sockets.sharing import add_shared, lock, read_shared
from .sockets.socket import Socket
from .sockets.spawned import check_work

__all__ = ["NamespaceConsumer", "event"]

Consumer = TypeVar("Consumer", bound="NamespaceConsumer")
Given = ParamSpec("Given")


def _hook(function: Callable[Given, Any]) -> Callable[Given, Any]:
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

    # Who may be in the namespace: users who are logged in, and those with all of these permissions
    # ("shop.view_order", or several); see `has_permission`. Whether `may_join` is asked about rooms
    # that the site's own code joins, too.
    login_required: bool = False
    permission_required: str | Iterable[str] = ()
    guard_rooms: bool = False

    # What the route captured.
    kwargs: dict[str, Any]

    # Each of these names is the consumer's own, and refused in subclasses.
    _socket: Socket
    _target: Target
    _handlers: dict[str, list[Handler]]
    _query: str
    _session: Any
    _data: dict[str, Any] | None

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

    def _attach(self, socket: Socket, kwargs: dict[str, Any], query: str) -> None:
        """Bind the instance to its socket, before any hook runs."""
        self._socket = socket
        self._target = Target(socket.namespace)
        self._handlers = _handlers(type(self))  # type: ignore[arg-type]
        self.kwargs = kwargs
        self._query = query
        self._session = None
        self._data = None

    def _restore(self, data: str) -> None:
        """Have the data again that the client had before."""
        values = load_data(data)
        if self._socket.shares_log:
            values.changed = self._socket.store_soon
        self._data = values

    def _forget(self) -> None:
        """Have none of the data that the client had before."""
        self._data = None

    @property
    def data(self) -> dict[str, Any]:
        """
        What the site's code keeps about this client, as long as it is here; and where clients come
        back (``REALTIME["RECOVERY"]``) when it does: there it takes what JSON can hold, 16 KiB at
        most, and raises TypeError or ValueError for other things.
        """
        data = self._data
        if data is None:
            data = self._data = self._new_data({})
        return data

    @data.setter
    def data(self, values: dict[str, Any]) -> None:
        self._data = self._new_data(values)
        self._socket.store_soon()

    def _new_data(self, values: dict[str, Any]) -> dict[str, Any]:
        if self._socket.hub.recovery is None:
            return values
        if self._socket.shares_log:
            return RecoverableData(values, self._socket.store_soon)
        return RecoverableData(values)

    @property
    def recovered(self) -> bool:
        """
        Whether the client has come back: it has its sid, rooms and data again, and gets what it has
        missed.
        """
        return self._socket.recovered

    @property
    def lost(self) -> bool:
        """Whether the client wanted to come back, and could not: it may have missed something."""
        return self._socket.lost

    @cached_property
    def scope(self) -> dict[str, Any]:
        """
        The client's request, and the `namespace`, its `namespace_query` (what followed "?") and its
        `url_route`.
        """
        return self._socket.connection.scope | {
            "user": self._socket.user,
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
    def has_permission(self) -> Any:
        """
        Tell whether the user may be in this namespace: who has not got all that
        `permission_required` names may not. Asked before `connect`.

        Override it for permissions of objects, and others. It may raise ConnectionRefused with a
        message of its own.
        """
        names = permissions_of(self.permission_required)
        has_perms = getattr(self.user, "has_perms", None)
        return not names or (has_perms is not None and has_perms(names))

    def _asks_permission(self) -> bool:
        """Tell whether `has_permission` may say no."""
        return bool(self.permission_required) or self._has_own("has_permission")

    @_hook
    def may_join(self, room: str) -> Any:
        """
        Tell whether the client may be in a room. Nobody may, until a site says who.

        Asked when the client wants to join (see ClientRooms), and when it comes back to a room that
        it has joined so; with `guard_rooms` about each room.
        """
        return False

    @_hook
    async def user_changed(self, old: Any) -> None:
        """
        `self.user` is another one than it was, or may other things, and the client is still let in.

        It runs beside the handlers of this client, when it has left the rooms that it has lost.
        """

    @_hook
    async def unauthorized(self) -> None:
        """
        The client may not be in this namespace any more, as `self.user` is now: it is about to be
        disconnected from it. What is emitted to it here still arrives.

        It is in no room already, and nothing of what it sends is handled. The hook has a second.
        """

    def _has_own(self, hook: str) -> bool:
        """Tell whether the site has written a hook itself."""
        return getattr(type(self), hook) is not getattr(NamespaceConsumer, hook)

    @_hook
    async def receive(self, event: str, *args: Any) -> Any:
        """
        Take every event that no handler claims; what is returned is the acknowledgement.

        In a class that does not override this such an event is not acknowledged, as with Node.
        """

    @_hook
    async def disconnect(self, reason: str) -> None:
        """The client is gone, for one of Socket.IO's reasons. What is emitted reaches others."""

    async def handle(self, event: str, args: list[Any]) -> Any:
        """
        Lead an event to its handler and return what that returns.

        Override it for what is to happen around every event, and await ``super().handle()``. That
        is None for an event that nobody claims; where the override returns None too, the client
        gets no acknowledgement.
        """
        return await self._lead(event, args)

    def _has_own_handle(self) -> bool:
        """Tell whether the site has written something around every event."""
        return getattr(self.handle, "__func__", None) is not NamespaceConsumer.handle

    def _lead(self, event: str, args: list[Any]) -> Coroutine[Any, Any, Any]:
        """Return the coroutine of what takes an event: that of its handler, or of `receive`."""
        for handler in self._handlers.get(event, ()):
            if handler.room is None or handler.room in self._socket.rooms:
                if self._socket.dispatcher.unclaimed:
                    self._socket.dispatcher.claim()
                bound = args if len(args) == handler.plain else handler.bind(args)
                if handler.is_async:
                    return handler.function(self, *bound)  # type: ignore[no-any-return]
                slots = self._socket.hub.sync_handlers
                return call_in_thread(handler.function, self, *bound, slots=slots)
        receive = self.receive
        if getattr(receive, "__func__", None) is NamespaceConsumer.receive:
            self._socket.dispatcher.leave_unclaimed()
        return call_hook(receive, event, *args, slots=self._socket.hub.sync_handlers)

    # Who and where

    @property
    def sid(self) -> str:
        """This socket's id."""
        return self._socket.sid

    @property
    def namespace(self) -> str:
        """The namespace's name, such as "/orders/7"."""
        return self._socket.namespace

    @property
    def user(self) -> Any:
        """
        The client's user, AnonymousUser where there is none: the session's, as it is now.

        Set it where your own code knows better, in `connect` as a rule. It is this socket's user
        everywhere from then on: in the rooms, in the log and to whoever asks who is connected.
        """
        return self._socket.user

    @user.setter
    def user(self, user: Any) -> None:
        self._socket.set_user(user)
        if "scope" in self.__dict__:
            self.scope["user"] = user

    @property
    def session(self) -> Any:
        """
        The client's Django session as it is now: read anew for each event that asks for it.

        Use it as views do: ``await self.session.aget("cart")`` in an ``async def``, and
        ``self.session["cart"]`` in a plain one. Save what you change with ``asave()`` or
        ``save()``, which write that and nothing else, and raise NoSession where it is over.

        Raises ImproperlyConfigured where a site's own middleware has set a user, but no session.
        """
        if self._session is None:
            self._session = self._open_session()
        return self._session

    def _open_session(self) -> Any:
        try:
            return open_session(self._socket.connection.scope)
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
        return without_user_rooms(self._socket.rooms)

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
            socket.hub.run(socket.emit, message, frames)
        else:
            socket.hub.run(socket.ask, message, callback)
        return Pending(self._drain)

    async def acall(
        self, event: str, *args: Any, timeout: float | None = DEFAULT_CALL_TIMEOUT
    ) -> Any:
        """
        Send an event to this client and return its acknowledgement: None, a value, or a tuple of
        several.

        Raises AckTimeout after `timeout` seconds, ClientDisconnected when the client goes away.
        """
        socket = self._socket
        message = Message(socket.namespace, event, args)
        return as_answer(await on_loop(socket.hub.loop, lambda: socket.acks.call(message, timeout)))

    def call(self, event: str, *args: Any, timeout: float | None = DEFAULT_CALL_TIMEOUT) -> Any:
        """Send an event and return its acknowledgement, as `acall` does, from a plain handler."""
        return wait_on(self._socket.hub, lambda: self.acall(event, *args, timeout=timeout))

    @property
    def everyone(self) -> Broadcaster:
        """All sockets of this namespace, this one too."""
        return Broadcaster(self._target)

    @property
    def broadcast(self) -> Broadcaster:
        """All sockets of this namespace but this one."""
        return self.everyone.excluding(self.sid)

    def volatile(self) -> Broadcaster:
        """This client, with messages that it may miss while it is slow."""
        return self.everyone.to(self.sid).volatile()

    def to(self, *rooms: str) -> Broadcaster:
        """The other sockets in any of these rooms."""
        return self.broadcast.to(*rooms)

    def to_user(self, *users: Any) -> Broadcaster:
        """The other sockets of these users, or primary keys of users, in this namespace."""
        return self.broadcast.to_user(*users)

    def excluding(self, *names: str) -> Broadcaster:
        """The other sockets of this namespace that are not in these rooms nor have these sids."""
        return self.broadcast.excluding(*names)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None] | None:
        """
        Run a coroutine in a task beside the handlers, which is cancelled when the socket ends,
        before `disconnect` runs. What it raises is logged.

        Returns the task, or None in a thread, from where it is started soon. Raises TypeError for
        what is no coroutine.
        """
        check_work(work)
        if self._socket.hub.on_loop():
            return self._socket.spawn(work)
        self._socket.hub.run(self._socket.spawn, work)
        return None

    # Rooms

    def join(self, *rooms: str) -> Pending:
        """
        Let this socket join rooms: any texts. With `guard_rooms` it is in one once `may_join` has
        said yes; what is returned may be awaited to wait for that.
        """
        note = None if self.guard_rooms else self._socket.rooms.add
        return self._move(self._socket.join_in_order, note, rooms)

    def leave(self, *rooms: str) -> Pending:
        """Let this socket leave rooms."""
        return self._move(self._socket.leave_in_order, self._socket.rooms.discard, rooms)

    def _move(
        self,
        move: Callable[[str], None],
        note: Callable[[str], None] | None,
        rooms: tuple[str, ...],
    ) -> Pending:
        hub = self._socket.hub
        for room in check_rooms(rooms):
            if note is not None:
                note(room)
            hub.run(move, room)
        return Pending(self._flush_local)

    def close(self, *, connection: bool = False) -> Pending:
        """
        Disconnect this client from the namespace ("server namespace disconnect"); with `connection`
        from all of its namespaces, and end its connection.
        """
        socket = self._socket
        socket.hub.run(partial(socket.close_in_order, connection=connection))
        return Pending(self._flush_local)

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
        return Pending(self._flush_local)

    async def _drain(self) -> None:
        """Wait until little waits for this client, from whatever loop this is awaited in."""
        await on_loop(self._socket.hub.loop, self._socket.connection.drain)

    async def _flush_local(self) -> None:
        """Wait until what this client joined and left is in effect in the cluster."""
        await on_loop(self._socket.hub.loop, self._settle)

    async def _settle(self) -> None:
        await self._socket.wait_asked()
        await self._socket.hub.flush_local()


@cache
def _handlers(consumer_class: type) -> dict[str, list[Handler]]:
    own = Handler(authentication.show_again, Mark(authentication.EVENT, None))
    return {**find_handlers(consumer_class), authentication.EVENT: [own]}
