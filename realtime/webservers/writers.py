"""
How frames leave on a WebSocket.

A server's frame is the same bytes for every client, so where the server's shape is known the
bytes are made once and written straight to its transport. That also gives back-pressure where
ASGI's `send` has none (daphne) and sends empty frames, which daphne's `send` drops. Everywhere
else frames go through ASGI.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ..protocol.frames import Frames
from .adapters import CLOSE_TIMEOUT, Adapter, Spawn
from .unread import count_unconfirmed, has_hung_up
from .write_coalescing import current_flusher

Send = Callable[[dict[str, Any]], Awaitable[None]]

# A transport with more than this in its buffer is behind: volatile messages are dropped, and
# producers that await their messages wait.
HIGH_WATER = 64 * 1024

# WebSocket close codes (RFC 6455, section 7.4).
NORMAL, GOING_AWAY, PROTOCOL_ERROR, POLICY_VIOLATION, TOO_BIG = 1000, 1001, 1002, 1008, 1009
FIRST_LIBRARY_CODE = 3000


class Writer(ABC):
    """Where a connection's frames go. `buffered` is about the bytes that have not left yet."""

    __slots__ = ("_drained",)

    def __init__(self) -> None:
        # What `drain` waits for, while anybody does.
        self._drained: asyncio.Event | None = None

    @property
    @abstractmethod
    def buffered(self) -> int:
        """How many bytes wait in this process."""

    @abstractmethod
    def write(self, frames: Frames) -> None:
        """Send frames after all that were written before, without waiting."""

    def exceeds(self, limit: int) -> bool:
        """Tell whether more bytes than that wait."""
        return self.buffered > limit

    def offer(self, frames: Frames) -> bool:
        """Send frames unless the client is behind; tell whether they were."""
        if self.exceeds(HIGH_WATER):
            return False
        self.write(frames)
        return True

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Close after what was written before, with a WebSocket close code."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection, and forget what waits."""

    def refresh_buffered(self) -> None:  # noqa: B027
        """Ask the transport how much it has unsent, which the server itself may have written."""

    async def drain(self) -> None:
        """Wait until little waits. Nothing is done meanwhile: `tell_drained` ends it."""
        while self.exceeds(HIGH_WATER):
            await self._until_told()

    async def _until_told(self) -> None:
        if self._drained is None:
            self._drained = asyncio.Event()
        await self._drained.wait()

    def tell_drained(self) -> None:
        """Wake who waits in `drain`: less may be waiting, or nothing any more."""
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    def has_hung_up(self) -> bool:
        """Tell whether the client is known to be gone, though nobody reads from it."""
        return False

    def is_undelivered(self) -> bool:
        """Tell whether anything is known not to have reached the client's machine yet."""
        return self.buffered > 0

    def pause_reading(self) -> None:  # noqa: B027
        """Read nothing from the client, where leaving its frames with the server is not enough."""

    def resume_reading(self) -> None:  # noqa: B027
        """Read from the client again."""

    async def closed(self) -> None:
        """Wait until the close frame has left: a server cuts a connection whose task has ended."""
        await asyncio.sleep(0)


class AsgiWriter(Writer):
    """Sends through ASGI, one frame after the other, in a task while there is something to send."""

    __slots__ = ("_buffered", "_over", "_send", "_spawn", "_task", "_waiting")

    def __init__(self, send: Send, spawn: Spawn) -> None:
        super().__init__()
        self._send = send
        self._spawn = spawn
        self._waiting: deque[dict[str, Any]] = deque()
        self._buffered = 0
        self._task: asyncio.Task[Any] | None = None
        self._over = False

    @property
    def buffered(self) -> int:
        return self._buffered

    def write(self, frames: Frames) -> None:
        for frame in frames.frames:
            key = "text" if isinstance(frame, str) else "bytes"
            self._put({"type": "websocket.send", key: frame}, len(frame))

    def close(self, code: int, reason: str) -> None:
        code = code if code >= FIRST_LIBRARY_CODE else NORMAL  # all that some servers take
        self._put({"type": "websocket.close", "code": code, "reason": reason}, 0)
        self._over = True

    def abort(self) -> None:
        self._forget()
        if self._task is not None:
            self._task.cancel()

    def _forget(self) -> None:
        self._over = True
        self._waiting.clear()
        self._buffered = 0
        self.tell_drained()

    async def closed(self) -> None:
        await finished(self._task)

    def _put(self, message: dict[str, Any], size: int) -> None:
        if self._over:
            return
        self._waiting.append(message)
        self._buffered += size
        if self._task is None:
            self._task = self._spawn(self._flush())

    async def _flush(self) -> None:
        try:
            while self._waiting:
                message = self._waiting.popleft()
                await self._send(message)
                self._buffered -= len(message.get("text") or message.get("bytes") or b"")
                if self._buffered <= HIGH_WATER:
                    self.tell_drained()
        except Exception:  # the client is gone: whoever reads from it is told so
            self._forget()
        finally:
            self._task = None


class TransportWriter(Writer):
    """
    Writes to a server's own transport; what comes in one turn of the loop leaves together.

    The `adapter` knows that transport.
    """

    __slots__ = ("_flusher", "_given", "_size", "_waiting", "adapter")

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        self.adapter = adapter
        self._flusher = current_flusher()
        self._waiting: list[bytes] = []
        self._size = 0
        # The transport has no more than so much: it is asked only where that may be too much.
        self._given = 0

    def exceeds(self, limit: int) -> bool:
        return self._size + self._given > limit and self.buffered > limit

    def offer(self, frames: Frames) -> bool:  # in one call: it is what a broadcast does most
        if self._size + self._given > HIGH_WATER and self.buffered > HIGH_WATER:
            return False
        self.write(frames)
        return True

    @property
    def buffered(self) -> int:
        self.refresh_buffered()
        return self._size + self._given

    def refresh_buffered(self) -> None:
        self._given = self.adapter.unsent()

    def has_hung_up(self) -> bool:
        return has_hung_up(self.adapter.descriptor())

    def is_undelivered(self) -> bool:
        return self.buffered > 0 or count_unconfirmed(self.adapter.descriptor()) > 0

    def write(self, frames: Frames) -> None:
        wire = frames.wire or frames.make_wire()
        waiting = self._waiting
        if not waiting:
            self._flusher.add(self)
        waiting.append(wire)
        self._size += len(wire)

    def flush(self) -> None:
        """Give all frames that wait to the transport."""
        waiting = self._waiting
        if waiting:
            self._given += self._size
            self._waiting, self._size = [], 0
            try:
                self.adapter.put(waiting)
            except Exception:  # who knows how much of it has left
                self.abort()
                raise

    async def _until_told(self) -> None:
        if self._waiting:  # it is with the transport two turns of the loop from now
            await asyncio.sleep(0)
        else:
            self.adapter.ask_for_drained()
            await super()._until_told()

    def close(self, code: int, reason: str) -> None:
        self.flush()
        self.adapter.close(code, reason)

    def abort(self) -> None:
        self._waiting.clear()
        self._size = 0
        self.adapter.abort()

    def pause_reading(self) -> None:
        self.adapter.slow_down()

    def resume_reading(self) -> None:
        self.adapter.speed_up()

    async def closed(self) -> None:
        await self.adapter.closed()


async def finished(task: asyncio.Task[Any] | None) -> None:
    """Wait until a task is done, as long as a closing handshake may take."""
    if task is not None:
        await asyncio.wait({task}, timeout=CLOSE_TIMEOUT)


def close_text(text: str) -> str:
    """Return a text cut to the 123 bytes that a close frame has for it (RFC 6455, section 5.5)."""
    return text.encode()[:123].decode(errors="ignore")
