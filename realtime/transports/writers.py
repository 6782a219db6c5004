"""
How frames leave on a WebSocket.

A server's frame is the same bytes for every client, so where the server's shape is known the
bytes are made once and written straight to its transport. That also gives back-pressure where
ASGI's `send` has none (daphne) and sends empty frames, which daphne's `send` drops. Everywhere
else frames go through ASGI.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from channels.sessions import InstanceSessionWrapper

from .frames import Frames
from .turns import current_turn

Send = Callable[[dict[str, Any]], Awaitable[None]]
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]

# A transport with more than this in its buffer is behind: volatile messages are dropped, and
# producers that await their messages wait.
HIGH_WATER = 64 * 1024

# WebSocket close codes (RFC 6455, section 7.4).
NORMAL, GOING_AWAY, PROTOCOL_ERROR, POLICY_VIOLATION, TOO_BIG = 1000, 1001, 1002, 1008, 1009
FIRST_LIBRARY_CODE = 3000

# How long a closing handshake may take before the connection is cut.
CLOSE_TIMEOUT = 5.0


class Writer(ABC):
    """Where a connection's frames go. `buffered` is about the bytes that have not left yet."""

    __slots__ = ()

    @property
    @abstractmethod
    def buffered(self) -> int:
        """How many bytes wait in this process."""

    @abstractmethod
    def write(self, frames: Frames) -> None:
        """Send frames after all that were written before, without waiting."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Close after what was written before, with a WebSocket close code."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection, and forget what waits."""

    async def drain(self) -> None:
        """Wait until little waits."""
        while self.buffered > HIGH_WATER:
            await asyncio.sleep(0.005)

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

    async def closed(self) -> None:
        await _finished(self._task)

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
        except Exception:  # the client is gone: whoever reads from it is told so
            self._forget()
        finally:
            self._task = None


class TransportWriter(Writer):
    """Writes to a server's own transport; what comes in one turn of the loop leaves at once."""

    __slots__ = ("_size", "_turn", "_waiting")

    def __init__(self) -> None:
        self._turn = current_turn()
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, frames: Frames) -> None:
        wire = frames.wire or frames.make_wire()
        waiting = self._waiting
        if not waiting:
            self._turn.add(self)
        waiting.append(wire)
        self._size += len(wire)

    def flush(self) -> None:
        """Send what waits."""
        waiting = self._waiting
        if waiting:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            self._forget()
            self._put(data)

    def _forget(self) -> None:
        self._waiting.clear()
        self._size = 0

    @abstractmethod
    def _put(self, data: bytes) -> None:
        """Give bytes to the transport."""


class UvicornWriter(TransportWriter):
    """Writes to uvicorn's asyncio transport."""

    __slots__ = ("_closing", "_send", "_spawn", "_transport")

    def __init__(self, send: Any, spawn: Spawn) -> None:
        super().__init__()
        self._send = send
        self._spawn = spawn
        self._transport: asyncio.Transport = send.__self__.transport
        self._closing: asyncio.Task[Any] | None = None

    @staticmethod
    def fits(send: Any) -> bool:
        """Tell whether `send` belongs to one of uvicorn's two protocols of the known shape."""
        protocol = getattr(send, "__self__", None)
        kind = type(protocol)
        return (
            kind.__module__.startswith("uvicorn.protocols.websockets.")
            and kind.__name__ in ("WebSocketsSansIOProtocol", "WSProtocol")
            and hasattr(getattr(protocol, "transport", None), "get_write_buffer_size")
        )

    @property
    def buffered(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    def _put(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self.flush()
            self._closing = self._spawn(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        message = {"type": "websocket.close", "code": code, "reason": reason}
        with contextlib.suppress(Exception):  # the client may be gone, or read nothing any more
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._send(message)
                # uvicorn itself would wait for ever until a client reads that is not there.
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)
                return
        self.abort()

    def abort(self) -> None:
        self._forget()
        self._transport.abort()

    async def closed(self) -> None:
        await _finished(self._closing)


class DaphneWriter(TransportWriter):
    """
    Writes to the Twisted transport under daphne's Autobahn protocol.

    Twisted would first have the event loop tell it that the socket can be written to, and then
    that it need not be told any more: three system calls in the place of one.
    """

    __slots__ = ("_paused", "_protocol", "_transport")

    def __init__(self, send: Any, spawn: Spawn) -> None:
        super().__init__()
        self._protocol = send.args[0]
        self._transport = self._protocol.transport
        self._paused = False

    @staticmethod
    def fits(send: Any) -> bool:
        """Tell whether `send` is daphne's, over a plain Twisted TCP or UNIX transport."""
        if not isinstance(send, partial) or not send.args:
            return False
        protocol = send.args[0]
        transport = getattr(protocol, "transport", None)
        shape = (
            *("dataBuffer", "offset", "_tempDataLen", "write", "writeSomeData"),
            *("abortConnection", "connected", "disconnecting"),
            *("pauseProducing", "resumeProducing"),
        )
        return type(protocol).__module__ == "daphne.ws_protocol" and all(
            hasattr(transport, name) for name in shape
        )

    @property
    def buffered(self) -> int:
        return self._size + self._left_behind

    @property
    def _left_behind(self) -> int:
        """How many bytes Twisted could not send yet."""
        transport = self._transport
        if not transport.connected:  # a lost connection keeps what it could not send
            return 0
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # type: ignore[no-any-return]

    def _put(self, data: bytes) -> None:
        protocol, transport = self._protocol, self._transport
        if protocol.state != protocol.STATE_OPEN:
            return
        if transport.connected and not transport.disconnecting and not self._left_behind:
            sent = transport.writeSomeData(data)
            if isinstance(sent, int):  # else an error, which Twisted is left to find again
                data = data[sent:]
        if data:
            transport.write(data)

    def close(self, code: int, reason: str) -> None:
        self.flush()
        if self._protocol.state == self._protocol.STATE_OPEN:
            # Not sendClose(), which refuses the codes that RFC 6455 has for servers.
            self._protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode())

    def abort(self) -> None:
        self._forget()
        self._transport.abortConnection()

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pauseProducing()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if self._transport.connected and not self._transport.disconnecting:
                self._transport.resumeProducing()


async def _finished(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        await asyncio.wait({task}, timeout=CLOSE_TIMEOUT)


def choose_writer(send: Any, spawn: Spawn) -> Writer:
    """Return the fastest writer that fits the server behind an accepted WebSocket's `send`."""
    while isinstance(wrapper := getattr(send, "__self__", None), InstanceSessionWrapper):
        send = wrapper.real_send  # which adds cookies to HTTP responses, and nothing here
    for writer in (UvicornWriter, DaphneWriter):
        if writer.fits(send):
            return writer(send, spawn)
    return AsgiWriter(send, spawn)
