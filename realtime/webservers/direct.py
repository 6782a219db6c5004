"""
How frames come in where the server's shape is known: straight from its transport.

That stands in the place of the server's parser, its queue and a task that waits there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from enum import Enum
from time import monotonic
from typing import Any

from ..exceptions import TooLarge
from ..execution.pacing import FRAMES_PER_SLICE, SECONDS_PER_SLICE, give_way
from ..logs import describe, log
from ..protocol.frames import Frames
from ..sockets.interfaces import Hub
from ..sockets.socket import DISCONNECT_GRACE
from .adapters import Adapter, Receive
from .frame_parser import PING, PONG, CloseFinder, ControlFrame, FrameSplitter, Unusual
from .interfaces import Connection
from .readers import MAX_FIRST, Reader
from .writers import HIGH_WATER, TransportWriter

# The time that a frame of more characters takes is counted.
_LARGE = 4096
# How many bytes a client may send in fragments, or compressed, before its first namespace.
MOST_PASSED = 2 * MAX_FIRST


class State(Enum):
    """Who takes what a client sends. Each state leads only to those below it."""

    DIRECT = "its frames are taken here, from the transport's bytes"
    HANDED_BACK = "the server's parser has all bytes, and frames come through ASGI"
    CLOSED = "nobody: the server has what belongs to the closing handshake"


DIRECT, HANDED_BACK, CLOSED = State


class DirectReader(Reader):
    """
    Takes frames from the server's transport itself, in the place of the server's protocol.

    Pings are answered here. Where anything else comes - fragments, extensions, what breaks
    RFC 6455 - the server's parser gets all bytes from that one on, and frames come through ASGI;
    so it is from the start where something has come to the server before. Even then all bytes pass
    here: what the server writes by itself has its bounds, and whatever ends the transport ends the
    connection.
    """

    __slots__ = (
        *("_finder", "_lost", "_passed", "_paused", "_spent", "_splitter", "_state", "_waiter"),
        "adapter",
    )

    sees_pongs = True
    writer: TransportWriter

    def __init__(self, hub: Hub, receive: Receive, adapter: Adapter) -> None:
        super().__init__(hub, receive, TransportWriter(adapter))
        self._splitter = FrameSplitter(self._limit)
        self.adapter = adapter
        self._state = DIRECT if adapter.is_fresh(receive) else HANDED_BACK
        # What finds the client's close frame once CLOSED, unless the server has had half a frame.
        self._finder: CloseFinder | None = None
        self._paused = self._lost = False
        # The time that large frames took since others had their turn.
        self._spent = 0.0
        # Bytes that the server's parser got before the first namespace.
        self._passed = 0
        self._waiter: asyncio.Future[None] | None = None
        if self._state is DIRECT:
            self._receive_by(None)
        adapter.take_over(self)  # the last step: whatever fails before has changed nothing

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._state is not DIRECT:
            self._pass_on(data)
            return
        self._splitter.add(data)
        if self._paused:
            return
        if self._connection is not None:
            self._feed(self._connection)
        elif self._waiter is not None:
            self._wake()
        else:  # nobody asks for it yet
            self._paused = True
            self.adapter.pause()

    def connection_lost(self, error: Any) -> None:
        """Take note that the client is gone, after the server's protocol has."""
        try:
            self.adapter.end(error)
        finally:
            self.writer.tell_drained()
            self.lose()

    def lose(self) -> None:
        """Let the connection be over, as soon as what came before was taken."""
        self._lost = True
        connection = self._connection
        if connection is None:
            self._wake()
        elif self._state is DIRECT and not self._paused:
            connection.close("transport close")
        elif not connection.closed.happened:
            self._close_soon(connection)

    def _close_soon(self, connection: Connection) -> None:
        """Wait for handlers that are too busy for what has come, but not for ever."""
        connection.hub.loop.call_later(DISCONNECT_GRACE, connection.close, "transport close")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Frames

    async def receive(self) -> str | bytes | None:
        while self._state is DIRECT:
            frame = self._splitter.next()
            if isinstance(frame, (str, bytes)):
                return frame
            if frame is not None:
                if not self._handle_other(frame) and self._state is DIRECT:
                    return None
                continue
            if self._lost:
                return None
            self._resume()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return await super().receive()

    def _start(self, connection: Connection) -> None:
        try:
            self.adapter.quieten()
            if self._state is DIRECT:
                self.adapter.slim()
        except Exception as error:
            self.adapter.note_misfit(describe(error), error)
            self._hand_back()
        if self._state is DIRECT:
            connection.attempt(self._resume)
            self._feed(connection)
        else:
            super()._start(connection)
            if self._lost:
                self._close_soon(connection)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.adapter.resume()

    def _feed(self, connection: Connection) -> None:  # noqa: PLR0912
        """Let the connection take what has come, as long as it can take more."""
        frames, splitter, started = 0, self._splitter, 0.0
        try:
            while not connection.closed.happened:
                if connection.is_blocked():
                    self._pause_until(connection, connection.wait_unblocked())
                    return
                if frames:
                    started = started or monotonic()  # not for the one frame that comes as a rule
                    if monotonic() - started > SECONDS_PER_SLICE:
                        self._pause_until(connection, give_way())
                        return
                    if frames == FRAMES_PER_SLICE:
                        self._pause_until(connection, asyncio.sleep(0))
                        return
                frame = splitter.next()
                if frame is None:
                    break
                if isinstance(frame, (str, bytes)):
                    if len(frame) <= _LARGE:
                        connection.feed_safely(frame)
                    elif self._feed_large(connection, frame):
                        return
                elif not self._handle_other(frame):
                    break
                frames += 1
                if splitter.is_empty():
                    break
        except TooLarge as error:
            self._exceed(connection, error)
            return
        except Exception:
            connection.fail()
        if self._lost:
            connection.close("transport close")

    def _feed_large(self, connection: Connection, frame: str | bytes) -> bool:
        """
        Take a frame that may take long; tell whether others have their turn before the next.

        One may come with each call of the transport, and uvloop calls many times in one turn.
        """
        started = monotonic()
        connection.feed_safely(frame)
        self._spent += monotonic() - started
        if self._spent <= SECONDS_PER_SLICE:
            return False
        self._spent = 0.0
        self._pause_until(connection, give_way())
        return True

    def _exceed(self, connection: Connection, error: TooLarge) -> None:
        """Refuse a frame that is too large, unless its client may send such by now."""
        if self._widen():
            self._splitter.limit = self._limit
            self._feed(connection)
        else:
            connection.attempt(self._refuse, connection, error)

    def _pause_until(self, connection: Connection, until: Coroutine[Any, Any, None]) -> None:
        self._paused = True
        connection.hub.spawn(self._resume_after(connection, until))
        self.adapter.pause()

    async def _resume_after(self, connection: Connection, until: Coroutine[Any, Any, None]) -> None:
        try:
            await until
            self._resume()
        except Exception:
            connection.fail()
        except BaseException:  # cancelled: nobody would read any more
            connection.close("transport error")
            raise
        self._feed(connection)

    # All that is neither a text nor bytes

    def _handle_other(self, found: ControlFrame | Unusual) -> bool:
        """Take what is not for the application; tell whether frames go on coming directly."""
        if not isinstance(found, ControlFrame) or found.kind not in (PING, PONG):
            self._leave_to_server(found)
            return False
        if found.kind == PING:
            self._answer_ping(found)
        if self._connection is not None:
            self._connection.hear()
        return True

    def _answer_ping(self, ping: ControlFrame) -> None:
        pong = Frames("", wire=ping.make_pong())
        if self._connection is not None:  # whose outbox is looked at before each frame
            self.writer.write(pong)
        else:  # a client that is behind already has pongs enough (RFC 6455, section 5.5.3)
            self.writer.offer(pong)

    def _leave_to_server(self, found: ControlFrame | Unusual) -> None:
        """Let the server have a close frame, or what is unusual and all that follows."""
        connection = self._connection
        if not self.adapter.is_closing():
            self.writer.flush()  # the server may say its last
        if self.adapter.is_closing():  # it would not parse, and minds having to answer
            if connection is not None:
                connection.close("transport close")
            return
        if isinstance(found, ControlFrame):
            self.adapter.give(found.wire)
            if connection is not None:  # the rest is between the client and the server
                connection.close("transport close")
        else:
            self._hand_back()
            if connection is not None:
                super()._start(connection)

    def _hand_back(self, state: State = HANDED_BACK) -> None:
        """Leave it to the server what comes from now on, or, once CLOSED, its close frame alone."""
        before, self._state = self._state, state
        if before is not DIRECT:
            return
        if state is CLOSED:
            self._finder = CloseFinder()
        else:
            self._receive_by(self.adapter.receive)
        self._resume()
        if rest := self._splitter.rest():
            self._pass_on(rest)

    def _pass_on(self, data: bytes) -> None:
        """Let the server's parser have bytes, and see to it that this has bounds."""
        if self.adapter.is_closing():
            return
        try:
            if self._finder is not None:
                if close := self._finder.find(data):
                    self.adapter.give(close)
                return
            if self._may_pass(data):
                self.adapter.give(data)
                self._check_server()
        except Exception:
            self._fail()

    def _may_pass(self, data: bytes) -> bool:
        """Tell whether the server may have bytes: who has no namespace yet is closed for many."""
        connection = self._connection
        if connection is not None and connection.entered:
            return True
        self._passed += len(data)
        if self._passed <= MOST_PASSED:
            return True
        if connection is None:
            self.writer.abort()
        elif not connection.closed.happened:
            error = TooLarge(f"more than {MOST_PASSED} bytes before CONNECT")
            connection.attempt(self._refuse, connection, error)
        return False

    def _check_server(self) -> None:
        """Take note of what came, and of what the server has answered by itself, as pongs."""
        connection = self._connection
        if self._queue is not None:
            self._slow_down(self._queue.qsize())
        self.writer.refresh_buffered()
        if connection is None:
            if self.writer.exceeds(HIGH_WATER):
                self.writer.abort()
            return
        behind = self.writer.exceeds(connection.hub.settings.OUTBOX_BYTES)
        if not connection.closed.happened:
            connection.hear()
            if behind:
                connection.overflow()
        elif behind:
            self.writer.abort()

    def _fail(self) -> None:
        """End what an error of the server or of our own has befallen."""
        if self._connection is not None:
            self._connection.fail()
        else:
            log(logging.ERROR, "error", exc_info=True)
        self.writer.abort()

    def stop(self) -> None:
        if not self._lost and self._state is not CLOSED:
            self._hand_back(CLOSED)
            self.adapter.mute()
