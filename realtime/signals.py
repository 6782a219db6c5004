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
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import Context
from functools import partial
from typing import Any, NamedTuple, Protocol

from asgiref.sync import sync_to_async
from django.dispatch import Signal

from .execution.calls import call_for_future, give_thread, raise_if_stopping, release_thread
from .execution.executors import DaemonContext
from .execution.tasks import Tasks
from .identity.user_rooms import without_user_rooms
from .logs import log
from .sockets import interfaces
from .sockets.interfaces import Observed
from .sockets.socket import Socket

Receiver = Callable[..., Any]

# Each with `sender`, the consumer's class, and sid, namespace and user.
socket_connected = Signal()
socket_disconnected = Signal()  # and reason
room_joined = Signal()  # and room
room_left = Signal()  # and room

# Once each in a process that serves clients, with `sender`, the app's configuration, and `server`,
# the id of its row in `realtime.models.Server`. See `realtime.hub.lifespan`.
serving_started = Signal()
serving_stopping = Signal()

# Signals that may wait for slow receivers, after which more are lost and logged.
BACKLOG = 10_000

# How long the receivers of one signal may take. Nobody waits for those that take longer: the next
# signals are sent beside them, in another thread.
RECEIVER_TIMEOUT = 10.0

# Signals whose receivers may hang at a time; with more of them the others wait after all.
MAX_STUCK = 8

# How long the end of the server waits for receivers.
CLOSE_TIMEOUT = 2.0


_NAMES = {
    socket_connected: "socket_connected",
    socket_disconnected: "socket_disconnected",
    room_joined: "room_joined",
    room_left: "room_left",
}


class PendingSignal(NamedTuple):
    """A signal to send."""

    signal: Signal
    socket: Observed
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """The signal's name, for the log."""
        return _NAMES[self.signal]


class Hub(interfaces.Hub, Protocol):
    """The hub whose signals are sent."""

    services: Tasks


class SignalSender:
    """An observer that sends the signals of a hub, if anybody receives them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: deque[PendingSignal] = deque()
        self._lost = 0
        self._task: asyncio.Task[None] | None = None
        self._stuck: set[asyncio.Task[None]] = set()

    def opened(self, socket: Socket) -> None:
        """Send `socket_connected`, and `room_joined` for each room that `connect()` joined."""
        self._put(socket_connected, socket)
        if room_joined.receivers:
            for room in without_user_rooms(self._hub.registry.rooms_of(socket)):
                self._put(room_joined, socket, room=room)

    def closed(self, socket: Observed, reason: str) -> None:
        """Send `socket_disconnected`. It has left its rooms too, which has no signals."""
        self._put(socket_disconnected, socket, reason=reason)

    def joined(self, socket: Observed, room: str) -> None:
        """Send `room_joined`."""
        self._put(room_joined, socket, room=room)

    def left(self, socket: Observed, room: str) -> None:
        """Send `room_left`."""
        self._put(room_left, socket, room=room)

    def away(self, socket: Observed) -> None:
        """Do nothing: who comes back in time never left."""

    def back(self, socket: Socket) -> None:
        """Do nothing: it never left."""

    def arrived(self, socket: Socket) -> None:
        """Do nothing: it never left."""

    def moved(self, socket: Observed) -> None:
        """Do nothing: the client is there, on another server."""

    def adopted(self, socket: Observed) -> None:
        """Do nothing: the client has neither come nor gone."""

    def transport_changed(self, socket: Socket) -> None:
        """Do nothing: there is no signal for that."""

    def shared(self, socket: Socket) -> None:
        """Do nothing: there is no signal for that."""

    async def wait_written(self) -> None:
        """Return at once: nobody waits for receivers."""

    def _put(self, signal: Signal, socket: Observed, **arguments: Any) -> None:
        if not signal.receivers:
            return
        if len(self._waiting) >= BACKLOG:
            self._lost += 1
            return
        self._waiting.append(PendingSignal(signal, socket, arguments))
        if self._task is None or self._task.done():
            self._start()

    def _start(self) -> None:
        context = Context()
        send_all = partial(self._send_all, give_thread(context))
        self._task = self._hub.services.supervise(send_all, "signals", context)

    async def _send_all(self, threads: DaemonContext) -> None:
        task = asyncio.current_task()
        while self._waiting and task is self._task:
            await self._hub.observers.wait_written()
            await self._send_in_time(self._waiting.popleft())
            if self._lost and log(logging.ERROR, "signals-lost", lost=self._lost):
                self._lost = 0
            if not self._waiting or task is not self._task:
                await release_thread(threads)  # meanwhile there may be more to send

    def _give_up(self, event: PendingSignal) -> None:
        """Wait no longer for the receivers of a signal, unless too many hang already."""
        stuck = self._task
        event.socket.log(
            logging.ERROR,
            "signal-stuck",
            signal=event.name,
            seconds=RECEIVER_TIMEOUT,
            stuck=len(self._stuck) + 1,
        )
        if stuck is not None and len(self._stuck) < MAX_STUCK:
            self._stuck.add(stuck)
            stuck.add_done_callback(self._stuck.discard)
            self._start()

    async def _send_in_time(self, event: PendingSignal) -> None:
        """Send one signal; the next ones do not wait for receivers that hang."""
        timer = self._hub.loop.call_later(RECEIVER_TIMEOUT, self._give_up, event)
        try:
            await self._send(event)
        finally:
            timer.cancel()

    async def _send(self, event: PendingSignal) -> None:
        """Send one signal. What its receivers raise is the socket's to log."""
        with self._contained(event):  # a user may be one that cannot be asked for
            arguments = {
                "sid": event.socket.sid,
                "namespace": event.socket.namespace,
                "user": event.socket.user,
                **event.arguments,
            }
            contained = partial(self._contained, event)
            await call_receivers(event.signal, event.socket.consumer_class, arguments, contained)

    @contextlib.contextmanager
    def _contained(self, event: PendingSignal, receiver: Receiver | None = None) -> Iterator[None]:
        """Log what fails in the block as the socket's, unless it is the end of the process."""
        try:
            yield
        except BaseException as error:
            raise_if_stopping(error, self._hub)
            event.socket.log(logging.ERROR, "error", event=event.name, exc_info=True)

    async def close(self) -> None:
        """Send what waits, if receivers are quick."""
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)
            if late:
                self._task.cancel()
                log(logging.WARNING, "signals-lost", lost=len(self._waiting))


_in_thread = sync_to_async(call_for_future)


async def call_receivers(
    signal: Signal,
    sender: Any,
    arguments: dict[str, Any],
    contained: Callable[[Receiver], AbstractContextManager[None]],
) -> None:
    """
    Call the receivers of a signal as `Signal.asend_robust` does: plain ones in the thread, one
    after the other, coroutine functions side by side; each in a block of `contained(receiver)`.

    Django's own lets SystemExit through, which in a task of its own ends the event loop, tells of a
    cancellation in some versions only, and logs each failure, however many a client causes.
    """

    arguments = {"signal": signal, "sender": sender, **arguments}

    async def call(receiver: Receiver) -> None:
        with contained(receiver):
            await receiver(**arguments)

    async def call_in_thread(receivers: list[Receiver]) -> None:
        for receiver in receivers:
            with contained(receiver):
                await _in_thread(receiver, **arguments)

    plain, others = signal._live_receivers(sender)
    await asyncio.gather(call_in_thread(plain), *map(call, others))


def observe(hub: Hub) -> SignalSender:
    """Return the hub's sender of signals."""
    return SignalSender(hub)
