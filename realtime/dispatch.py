"""The events of one socket on their way through its handlers, in order and one at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

from .exceptions import ClientDisconnected, EventError, RateLimited
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

SERVER_ERROR = {"code": "server_error", "message": "server error", "data": None}


class Dispatcher:
    """Leads a socket's events to its consumer, and acknowledges them."""

    __slots__ = ("_inbox", "_limiter", "_socket", "_threads", "unclaimed")

    def __init__(self, socket: Socket) -> None:
        settings = socket.hub.settings
        self._socket = socket
        self._inbox = Inbox(max_events=settings.INBOX_EVENTS, max_bytes=settings.INBOX_BYTES)
        self._threads = give_thread(socket.context)
        limits = find_limits(settings.RATE_LIMITS, socket.namespace, socket.consumer.rate_limits)
        self._limiter = EventLimiter(limits) if limits else None
        # Whether nobody has claimed the event that the consumer's `handle` was given last.
        self.unclaimed = False

    def occupy(self, work: Awaitable[None]) -> Coroutine[Any, Any, None]:
        """Return what awaits `work` and then handles the events that come to wait from now on."""
        self._inbox.busy = True
        return self._occupy(work)

    async def _occupy(self, work: Awaitable[None]) -> None:
        try:
            await work
        except BaseException:
            self._inbox.rest()
            raise
        source = self._inbox.pop()
        await self._work(None if source is None else self._socket.connection.parse_again(source))

    def take(self, event: Event) -> None:
        """
        Take an event, and handle it unless it has to wait.

        A client that sends faster than its handlers work is read from no more for a while; one
        that goes beyond all bounds all the same is disconnected.
        """
        socket = self._socket
        socket.hub.counters.events_in += 1
        try:
            if self._limiter is not None:
                self._limiter.check(event.name)
            if not self._inbox.busy:
                self._inbox.busy = True
                socket.hub.workers.run(self._work(event), socket.context)
                return
            self._inbox.put(event.source)
        except RateLimited as error:
            self._refuse(event, error)
            return
        except InboxFull:
            socket.log(logging.WARNING, "inbox-full", waiting=len(self._inbox))
            self._inbox.clear()
            socket.connection.close("forced server close")
            return
        if self._inbox.crowded and not socket.acks.pending:
            socket.connection.hold(socket)

    def _refuse(self, event: Event, error: RateLimited) -> None:
        """Answer an event that is one too many, without waiting for those before it."""
        socket = self._socket
        socket.hub.counters.limited += 1
        assert self._limiter is not None
        if self._limiter.should_log():
            socket.log(logging.WARNING, "rate-limited", event=event.name, message=error.message)
        if event.ack_id is not None and socket.connected:
            answer = {"error": {"code": error.code, "message": error.message, "data": None}}
            socket.connection.send(self._encode_ack(event.ack_id, [answer]))

    async def _work(self, event: Event | None) -> None:
        """
        Handle an event and those that come to wait meanwhile: run the consumer's handler, and
        acknowledge what it returned or raised.
        """
        socket = self._socket
        consumer = socket.consumer
        handled, started = 0, 0.0
        try:
            while event is not None:
                consumer._session = None  # which is read anew for each event that wants it
                try:
                    try:
                        result = await consumer.handle(event.name, event.args)
                    finally:
                        if uses_thread(self._threads):
                            await release_thread(self._threads)
                    if self.unclaimed and self._is_unclaimed(event, result):
                        pass  # not acknowledged, so that the client's timeout and retries work
                    elif event.ack_id is not None:
                        frames = self._encode_ack(event.ack_id, _as_arguments(result))
                        if socket.unsettled:
                            await self._settle()
                        if socket.connected:
                            socket.connection.send(frames)
                except BaseException as error:
                    await self._fail(event, error)
                handled += 1
                source = self._inbox.pop()
                if source is None:
                    break
                await self._keep_pace()
                started = started or monotonic()
                if monotonic() - started > SECONDS_PER_TURN:
                    await give_way()
                    started = monotonic()
                elif handled % EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
                event = socket.connection.parse_again(source)
        finally:
            self._inbox.rest()

    def _is_unclaimed(self, event: Event, result: Any) -> bool:
        """Tell whether nobody answers an event that no handler claims, and log that."""
        self.unclaimed = False
        if result is not None:  # an override of `handle` answers
            return False
        self._socket.log(logging.DEBUG, "unclaimed", event=event.name)
        return True

    async def _keep_pace(self) -> None:
        """Read on where there is room, and wait until the client has read what it was sent."""
        connection = self._socket.connection
        if self._inbox.relaxed:
            connection.release(self._socket)
        if connection.is_behind():
            await connection.drain()

    async def _fail(self, event: Event, error: BaseException) -> None:
        """
        Log what a handler raised, and answer with that.

        Raises it, or a cancellation, where the hub or the process ends.
        """
        socket = self._socket
        self.unclaimed = False
        if isinstance(error, EventError):
            socket.log(logging.WARNING, "event-error", event=event.name, message=error.message)
            answer = {"code": error.code, "message": error.message, "data": error.data}
            await self._answer_error(event, answer, answer | {"data": None})
            return
        raise_if_stopping(error, socket.hub)
        if isinstance(error, ClientDisconnected) and socket.gone:
            socket.log(logging.INFO, "unanswered", event=event.name)  # no fault of the handler
            return
        socket.log(logging.ERROR, "error", event=event.name, exc_info=True)
        await self._answer_error(event)

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
        self._socket.unsettled = False
        await self._socket.hub.settled()

    async def _answer_error(self, event: Event, *errors: dict[str, Any]) -> None:
        """Answer with the first of these errors that can be sent, or as a last resort with ours."""
        if event.ack_id is None:
            return
        socket = self._socket
        for error in errors:
            try:
                frames = self._encode_ack(event.ack_id, [{"error": error}])
                break
            except Exception:  # of the site's own objects, too
                socket.log(logging.ERROR, "error", event=event.name, exc_info=True)
        else:
            frames = self._encode_ack(event.ack_id, [{"error": SERVER_ERROR}])
        if socket.unsettled:
            await self._settle()
        if socket.connected:
            socket.connection.send(frames)

    def drop(self) -> None:
        """Forget the events that wait: their client is not let in."""
        self._inbox.clear()

    async def wait_idle(self, grace: float) -> bool:
        """
        Wait until nothing is handled or waits, for `grace` seconds; tell whether that came.

        After that what waits is dropped.
        """
        if await self._inbox.wait_idle(grace):
            return True
        self._socket.log(logging.WARNING, "handler-outlives-client", waiting=len(self._inbox))
        self._inbox.clear()
        return False


def _as_arguments(result: Any) -> list[Any]:
    """Return a handler's result as arguments of an acknowledgement: none, one or several."""
    if result is None:
        return []
    return list(result) if isinstance(result, tuple) else [result]
