"""One socket: a connection in one namespace, its acknowledgements and its events in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from enum import Enum
from typing import TYPE_CHECKING, Any

from .exceptions import AckTimeout, ClientDisconnected, ConnectionRefused, EventError
from .logs import log
from .messages import Message, encode_ack
from .running import Job, call_hook

if TYPE_CHECKING:
    from .hub import Hub
    from .routing import Route
    from .transports.connection import Connection
    from .transports.frames import Frames

# How long a socket's last hook waits for the handler that is at work when the client goes away.
DISCONNECT_GRACE = 2.0

# Acknowledgements that may be awaited of one client; the oldest is given up beyond that.
MAX_PENDING_ACKS = 4096

# After so many waiting events handled in one go, others get their turn.
EVENTS_PER_TURN = 32


class State(Enum):
    """Where a socket is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class Socket:
    """
    The machinery behind one consumer instance.

    Events are handled in order, one at a time. Acknowledgements and disconnects are taken at once,
    whatever a handler is doing.
    """

    def __init__(
        self, hub: Hub, connection: Connection, namespace: str, route: Route, query: str
    ) -> None:
        self.hub = hub
        self.connection = connection
        self.namespace = namespace
        self.sid = hub.new_sid()
        self.rooms: set[str] = set()
        self.state = State.CONNECTING
        self.context = copy_context()
        self._busy = False
        self._idle = asyncio.Event()
        self._inbox: deque[tuple[str, list[Any], int | None, int]] = deque()
        self._inbox_bytes = 0
        self._held: list[Frames] = []
        self._held_bytes = 0
        self._acks: dict[int, Callable[[list[Any] | None], None]] = {}
        self._last_ack_id = -1
        self._accepted = False
        self.consumer = route.consumer_class(**route.initkwargs)
        self.consumer.attach(self, route.kwargs, query)

    @property
    def connected(self) -> bool:
        """Whether the client was told that it is connected, and still is."""
        return self.state is State.CONNECTED

    # Life

    def open(self, auth: dict[str, Any]) -> Job:
        """Return the job that runs `connect()` and answers the client."""
        self._busy = True
        self.hub.add(self)
        return Job(self._open(auth), self.context)

    async def _open(self, auth: dict[str, Any]) -> None:
        try:
            await self._connect(auth)
            await self._work_off()
        finally:
            self._rest()

    async def _connect(self, auth: dict[str, Any]) -> None:
        try:
            await self._call(self.consumer.connect, auth)
        except ConnectionRefused as refusal:
            self._refuse(refusal.message, refusal.data)
        except (Exception, asyncio.CancelledError):
            _raise_if_cancelled()
            self._log(logging.ERROR, "error", event="connect", exc_info=True)
            self._refuse("server error", None)
        else:
            self._accepted = True
            await self.hub.cluster.settled()
            self._accept()

    def _accept(self) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CONNECTED
        self.connection.confirm(self)
        self._log(logging.INFO, "connect")
        for frames in self._held:
            self.connection.send(frames)
        self._held.clear()

    def _refuse(self, message: str, data: Any) -> None:
        self._log(logging.INFO, "refused", message=message)
        if self.state is not State.CLOSED:
            self._close()
            self.connection.refuse(self.namespace, message, data)

    def disconnect(self, reason: str) -> None:
        """
        Take the socket out of everything at once; its `disconnect(reason)` hook follows.

        The client is not told here: see `close`.
        """
        if self.state is not State.CLOSED:
            self._close()
            self.hub.spawn(self._finish(reason), self.context)

    def close(self) -> None:
        """Tell the client that the server disconnects it from this namespace."""
        if self.state is State.CLOSED:
            return
        was_connected = self.connected
        self.disconnect("server namespace disconnect")
        if was_connected:
            self.connection.dismiss(self.namespace)
        else:
            self.connection.refuse(self.namespace, "Connection refused", None)

    def _close(self) -> None:
        self.state = State.CLOSED
        self.hub.remove(self)
        self.connection.sockets.pop(self.namespace, None)
        self._held.clear()
        acks, self._acks = self._acks, {}
        for resolve in acks.values():
            resolve(None)

    async def _finish(self, reason: str) -> None:
        """Run the last hook, after the events that had arrived or the grace, whichever is first."""
        if self._busy:
            try:
                async with asyncio.timeout(DISCONNECT_GRACE):
                    await self._idle.wait()
            except TimeoutError:
                self._log(logging.WARNING, "handler-outlives-client", waiting=len(self._inbox))
                self._inbox.clear()
                self._accepted = True
        if not self._accepted:
            return
        self._log(logging.INFO, "disconnect", reason=reason)
        try:
            await self._call(self.consumer.disconnect, reason)
        except (Exception, asyncio.CancelledError):
            _raise_if_cancelled()
            self._log(logging.ERROR, "error", event="disconnect", exc_info=True)

    # Events from the client

    def on_event(self, event: str, args: list[Any], ack_id: int | None, size: int) -> Job | None:
        """
        Take an event of `size` bytes; return the job that handles it unless it has to wait.

        A client that sends more than may wait is disconnected.
        """
        if not self._busy:
            self._busy = True
            return Job(self._work(event, args, ack_id), self.context)
        self._inbox.append((event, args, ack_id, size))
        self._inbox_bytes += size
        settings = self.hub.settings
        if len(self._inbox) > settings.INBOX_EVENTS or self._inbox_bytes > settings.INBOX_BYTES:
            self._log(logging.WARNING, "inbox-full", waiting=len(self._inbox))
            self._inbox.clear()
            self.connection.close("forced server close")
        return None

    async def _work(self, event: str, args: list[Any], ack_id: int | None) -> None:
        try:
            await self._handle(event, args, ack_id)
            if self._inbox:
                await self._work_off()
        finally:
            self._rest()

    async def _work_off(self) -> None:
        """Handle the events that waited, in order."""
        handled = 0
        while self._inbox:
            event, args, ack_id, size = self._inbox.popleft()
            self._inbox_bytes -= size
            await self._handle(event, args, ack_id)
            handled += 1
            if handled % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _rest(self) -> None:
        self._busy = False
        if self.state is State.CLOSED:
            self._idle.set()

    async def _handle(self, event: str, args: list[Any], ack_id: int | None) -> None:
        """Run the consumer's handler, and acknowledge what it returned or raised."""
        try:
            result = await self.consumer.handle(event, args)
            await self._acknowledge(ack_id, _as_arguments(result))
        except EventError as error:
            self._log(logging.WARNING, "event-error", event=event, message=error.message)
            await self._answer_error(event, ack_id, error.code, error.message, error.data)
        except (Exception, asyncio.CancelledError):
            _raise_if_cancelled()
            self._log(logging.ERROR, "error", event=event, exc_info=True)
            await self._answer_error(event, ack_id, "server_error", "server error", None)

    async def _acknowledge(self, ack_id: int | None, args: list[Any]) -> None:
        if ack_id is None:
            return
        frames = encode_ack(self.connection.format, self.namespace, ack_id, args)
        await self.hub.cluster.settled()
        if self.connected:
            self.connection.send(frames)

    async def _answer_error(
        self, event: str, ack_id: int | None, code: str, message: str, data: Any
    ) -> None:
        error = {"code": code, "message": message, "data": data}
        try:
            await self._acknowledge(ack_id, [{"error": error}])
        except (TypeError, ValueError):
            self._log(logging.ERROR, "error", event=event, exc_info=True)
            await self._acknowledge(ack_id, [{"error": error | {"data": None}}])

    async def _call(self, hook: Callable[..., Any], *args: Any) -> Any:
        return await call_hook(hook, *args, slots=self.hub.sync_handlers)

    # Messages to the client

    def deliver(self, frames: Frames, volatile: bool = False) -> None:
        """Send frames to the client, or hold them until it is told that it is connected."""
        if self.state is State.CONNECTED:
            self.connection.send(frames, volatile)
        elif self.state is State.CONNECTING:
            self._held.append(frames)
            self._held_bytes += frames.size
            if self._held_bytes > self.hub.settings.OUTBOX_BYTES:
                self.connection.overflow()

    def send(self, message: Message, resolve: Callable[[list[Any] | None], None]) -> None:
        """
        Send a message that asks for an acknowledgement.

        `resolve` is called once with the client's arguments, or with None where it went away.
        """
        if self.state is State.CLOSED:
            resolve(None)
            return
        self._last_ack_id += 1
        ack_id = self._last_ack_id
        frames = message.encode(self.connection.format, ack_id)
        self._acks[ack_id] = resolve
        if len(self._acks) > MAX_PENDING_ACKS:
            oldest = next(iter(self._acks))
            self._log(logging.WARNING, "ack-given-up", id=oldest)
            self._acks.pop(oldest)(None)
        self.deliver(frames)

    async def call(self, message: Message, timeout: float | None) -> list[Any]:
        """
        Send a message and return the arguments of the client's acknowledgement.

        Raises AckTimeout after `timeout` seconds, ClientDisconnected when the client goes away.
        """
        answer: asyncio.Future[list[Any] | None] = self.hub.loop.create_future()

        def resolve(args: list[Any] | None) -> None:
            if not answer.done():
                answer.set_result(args)

        self.send(message, resolve)
        ack_id = self._last_ack_id
        try:
            async with asyncio.timeout(timeout):
                args = await answer
        except TimeoutError:
            raise AckTimeout(
                f"no acknowledgement of {message.event!r} within {timeout} seconds"
            ) from None
        finally:
            self._acks.pop(ack_id, None)
        if args is None:
            raise ClientDisconnected(f"the client left before it acknowledged {message.event!r}")
        return args

    def on_ack(self, ack_id: int, args: list[Any]) -> None:
        """Take a client's acknowledgement; one that nobody asked for is ignored."""
        if resolve := self._acks.pop(ack_id, None):
            resolve(args)

    # Rooms

    def join(self, room: str) -> None:
        """Join a room, in this process at once."""
        self.rooms.add(room)
        self.hub.join(self, room)

    def leave(self, room: str) -> None:
        """Leave a room, in this process at once."""
        self.rooms.discard(room)
        self.hub.leave(self, room)

    def _log(self, level: int, what: str, **fields: Any) -> None:
        user = self.connection.scope.get("user")
        log(
            level,
            what,
            namespace=self.namespace,
            sid=self.sid,
            user=getattr(user, "pk", None) or "-",
            transport=self.connection.transport,
            **fields,
        )


def _raise_if_cancelled() -> None:
    """Go on with a cancellation of the task itself, which no hook may swallow."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _as_arguments(result: Any) -> list[Any]:
    """Return a handler's result as arguments of an acknowledgement: none, one or several."""
    if result is None:
        return []
    return list(result) if isinstance(result, tuple) else [result]
