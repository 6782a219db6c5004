"""
A connection: one Engine.IO session or one plain WebSocket, which carries a socket for each
namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from ..exceptions import ProtocolError
from ..execution.pacing import FRAMES_PER_SLICE, SECONDS_PER_SLICE, give_way
from ..identity.logins import user_key
from ..logs import Lines, is_logged
from ..sockets.inbox import Event, Source
from ..sockets.messages import Format
from ..sockets.socket import Socket
from ..webservers.interning import share
from ..webservers.readers import MAX_FIRST
from ..webservers.writers import Writer, close_text
from .interfaces import Hub
from .outbox import Outbox

Receive = Callable[[], Awaitable[str | bytes | None]]


class Connection(Outbox):
    """
    What Engine.IO sessions and plain WebSockets share: the sockets, the outbox and the reader.

    `sid` is its secret id in the hub. Raises TooManyConnections where the user or the address has
    as many as it may.
    """

    __slots__ = (
        *("_unthrottled", "_throttling", "_leave", "_lines"),
        *("last_ack_id", "scope", "sid", "sockets"),
    )

    format: Format

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer) -> None:
        super().__init__(hub, writer)

        # Who it is: the hub's name for it, and the client's first request.
        self.sid = hub.new_sid()
        self.scope = scope

        # What takes it back from the hub's limits.
        self._leave = self._enter(count_key(scope), _address(scope))
        share(scope)

        # Its sockets, by namespace, and the last acknowledgement that any socket asked for that it
        # has no more: a late one must not be taken for an answer to the next socket there.
        self.sockets: dict[str, Socket] = {}
        self.last_ack_id = -1

        # Reading: the sockets whose handlers have so much to do that nothing more is read, which
        # are seldom any, and what the reader waits for then.
        self._throttling: set[Socket] | None = None
        self._unthrottled: asyncio.Event | None = None

        # What the log tells of this client, once there is anything.
        self._lines: Lines | None = None

        hub.connections[self.sid] = self

    def _enter(self, user: str | None, address: str) -> Callable[[], None]:
        """Count the connection; return what takes it back. Raises TooManyConnections."""
        return self.hub.limits.admit(user, address)

    @property
    def connected(self) -> bool:
        """Whether at least one namespace has accepted the client."""
        return any(socket.connected for socket in self.sockets.values())

    # Reading

    @property
    def entered(self) -> bool:
        """Whether the client has asked for any namespace that there is."""
        return True

    @property
    def frame_limit(self) -> int:
        """How many bytes the client's next frame or body may have."""
        limit = self.hub.settings.MAX_PAYLOAD
        return limit if self.entered else min(limit, MAX_FIRST)

    @abstractmethod
    def feed(self, frame: str | bytes) -> None:
        """Feed in one frame, and do what it asks for until that waits. Raises ProtocolError."""

    @abstractmethod
    def parse_again(self, source: Source) -> Event:
        """Return the event of a frame that was fed in, and had to wait as it came."""

    def feed_safely(self, frame: str | bytes) -> None:
        """
        Feed in one frame. One that breaks the protocol ends the connection, and so does a fault of
        our own: nothing is raised.
        """
        try:
            self.feed(frame)
        except ProtocolError as error:
            self.refuse_frame(error)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """Log the exception that is handled, a fault of our own or the server's, and close."""
        self._log_error()
        self.close("transport error")

    def _log_error(self) -> None:
        self.log(logging.ERROR, "error", connection=self.sid[:12], exc_info=True)

    def attempt(self, step: Callable[..., object], *args: Any) -> None:
        """Call what is part of the connection's life: where that raises, the connection ends."""
        try:
            step(*args)
        except Exception:
            self.fail()

    def hear(self) -> None:
        """Take note of a sign of life that is no frame."""

    async def read(self, receive: Receive) -> None:
        """Take frames until `receive` returns None or the connection is over."""
        try:
            await self._read(receive)
        except Exception:
            self.fail()

    async def _read(self, receive: Receive) -> None:
        frames, spent = 0, 0.0
        while not self.closed.happened:
            self.writer.refresh_buffered()
            if self.is_blocked():
                await self.wait_unblocked()
            frame = await receive()
            if frame is None or self.closed.happened:
                return
            started = monotonic()
            self.feed_safely(frame)
            frames += 1
            spent += monotonic() - started
            if spent > SECONDS_PER_SLICE:
                await give_way()
                spent = 0.0
            elif frames % FRAMES_PER_SLICE == 0:
                await asyncio.sleep(0)

    def is_blocked(self) -> bool:
        """Tell whether nothing is to be read: handlers or the client have too much to do."""
        # Without a call of `is_behind`: this is asked before each frame.
        return self._throttling is not None or self.writer.exceeds(self._behind)

    async def wait_unblocked(self) -> None:
        """Wait until the connection is no longer blocked, or is over."""
        self.writer.pause_reading()
        while self.is_blocked() and not self.closed.happened:
            if self._throttling:
                self._unthrottled = asyncio.Event()
                await self._unthrottled.wait()
                self._unthrottled = None
            else:  # its own questions must not fill its outbox
                await self.drain()
        self.writer.resume_reading()

    def wake(self) -> None:
        """Let the poll that waits answer, with whatever there is. Only polling has one."""

    def throttle(self, socket: Socket) -> None:
        """Read nothing more until `unthrottle`: a socket's handlers have too much to do."""
        if self._throttling is None:
            self._throttling = set()
        self._throttling.add(socket)

    def unthrottle(self, socket: Socket) -> None:
        """Read again, as far as this socket is concerned."""
        if self._throttling:
            self._throttling.discard(socket)
            if not self._throttling:
                self._throttling = None
                self._wake_reader()

    def _wake_reader(self) -> None:
        if self._unthrottled is not None:
            self._unthrottled.set()

    @property
    def throttled(self) -> bool:
        """Whether handlers keep it from being read: the client's silence is not its fault."""
        return bool(self._throttling)

    def refuse_frame(self, error: ProtocolError) -> None:
        """Close on a frame that breaks the protocol."""
        self.log(
            logging.WARNING,
            "parse-error",
            connection=self.sid[:12],
            transport=self.transport,
            error=type(error).__name__,
            message=error,
        )
        self.close("parse error", str(error))

    # What the client is told

    @abstractmethod
    def send_connect(self, socket: Socket) -> None:
        """Tell the client that it is connected to the socket's namespace (CONNECT)."""

    @abstractmethod
    def send_connect_error(self, namespace: str, message: str, data: Any) -> None:
        """Tell the client why it is not connected to a namespace (CONNECT_ERROR)."""

    def reject(self, namespace: str, message: str) -> None:
        """Refuse the client a namespace, for which it gets no socket, and log that."""
        self.log(
            logging.INFO,
            "refused",
            namespace=namespace,
            connection=self.sid[:12],
            transport=self.transport,
            message=message,
        )
        self.send_connect_error(namespace, message, None)

    def log(
        self,
        level: int,
        what: str,
        *,
        exc_info: bool | BaseException | None = False,
        **fields: Any,
    ) -> bool:
        """Log something that this client may cause again and again; tell whether that was done."""
        if not is_logged(level):
            return False
        if self._lines is None:
            self._lines = Lines()
        if self._lines.log(level, what, exc_info=exc_info, **fields):
            return True
        self.hub.counters.unlogged += 1
        return False

    @abstractmethod
    def send_disconnect(self, namespace: str) -> None:
        """Tell the client that the server disconnects it from a namespace (DISCONNECT)."""

    # The end

    def note_ending(self, ending: asyncio.Task[None]) -> None:
        """Learn of the task in which a socket's last hook runs. Only a test's client keeps it."""

    def close(self, reason: str, detail: str = "") -> None:
        """
        End the connection for one of Socket.IO's reasons: its sockets are disconnected.

        `detail` is what a WebSocket's close frame says beyond that. What raises on the way is
        logged, and keeps nothing of the rest from happening.
        """
        if self.closed.happened:
            return
        self.closed.set()
        self._throttling = None
        self._wake_reader()
        self.hub.connections.pop(self.sid, None)
        self._contain(self._leave)
        if not self._contain(self.close_transport, reason, close_text(detail or reason)):
            with contextlib.suppress(Exception):  # it is worth no second word
                self.writer.abort()
        for socket in list(self.sockets.values()):
            self._contain(socket.disconnect, reason)
        if self._lines is not None:
            self._lines.tell_skipped(connection=self.sid[:12], transport=self.transport)

    def _contain(self, step: Callable[..., object], *args: Any) -> bool:
        """Call one step of the end; log what it raises, and tell whether that was nothing."""
        try:
            step(*args)
        except Exception:
            self._log_error()
            return False
        return True

    def disconnect(self) -> None:
        """
        End the connection by the server's will: the client is told so in each namespace, and does
        not come back by itself.
        """
        for socket in list(self.sockets.values()):
            self.attempt(socket.close)
        self._end_told()

    def _end_told(self) -> None:
        """Close, now that the client has been told why."""
        self.close("forced server close")

    @abstractmethod
    def close_transport(self, reason: str, text: str) -> None:
        """Release what the transport holds, and tell the client if it can be told."""


def count_key(scope: dict[str, Any]) -> str | None:
    """Return the primary key of the client's user, whoever found that, or None."""
    key = user_key(scope["user"])
    return None if key is None else str(key)


def _address(scope: dict[str, Any]) -> str:
    """Return the client's address, as the server knows it, or an empty text."""
    client = scope.get("client")
    return str(client[0] or "") if client else ""
