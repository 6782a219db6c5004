"""
The events of one socket on their way through its handlers, in order and one at a time; where a
handler is concurrent, the next event does not wait for its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any
from weakref import getweakrefcount

from ..error_answers import acknowledge, find_shape
from ..exceptions import ClientDisconnected, EventError, RateLimited, ServerError
from ..execution.calls import call_hook, give_thread, raise_if_stopping, release_thread, uses_thread
from ..execution.pacing import Pace
from ..protocol.frames import Frames
from ..utils.limits import EventLimiter, find_limits
from .concurrent import Strand, Strands, current_strand
from .handlers import find_concurrent
from .inbox import Event, Inbox, InboxFull
from .interfaces import Socket
from .messages import as_arguments, encode_ack


class Dispatcher:
    """Leads a socket's events to its consumer, and acknowledges them."""

    __slots__ = ("_around", "_inbox", "_limiter", "_socket", "_strands", "_threads", "unclaimed")

    def __init__(self, socket: Socket) -> None:
        settings = socket.hub.settings
        self._socket = socket
        self._inbox = Inbox(max_events=settings.INBOX_EVENTS, max_bytes=settings.INBOX_BYTES)
        self._threads = give_thread(socket.context)
        limits = find_limits(settings.RATE_LIMITS, socket.namespace, socket.consumer.rate_limits)
        self._limiter = EventLimiter(limits) if limits else None
        concurrent = find_concurrent(type(socket.consumer))
        self._strands = Strands(concurrent, settings.CONCURRENT_EVENTS) if concurrent else None
        # In which strands nobody has claimed the event that the consumer's `handle` was given last:
        # None is where handlers run one at a time.
        self.unclaimed: frozenset[Strand | None] = frozenset()
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
            elif self._strands is None or not self._is_led_beside(event):
                self._inbox.busy = True
                socket.hub.runner.run(self._work(event), socket.context)
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
            socket.connection.throttle(socket)

    def _is_led_beside(self, event: Event) -> bool:
        """
        Run the handler of an event beside the others, or let the event wait for that; tell whether
        it is such a handler.
        """
        strands, socket = self._strands, self._socket
        if strands is None or not strands.are_for(event.name, socket.rooms):
            return False
        strand = strands.open(socket.context)
        if strand is None:
            self._inbox.put_aside(event.source)
        else:
            socket.hub.runner.run(self._work(event, strand), strand.context)
        return True

    def _refuse(self, event: Event, error: RateLimited) -> None:
        """Answer an event that is one too many, without waiting for those before it."""
        socket = self._socket
        socket.hub.counters.limited += 1
        if self._limiter is not None and self._limiter.should_log():
            socket.log(logging.WARNING, "rate-limited", event=event.name, message=error.message)
        if event.ack_id is not None and socket.connected:
            socket.connection.send(self._encode_error(event.name, event.ack_id, error))

    async def _work(self, event: Event | None, strand: Strand | None = None) -> None:
        """
        Handle an event and those that come to wait meanwhile: run the consumer's handler, and
        acknowledge what it returned or raised. In a strand these are the events that wait for one.
        """
        socket, inbox = self._socket, self._inbox
        consumer, connection = socket.consumer, socket.connection
        threads = self._threads
        if strand is not None:
            threads, strand.task = strand.threads, asyncio.current_task()
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
                    if self.unclaimed and self._is_unclaimed(event, result, strand):
                        pass  # not acknowledged, so that the client's timeout and retries work
                    elif event.ack_id is not None:
                        args = as_arguments(result)
                        frames = encode_ack(connection.format, socket.namespace, event.ack_id, args)
                        if socket.unflushed:
                            await self._flush_local()
                        if socket.connected:
                            connection.send(frames)
                except BaseException as error:
                    await self._fail(event, error, strand)
                if not inbox.count:
                    break
                pace = pace or Pace()
                event = await self._next(strand, pace)
        finally:
            (inbox if strand is None else strand).rest()

    async def _next(self, strand: Strand | None, pace: Pace) -> Event | None:
        """
        Return the next event that is for this strand, once it is its turn; None where none is.
        """
        while True:
            source = self._inbox.pop() if strand is None else self._inbox.pop_aside()
            if source is None:
                return None
            await self._keep_pace()
            await pace.keep()
            event = self._socket.connection.parse_again(source)
            if strand is not None or self._strands is None or not self._is_led_beside(event):
                return event

    def leave_unclaimed(self) -> None:
        """Note that nobody claims the event that `handle` was given here."""
        self.unclaimed |= {current_strand.get()}

    def claim(self) -> None:
        """Take back that nobody does: an override of `handle` has led here another event."""
        self.unclaimed -= {current_strand.get()}

    def _is_unclaimed(self, event: Event, result: Any, strand: Strand | None) -> bool:
        """Tell whether nobody answers an event that no handler claims, and log that."""
        is_unclaimed = strand in self.unclaimed
        self.unclaimed -= {strand}
        if not is_unclaimed or result is not None:  # an override of `handle` answers
            return False
        self._socket.log(logging.DEBUG, "unclaimed", event=event.name)
        return True

    async def _keep_pace(self) -> None:
        """Read on where there is room, and wait until the client has read what it was sent."""
        connection = self._socket.connection
        if self._inbox.below_low_water:
            connection.unthrottle(self._socket)
        if connection.is_behind():
            await connection.drain()

    async def _fail(self, event: Event, error: BaseException, strand: Strand | None) -> None:
        """
        Log what a handler raised, and answer with that.

        Raises it, or a cancellation, where the hub or the process ends, or the strand.
        """
        socket = self._socket
        self.unclaimed -= {strand}
        if strand is not None and strand.cancelled and isinstance(error, asyncio.CancelledError):
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

    async def _flush_local(self) -> None:
        """Let an answer wait until what the handler changed is in effect."""
        if self._strands is None:  # or handlers that run beside each other wait for the same
            self._socket.unflushed = False
        await self._socket.wait_asked()
        await self._socket.hub.flush_local()

    async def _answer_error(self, event: Event, error: EventError) -> None:
        if event.ack_id is None:
            return
        socket = self._socket
        frames = self._encode_error(event.name, event.ack_id, error)
        if socket.unflushed:
            await self._flush_local()
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
                return self._encode_ack(ack_id, as_arguments(find_shape()(told)))
            except BaseException as fault:  # of the site's own code and objects, too
                raise_if_stopping(fault, self._socket.hub)
                self._socket.log(logging.ERROR, "error", event=event, exc_info=True)
        return self._encode_ack(ack_id, [acknowledge(ServerError())])

    def drop(self) -> None:
        """Forget the events that wait: their client is not let in."""
        self._inbox.clear()

    @property
    def at_work(self) -> bool:
        """Whether a hook or handler runs, or an event waits for one."""
        return self._inbox.busy or bool(self._strands)

    async def wait_done(self) -> None:
        """Wait until no handler is at work, however long that takes: all have acknowledged."""
        while self.at_work:
            await self._inbox.wait_idle(None)
            if self._strands:
                await self._strands.wait(None)
            await asyncio.sleep(0)

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
        if self._strands is None or await self._strands.wait(max(0.0, deadline - monotonic())):
            return
        self._inbox.clear()
        self._strands.cancel()
        if not await self._strands.wait(grace):
            self._log_outlived()

    def _log_outlived(self) -> None:
        self._socket.log(logging.WARNING, "handler-outlives-client", waiting=len(self._inbox))
