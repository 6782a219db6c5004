"""Sending to many: who is meant, and what to do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import transaction

from . import routing
from .exceptions import AckTimeout, ClientDisconnected, WouldDeadlock
from .hub import Hub, get_hub
from .hub.targets import Target
from .messages import Format, Message

if TYPE_CHECKING:
    from .consumers import NamespaceConsumer
    from .sockets import Socket

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


class Answers(dict[str, Any]):
    """
    Acknowledgements by sid, as `Broadcaster.call` returns them.

    An answer of one argument is that argument, of none None, of several a list. `missing` names
    the sids that did not answer in time or went away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: list[str] = []


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
        return self._with(self._target._replace(rooms=self._target.rooms + _texts(rooms)))

    def excluding(self, *names: str) -> Broadcaster:
        """Not the sockets in these rooms, nor those with these sids."""
        return self._with(self._target._replace(excluded=self._target.excluded + _texts(names)))

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
        hub = get_hub()
        message = Message(self._target.namespace, event, args, self._volatile)
        message.frames(Format.SOCKETIO)
        send = partial(hub.run, hub.emit, self._target, message)
        if self._on_commit:
            transaction.on_commit(send)
        else:
            send()
        return Pending(hub.cluster.drain)

    def join(self, *rooms: str) -> Pending:
        """Put all of them into these rooms."""
        return self._each(lambda socket, room: socket.join(room), _texts(rooms))

    def leave(self, *rooms: str) -> Pending:
        """Take all of them out of these rooms."""
        return self._each(lambda socket, room: socket.leave(room), _texts(rooms))

    def disconnect(self) -> Pending:
        """Disconnect all of them from the namespace."""
        return self._each(lambda socket, _: socket.close(), ("",))

    def _each(self, action: Callable[[Socket, str], None], rooms: tuple[str, ...]) -> Pending:
        hub = get_hub()

        def act() -> None:
            for socket in hub.registry.select(self._target):
                for room in rooms:
                    action(socket, room)

        hub.run(act)
        return Pending(hub.cluster.settled)

    # Questions

    async def acall(self, event: str, *args: Any, timeout: float = DEFAULT_CALL_TIMEOUT) -> Answers:
        """
        Send an event to all of them and return their acknowledgements.

        What did not come within `timeout` seconds is in the answer's `missing`.
        """
        hub = get_hub()
        message = Message(self._target.namespace, event, args)
        return await _on_hub(hub, partial(_collect, hub, self._target, message, timeout))

    def call(self, event: str, *args: Any, timeout: float = DEFAULT_CALL_TIMEOUT) -> Answers:
        """The same as `acall`, from code that is not async."""
        return run_on_hub(lambda: self.acall(event, *args, timeout=timeout))

    async def acount(self) -> int:
        """Return how many connected sockets they are."""
        hub = get_hub()

        async def count() -> int:
            return hub.count(self._target)

        return await _on_hub(hub, count)

    def count(self) -> int:
        """The same as `acount`, from code that is not async."""
        hub = get_hub()
        return _ask(hub, partial(hub.count, self._target))


async def _on_hub(hub: Hub, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Await work on the hub's loop, from this loop or another."""
    if asyncio.get_running_loop() is hub.loop:
        return await work()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), hub.loop))


def run_on_hub(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """
    Run async work on the hub's loop and wait for it, from a thread.

    Raises WouldDeadlock on the loop's own thread.
    """
    hub = get_hub()
    if hub.on_loop():
        raise WouldDeadlock("This blocks the event loop. Use the twin whose name starts with a.")
    return asyncio.run_coroutine_threadsafe(work(), hub.loop).result()


async def _collect(hub: Hub, target: Target, message: Message, timeout: float) -> Answers:
    answers = Answers()

    async def ask(socket: Socket) -> None:
        try:
            answers[socket.sid] = as_answer(await socket.call(message, timeout))
        except (AckTimeout, ClientDisconnected):
            answers.missing.append(socket.sid)

    await asyncio.gather(*(ask(socket) for socket in hub.registry.select(target)))
    return answers


def as_answer(args: list[Any]) -> Any:
    """Return an acknowledgement's arguments as one value: None, the only one, or the list."""
    if not args:
        return None
    return args[0] if len(args) == 1 else args


def _texts(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a room's name is a text, not {type(name).__name__}")
    return names


def of(namespace: str | type[NamespaceConsumer] = "/", **kwargs: Any) -> Broadcaster:
    """
    Return all sockets of a namespace: its name, or its consumer's class and its route's kwargs.

    Raises UnknownNamespace where no route leads to it.
    """
    if isinstance(namespace, str):
        routing.resolve(namespace)
        return Broadcaster(Target(namespace))
    return Broadcaster(Target(routing.reverse(namespace, **kwargs)))


def to(*rooms: str) -> Broadcaster:
    """Return the sockets in any of these rooms of the namespace "/"."""
    return of().to(*rooms)


def emit(event: str, *args: Any) -> Pending:
    """Send an event to all clients of the namespace "/"."""
    return of().emit(event, *args)


def count_clients() -> int:
    """Return how many clients are connected, each counted once however many namespaces it is in."""
    hub = get_hub()
    return _ask(hub, hub.count_clients)


def send_to_client(sid: str, namespace: str | None, event: str, *args: Any) -> bool:
    """
    Send an event to the client with this sid, and tell whether it is there.

    `namespace` chooses another namespace of the same client. Raises TypeError or ValueError for
    what cannot be sent.
    """
    hub = get_hub()
    Message(namespace or "/", event, args).frames(Format.SOCKETIO)  # raises here, not there
    return _ask(hub, partial(hub.send_to_client, sid, namespace, event, args))


def _ask(hub: Hub, question: Callable[[], Answer]) -> Answer:
    """Return the answer to a question that needs the hub's loop, from any thread."""
    if hub.on_loop():
        return question()

    async def ask() -> Answer:
        return question()

    return asyncio.run_coroutine_threadsafe(ask(), hub.loop).result()
