"""
The events of one socket on their way through its handlers, in order and one at a time; where a
handler is concurrent, the next event does not wait for its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from .beside import Lane, Lanes, current_lane
from .error_answers import acknowledge, find_shape
from .exceptions import ClientDisconnected, EventError, RateLimited, ServerError
from .handlers import find_concurrent
from .inbox import Event, Inbox, InboxFull
from .limits import EventLimiter, find_limits
from .messages import encode_ack
from .running import call_hook, give_thread, raise_if_stopping, release_thread, uses_thread
from .transports.turns import SECONDS_PER_TURN, give_way

if TYPE_CHECKING:
    from .sockets import Socket
    from .transports.frames import Frames

# After so many waiting events handled in one go, others get their turn.
EVENTS_PER_TURN = 32


class Pace:
    """Lets others have their turn while many events are handled in one go."""

    __slots__ = ("_handled", "_started")

    def __init__(self) -> None:
        self._handled = 0
        self._started = monotonic()

    async def keep(self) -> None:
        """Count an event that was handled, and give way where it is time."""
        self._handled += 1
        if monotonic() - self._started > SECONDS_PER_TURN:
            await give_way()
            self._started = monotonic()
        elif self._handled % EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)


class Dispatcher:
    """Leads a socket's events to its consumer, and acknowledges them."""

    __slots__ = ("_around", "_inbox", "_lanes", "_limiter", "_socket", "_threads", "unclaimed")

    def __init__(self, socket: Socket) -> None:
        settings = socket.hub.settings
        self._socket = socket
        self._inbox = Inbox(max_events=settings.INBOX_EVENTS, max_bytes=settings.INBOX_BYTES)
        self._threads = give_thread(socket.context)
        limits = find_limits(settings.RATE_LIMITS, socket.namespace, socket.consumer.rate_limits)
        self._limiter = EventLimiter(limits) if limits else None
        concurrent = find_concurrent(type(socket.consumer))  # type: ignore[arg-type]
        self._lanes = Lanes(concurrent, settings.CONCURRENT_EVENTS) if concurrent else None
        # In which lanes nobody has claimed the event that the consumer's `handle` was given last:
        # None is where handlers run one at a time.
        self.unclaimed: frozenset[Lane | None] = frozenset()
        # Whether the consumer has a `handle` of its own; one without costs no coroutine for it.
        self._around = socket.consumer._has_own_handle()

    def run_first(self, connect: Awaitable[None]) -> Coroutine[Any, Any, None]:
        """
        Return what awaits a socket's `connect`, as if that were its first event, and then handles
        those that come to wait from now on.
        """
        self._inbox.busy = True
        return self._run_first(connect)

    async def _run_first(self, connect: Awaitable[None]) -> None:
        try:
            await connect
            event = await self._next(None, Pace()) if self._inbox.count else None
        except BaseException:
            self._inbox.rest()
            raise
        await self._work(event)

    def dispatch(self, event: Event) -> None:
        """
        Handle an event, unless it has to wait.

        A client that sends faster than its handlers work is read from no more for a while; one
        that goes beyond all bounds all the same is disconnected.
        """
        socket = self._socket
        socket.hub.counters.events_in += 1
        try:
            if self._limiter is not None:
                self._limiter.check(event.name)
            if self._inbox.busy:
                self._inbox.put(event.source)
            elif self._lanes is None or not self._is_led_beside(event):
                self._inbox.busy = True
                socket.hub.workers.run(self._work(event), socket.context)
                return
        except RateLimited as error:
            self._refuse(event, error)
            return
        except InboxFull:
            socket.log(logging.WARNING, "inbox-full", waiting=len(self._inbox))
            self._inbox.clear()
            socket.connection.close("forced server close")
            return
        if self._inbox.above_high_water and not socket.acks.pending:
            socket.connection.hold(socket)

    def _is_led_beside(self, event: Event) -> bool:
        """
        Run the handler of an event beside the others, or let the event wait for that; tell whether
        it is such a handler.
        """
        lanes, socket = self._lanes, self._socket
        if lanes is None or not lanes.are_for(event.name, socket.rooms):
            return False
        lane = lanes.open(socket.context)
        if lane is None:
            self._inbox.put_aside(event.source)
        else:
            socket.hub.workers.run(self._work(event, lane), lane.context)
        return True

    def _refuse(self, event: Event, error: RateLimited) -> None:
        """Answer an event that is one too many, without waiting for those before it."""
        socket = self._socket
        socket.hub.counters.limited += 1
        if self._limiter is not None and self._limiter.should_log():
            socket.log(logging.WARNING, "rate-limited", event=event.name, message=error.message)
        if event.ack_id is not None and socket.connected:
            socket.connection.send(self._encode_error(event.name, event.ack_id, error))

    async def _work(self, event: Event | None, lane: Lane | None = None) -> None:
        """
        Handle an event and those that come to wait meanwhile: run the consumer's handler, and
        acknowledge what it returned or raised. In a lane these are the events that wait for one.
        """
        socket, inbox = self._socket, self._inbox
        consumer, connection = socket.consumer, socket.connection
        threads = self._threads
        if lane is not None:
            threads, lane.task = lane.threads, asyncio.current_task()
        pace: Pace | None = None
        try:
            while event is not None:
                consumer._session = None  # which is read anew for each event that wants it
                try:
                    try:
                        result = await (
                            consumer.handle(event.name, event.args)
                            if self._around
                            else consumer._lead(event.name, event.args)
                        )
                    finally:
                        if getweakrefcount(threads) and uses_thread(threads):
                            await release_thread(threads)
                    if self.unclaimed and self._is_unclaimed(event, result, lane):
                        pass  # not acknowledged, so that the client's timeout and retries work
                    elif event.ack_id is not None:
                        args = _as_arguments(result)
                        frames = encode_ack(connection.format, socket.namespace, event.ack_id, args)
                        if socket.unsettled:
                            await self._settle()
                        if socket.connected:
                            connection.send(frames)
                except BaseException as error:
                    await self._fail(event, error, lane)
                if not inbox.count:
                    break
                pace = pace or Pace()
                event = await self._next(lane, pace)
        finally:
            (inbox if lane is None else lane).rest()

    async def _next(self, lane: Lane | None, pace: Pace) -> Event | None:
        """Return the next event that is for this lane, once it is its turn; None where none is."""
        while True:
            source = self._inbox.pop() if lane is None else self._inbox.pop_aside()
            if source is None:
                return None
            await self._keep_pace()
            await pace.keep()
            event = self._socket.connection.parse_again(source)
            if lane is not None or self._lanes is None or not self._is_led_beside(event):
                return event

    def leave_unclaimed(self) -> None:
        """Note that nobody claims the event that `handle` was given here."""
        self.unclaimed |= {current_lane.get()}

    def claim(self) -> None:
        """Take back that nobody does: an override of `handle` has led here another event."""
        self.unclaimed -= {current_lane.get()}

    def _is_unclaimed(self, event: Event, result: Any, lane: Lane | None) -> bool:
        """Tell whether nobody answers an event that no handler claims, and log that."""
        is_unclaimed = lane in self.unclaimed
        self.unclaimed -= {lane}
        if not is_unclaimed or result is not None:  # an override of `handle` answers
            return False
        self._socket.log(logging.DEBUG, "unclaimed", event=event.name)
        return True

    async def _keep_pace(self) -> None:
        """Read on where there is room, and wait until the client has read what it was sent."""
        connection = self._socket.connection
        if self._inbox.below_low_water:
            connection.release(self._socket)
        if connection.is_behind():
            await connection.drain()

    async def _fail(self, event: Event, error: BaseException, lane: Lane | None) -> None:
        """
        Log what a handler raised, and answer with that.

        Raises it, or a cancellation, where the hub or the process ends, or the lane.
        """
        socket = self._socket
        self.unclaimed -= {lane}
        if lane is not None and lane.cancelled and isinstance(error, asyncio.CancelledError):
            raise error
        if isinstance(error, EventError):
            socket.log(logging.WARNING, "event-error", event=event.name, message=error.message)
            await self._answer_error(event, error)
            return
        raise_if_stopping(error, socket.hub)
        if isinstance(error, ClientDisconnected) and socket.gone:
            socket.log(logging.INFO, "unanswered", event=event.name)  # no fault of the handler
            return
        socket.log(logging.ERROR, "error", event=event.name, exc_info=True)
        await self._answer_error(event, ServerError())

    async def call(self, hook: Callable[..., Any], *args: Any) -> Any:
        """Call a hook of the consumer and return what it returns."""
        self._socket.consumer._session = None
        try:
            return await call_hook(hook, *args, slots=self._socket.hub.sync_handlers)
        finally:
            if uses_thread(self._threads):
                await release_thread(self._threads)

    def _encode_ack(self, ack_id: int, args: list[Any]) -> Frames:
        socket = self._socket
        return encode_ack(socket.connection.format, socket.namespace, ack_id, args)

    async def _settle(self) -> None:
        """Let an answer wait until what the handler changed is in effect."""
        if self._lanes is None:  # or handlers that run beside each other wait for the same
            self._socket.unsettled = False
        await self._socket.hub.settled()

    async def _answer_error(self, event: Event, error: EventError) -> None:
        if event.ack_id is None:
            return
        socket = self._socket
        frames = self._encode_error(event.name, event.ack_id, error)
        if socket.unsettled:
            await self._settle()
        if socket.connected:
            socket.connection.send(frames)

    def _encode_error(self, event: str, ack_id: int, error: EventError) -> Frames:
        """
        Return an acknowledgement with an error, in the site's shape.

        What cannot be sent of it is left out: its data, then all but that there was one. Where the
        site's shape fails, too, the answer has ours.
        """
        without_data = EventError(error.message, code=error.code)
        for told in (error, without_data, ServerError()):
            try:
                return self._encode_ack(ack_id, _as_arguments(find_shape()(told)))
            except BaseException as fault:  # of the site's own code and objects, too
                raise_if_stopping(fault, self._socket.hub)
                self._socket.log(logging.ERROR, "error", event=event, exc_info=True)
        return self._encode_ack(ack_id, [acknowledge(ServerError())])

    def drop(self) -> None:
        """Forget the events that wait: their client is not let in."""
        self._inbox.clear()

    async def wait_idle(self, grace: float) -> None:
        """
        Wait until nothing is handled or waits, for `grace` seconds.

        After that what waits is dropped, and handlers that run beside the others are cancelled and
        waited for as long again.
        """
        deadline = monotonic() + grace
        if not await self._inbox.wait_idle(grace):
            self._log_outlived()
            self._inbox.clear()
        if self._lanes is None or await self._lanes.wait(max(0.0, deadline - monotonic())):
            return
        self._inbox.clear()
        self._lanes.cancel()
        if not await self._lanes.wait(grace):
            self._log_outlived()

    def _log_outlived(self) -> None:
        self._socket.log(logging.WARNING, "handler-outlives-client", waiting=len(self._inbox))


def _as_arguments(result: Any) -> list[Any]:
    """Return a handler's result as arguments of an acknowledgement: none, one or several."""
    if result is None:
        return []
    return list(result) if isinstance(result, tuple) else [result]
