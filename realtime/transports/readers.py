"""
How frames come in on a WebSocket.

Where the server's shape is known they are taken straight from its transport, in the place of its
parser, its queue and a task that waits there. Everywhere else they come through ASGI.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..exceptions import TooLarge
from .connection import FRAMES_PER_TURN, Connection, close_text
from .incoming import ControlFrame, FrameSplitter, Unusual
from .turns import SECONDS_PER_TURN, give_way
from .writers import TOO_BIG, TransportWriter, Writer

if TYPE_CHECKING:
    from ..hub import Hub

Receive = Callable[[], Awaitable[dict[str, Any]]]

# Frames that may wait in daphne's queue before its socket is paused.
MAX_QUEUE = 64


class Reader:
    """Reads the frames of one WebSocket through ASGI, and keeps them to MAX_PAYLOAD."""

    __slots__ = ("_connection", "_limit", "_queue", "_receive", "writer")

    def __init__(self, hub: Hub, receive: Receive, writer: Writer) -> None:
        self._limit = hub.settings.MAX_PAYLOAD
        self.writer = writer
        self._connection: Connection | None = None
        self._receive_by(receive)

    def _receive_by(self, receive: Receive) -> None:
        self._receive = receive
        queue = getattr(receive, "__self__", None)
        self._queue = queue if isinstance(queue, asyncio.Queue) else None

    async def receive(self) -> str | bytes | None:
        """Return the next frame, or None when the client is gone. Raises TooLarge."""
        if self._queue is not None:
            self._slow_down(self._queue.qsize())
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        frame: str | bytes = message["bytes"] if text is None else text
        size = len(frame) if text is None or text.isascii() else len(text.encode())
        if size > self._limit:
            raise TooLarge(f"a frame of {size} bytes, at most {self._limit} are accepted")
        return frame

    def _slow_down(self, waiting: int) -> None:
        """Pause the socket while many frames wait in daphne's queue, which has no bound."""
        if waiting > MAX_QUEUE:
            self.writer.pause_reading()
        elif not waiting:
            self.writer.resume_reading()

    def start(self, connection: Connection) -> None:
        """Let a connection take frames until it is over."""
        self._connection = connection
        self._start(connection)

    def over(self) -> asyncio.Future[None]:
        """Return what is to be awaited until the connection is over."""
        assert self._connection is not None
        return self._connection.closed.wait()

    def end(self) -> None:
        """Take no more frames; the connection is over, if it was not yet."""
        assert self._connection is not None
        self._connection.close("transport close")
        self.stop()

    async def turn_away(self, code: int, reason: str) -> None:
        """Close the WebSocket, for which there is no connection."""
        self.stop()
        self.writer.close(code, close_text(reason))
        await self.writer.closed()

    def _start(self, connection: Connection) -> None:
        connection.hub.spawn(connection.read(self._receive_for_connection))

    def stop(self) -> None:
        """Leave what still comes to the server."""

    async def _receive_for_connection(self) -> str | bytes | None:
        assert self._connection is not None
        try:
            frame = await Reader.receive(self)
        except TooLarge as error:
            self._refuse(self._connection, error)
            return None
        if frame is None:
            self._connection.close("transport close")
        return frame

    def _refuse(self, connection: Connection, error: TooLarge) -> None:
        connection.writer.close(TOO_BIG, close_text(str(error)))
        connection.close("transport error")


class DirectReader(Reader, ABC):
    """
    Takes frames from the server's transport itself, in the place of the server's protocol.

    Control frames go on to that, which answers them. Where anything else comes - fragments,
    extensions, what breaks RFC 6455 - the server has its connection back for good, from that byte
    on, and frames come through ASGI.
    """

    __slots__ = ("_direct", "_held", "_lost", "_server", "_splitter", "_waiter")

    # The attribute of the server's protocol with what it has to say to the application.
    queue_name: str

    writer: TransportWriter

    def __init__(self, hub: Hub, receive: Receive, writer: Any) -> None:
        super().__init__(hub, receive, writer)
        self._splitter = FrameSplitter(self._limit)
        self._server = writer.protocol
        self._direct = True
        self._held = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._replace_server()
        del self._receive, self._queue  # until `_leave_to_asgi`

    @abstractmethod
    def _replace_server(self) -> None:
        """Let the transport give to this what it gave to the server's protocol."""

    @abstractmethod
    def _restore_server(self) -> None:
        """Undo that."""

    @abstractmethod
    def _receive_from_server(self) -> Receive:
        """Return what the server's application receives by."""

    @abstractmethod
    def _lighten_server(self, *, quiet: bool) -> None:
        """
        Let the server's objects take less memory, until they are needed. If `quiet`, the server
        need not ask any more whether the client is there.
        """

    @abstractmethod
    def _give(self, data: bytes) -> None:
        """Let the server's parser have bytes."""

    @abstractmethod
    def _pause(self) -> None:
        """Stop reading from the socket."""

    @abstractmethod
    def _resume(self) -> None:
        """Read from the socket again."""

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._splitter.add(data)
        if self._held:
            return
        if self._connection is not None:
            self._feed(self._connection)
        elif self._waiter is not None:
            self._wake()
        else:  # nobody asks for it yet
            self._held = True
            self._pause()

    def connection_lost(self, error: Any) -> None:
        """Take note that the client is gone, after the server's protocol has."""
        self._lost = True
        self._end_with_server(error)
        if self._connection is None:
            self._leave_to_asgi()  # where the server has put its last word
            self._wake()
        elif not self._held:
            self._connection.close("transport close")

    @abstractmethod
    def _end_with_server(self, error: Any) -> None:
        """Tell the server's protocol that the client is gone."""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Frames

    async def receive(self) -> str | bytes | None:
        while self._direct:
            frame = self._splitter.next()
            if isinstance(frame, (str, bytes)):
                return frame
            if frame is not None:
                self._leave_to_server(frame)
                continue
            self._let_go()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return await super().receive()

    def _start(self, connection: Connection) -> None:
        if self._direct:
            self._lighten_server(quiet=connection.has_heartbeat)
            self._let_go()
            self._feed(connection)
        else:
            super()._start(connection)

    def _leave_to_asgi(self) -> None:
        self._direct = False
        self._receive_by(self._receive_from_server())

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self._resume()

    def _feed(self, connection: Connection) -> None:
        """Let the connection take what has come, as long as it can take more."""
        frames, splitter, started = 0, self._splitter, 0.0
        while self._direct and not connection.closed.happened:
            if connection.is_blocked():
                self._hold(connection, connection.unblocked())
                return
            if frames:
                started = started or monotonic()  # not for the one frame that comes as a rule
                if monotonic() - started > SECONDS_PER_TURN:
                    self._hold(connection, give_way())
                    return
                if frames == FRAMES_PER_TURN:
                    self._hold(connection, asyncio.sleep(0))
                    return
            try:
                frame = splitter.next()
            except TooLarge as error:
                self._refuse(connection, error)
                return
            if frame is None:
                break
            if isinstance(frame, (str, bytes)):
                connection.take(frame)
            else:
                self._leave_to_server(frame)
            frames += 1
            if splitter.is_empty():
                break
        if self._lost:
            connection.close("transport close")

    def _leave_to_server(self, found: ControlFrame | Unusual) -> None:
        """Let the server have what is not for the application, and all that follows if need be."""
        self.writer.flush()  # the server may say its last
        leaves = isinstance(found, ControlFrame)
        if isinstance(found, ControlFrame):
            self._give(found.wire)
            self.writer.look()
            messages = vars(self._server).get(self.queue_name)
            if messages is None or messages.empty():
                return
        self._give_back()
        if self._connection is None:
            return
        if leaves:  # the rest is between the client and the server
            self._connection.close("transport close")
        else:
            super()._start(self._connection)

    def _hold(self, connection: Connection, until: Coroutine[Any, Any, None]) -> None:
        self._held = True
        self._pause()
        connection.hub.spawn(self._go_on(connection, until))

    async def _go_on(self, connection: Connection, until: Coroutine[Any, Any, None]) -> None:
        await until
        if self._direct:
            self._let_go()
            self._feed(connection)

    def _give_back(self) -> None:
        """Let the server go on with its connection, and read what it has through ASGI."""
        self._leave_to_asgi()
        self._restore_server()
        self._let_go()
        if rest := self._splitter.rest():
            self._give(rest)

    def stop(self) -> None:
        if self._direct and not self._lost:
            self._give_back()
