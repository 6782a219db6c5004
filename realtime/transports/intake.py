"""What comes from a client: frame by frame, as fast as its handlers and the client itself work."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from time import monotonic

from ..exceptions import ProtocolError
from ..execution.pacing import FRAMES_PER_SLICE, SECONDS_PER_SLICE, give_way
from ..sockets.inbox import Event, Source
from ..sockets.socket import Socket
from ..webservers.readers import MAX_FIRST
from ..webservers.writers import Writer
from .interfaces import Hub
from .outbox import Outbox

Receive = Callable[[], Awaitable[str | bytes | None]]


class Intake(Outbox):
    """
    The side of a connection on which frames come in.

    Nothing is read while handlers have too much to do, or the client does not read.
    """

    __slots__ = ("_throttling", "_unthrottled")

    def __init__(self, hub: Hub, writer: Writer) -> None:
        super().__init__(hub, writer)
        # The sockets whose handlers have so much to do that nothing more is read, which are seldom
        # any, and what the reader waits for then.
        self._throttling: set[Socket] | None = None
        self._unthrottled: asyncio.Event | None = None

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

    @abstractmethod
    def refuse_frame(self, error: ProtocolError) -> None:
        """Close on a frame that breaks the protocol."""

    @abstractmethod
    def fail(self) -> None:
        """Log the exception that is handled, a fault of our own or the server's, and close."""

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

    def stop_reading(self) -> None:
        """Let the reader see that the connection is over."""
        self._throttling = None
        self._wake_reader()

    @property
    def throttled(self) -> bool:
        """Whether handlers keep it from being read: the client's silence is not its fault."""
        return bool(self._throttling)
