"""
Signals: what happens to sockets and to the processes that serve them, for receivers anywhere in the
site.

Receivers are plain functions or coroutine functions. Those of sockets are called in the process
that has the socket, one signal after another in the order in which things happened, and after
presence has written it: a receiver of `socket_connected` finds the socket in the database, one of
`socket_disconnected` does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple

from django.dispatch import Signal

from .logs import log
from .running import give_thread, raise_if_cancelled, raise_if_signalled, release_thread

if TYPE_CHECKING:
    from .executors import DaemonContext
    from .hub import Hub
    from .sockets import Socket

# Each with `sender`, the consumer's class, and sid, namespace and user.
socket_connected = Signal()
socket_disconnected = Signal()  # and reason
room_joined = Signal()  # and room
room_left = Signal()  # and room

# Once each in a process that serves clients, with `sender`, the app's configuration, and `server`,
# the id of its row in `realtime.models.Server`. See `realtime.serving`.
serving_started = Signal()
serving_stopping = Signal()

# Signals that may wait for slow receivers, after which more are lost and logged.
BACKLOG = 10_000

# How long the end of the server waits for receivers.
CLOSE_TIMEOUT = 2.0


class Event(NamedTuple):
    """A signal to send."""

    signal: Signal
    socket: Socket
    arguments: dict[str, Any]


class Dispatcher:
    """An observer that sends the signals of a hub, if anybody receives them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: deque[Event] = deque()
        self._lost = 0
        self._task: asyncio.Task[None] | None = None

    def opened(self, socket: Socket) -> None:
        """Send `socket_connected`, and `room_joined` for each room that `connect()` joined."""
        self._put(socket_connected, socket)
        if room_joined.receivers:
            for room in self._hub.registry.rooms_of(socket):
                self._put(room_joined, socket, room=room)

    def closed(self, socket: Socket, reason: str) -> None:
        """Send `socket_disconnected`. It has left its rooms too, which has no signals."""
        self._put(socket_disconnected, socket, reason=reason)

    def joined(self, socket: Socket, room: str) -> None:
        """Send `room_joined`."""
        self._put(room_joined, socket, room=room)

    def left(self, socket: Socket, room: str) -> None:
        """Send `room_left`."""
        self._put(room_left, socket, room=room)

    def moved(self, socket: Socket) -> None:
        """Nobody is told."""

    def shared(self, socket: Socket) -> None:
        """Nobody is told."""

    async def settled(self) -> None:
        """Nobody waits for receivers."""

    def _put(self, signal: Signal, socket: Socket, **arguments: Any) -> None:
        if not signal.receivers:
            return
        if len(self._waiting) >= BACKLOG:
            self._lost += 1
            return
        self._waiting.append(Event(signal, socket, arguments))
        if self._task is None or self._task.done():
            context = Context()
            threads = give_thread(context)
            self._task = self._hub.services.spawn(self._send_all(threads), context)

    async def _send_all(self, threads: DaemonContext) -> None:
        while self._waiting:
            await self._hub.observers.settled()
            await self._send_robust(self._waiting.popleft())
            if self._lost:
                log(logging.ERROR, "signals-lost", lost=self._lost)
                self._lost = 0
            if not self._waiting:
                await release_thread(threads)  # meanwhile there may be more to send

    async def _send_robust(self, event: Event) -> None:
        """Send one signal, and log what fails about it, such as a user that cannot be asked for."""
        try:
            await self._send(event)
        except BaseException as error:
            raise_if_cancelled()
            raise_if_signalled(error)
            event.socket.log(logging.ERROR, "error", event="signals", exc_info=True)

    async def _send(self, event: Event) -> None:
        """Send one signal. Django logs the failures of receivers."""
        socket = event.socket
        arguments = {
            "sender": type(socket.consumer),
            "sid": socket.sid,
            "namespace": socket.namespace,
            "user": socket.consumer.user,
            **event.arguments,
        }
        await event.signal.asend_robust(**arguments)

    async def close(self) -> None:
        """Send what waits, if receivers are quick."""
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)
            if late:
                self._task.cancel()
                log(logging.WARNING, "signals-lost", lost=len(self._waiting))


def observe(hub: Hub) -> Dispatcher:
    """Return the hub's dispatcher."""
    return Dispatcher(hub)
