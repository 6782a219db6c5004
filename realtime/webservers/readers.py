"""How frames come in on a WebSocket: through ASGI, where nothing is known of the server."""

from __future__ import annotations

import asyncio
from functools import partial

from ..exceptions import TooLarge
from ..sockets.interfaces import Hub
from .adapters import Receive
from .interfaces import Connection
from .writers import TOO_BIG, Writer, close_text

# How many bytes a client's frame or body may have before its first namespace: enough for any token
# in `auth`.
MAX_FIRST = 65_536

# Frames that may wait in daphne's queue before its socket is paused.
MAX_QUEUE = 64


class Reader:
    """Reads one WebSocket's frames through ASGI, and keeps them to what its client may send."""

    __slots__ = ("_connection", "_limit", "_queue", "_receive", "writer")

    # Whether WebSocket pongs are seen here, and not by the server alone.
    sees_pongs = False

    def __init__(self, hub: Hub, receive: Receive, writer: Writer) -> None:
        # As much as anybody may send; `_widen` learns when it is more.
        self._limit = min(hub.settings.MAX_PAYLOAD, MAX_FIRST)
        self.writer = writer
        self._connection: Connection | None = None
        self._receive_by(receive)

    def _receive_by(self, receive: Receive | None) -> None:
        """Receive frames by that from now on; None where they do not come through ASGI."""
        self._receive = receive
        queue = getattr(receive, "__self__", None)
        self._queue = queue if isinstance(queue, asyncio.Queue) else None

    async def receive(self) -> str | bytes | None:
        """Return the next frame, or None when the client is gone. Raises TooLarge."""
        if self._queue is not None:
            self._slow_down(self._queue.qsize())
        if self._receive is None:
            raise RuntimeError("Frames come from the transport, and not through ASGI.")
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        frame: str | bytes = message["bytes"] if text is None else text
        size = len(frame) if text is None or text.isascii() else len(text.encode())
        if size > self._limit and not (self._widen() and size <= self._limit):
            raise TooLarge(f"a frame of {size} bytes, at most {self._limit} are accepted")
        return frame

    def _widen(self) -> bool:
        """Take larger frames where the client may send them by now; tell whether that is new."""
        limit = 0 if self._connection is None else self._connection.frame_limit
        if limit <= self._limit:
            return False
        self._limit = limit
        return True

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
        return self._started().closed.wait()

    def end(self) -> None:
        """Take no more frames; the connection is over, if it was not yet."""
        try:
            self._started().close("transport close")
        finally:
            self.stop()

    def _started(self) -> Connection:
        """Return the connection. Raises RuntimeError before `start`."""
        if self._connection is None:
            raise RuntimeError("No connection takes frames yet: call start() first.")
        return self._connection

    async def reject(self, code: int, reason: str) -> None:
        """Close the WebSocket, for which there is no connection."""
        self.stop()
        self.writer.close(code, close_text(reason))
        await self.writer.closed()

    def _start(self, connection: Connection) -> None:
        connection.hub.spawn(self._read(connection))

    async def _read(self, connection: Connection) -> None:
        try:
            await connection.read(partial(self._receive_for, connection))
        finally:  # whatever ended that: nobody would read any more
            connection.close("transport close")

    def stop(self) -> None:
        """Take nothing any more: there is no connection, or it is over."""

    async def _receive_for(self, connection: Connection) -> str | bytes | None:
        try:
            frame = await Reader.receive(self)
        except TooLarge as error:
            connection.attempt(self._refuse, connection, error)
            return None
        if frame is None:
            connection.close("transport close")
        return frame

    def _refuse(self, connection: Connection, error: TooLarge) -> None:
        try:
            connection.writer.close(TOO_BIG, close_text(str(error)))
        finally:
            connection.close("transport error")
