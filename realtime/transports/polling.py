"""
HTTP long-polling: the outbox that polls empty, the inbox that POSTs fill, and the HTTP around it.

Specification: https://github.com/socketio/engine.io-protocol (section "HTTP long-polling").
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from ..exceptions import UnexpectedPacket
from ..protocol import engineio, socketio
from ..protocol.frames import Frames
from ..webservers.writers import GOING_AWAY, Writer

CLOSE = Frames(engineio.PacketType.CLOSE)
NOOP = Frames(engineio.PacketType.NOOP)

# How the messages begin that acknowledge something.
ACKNOWLEDGEMENTS = tuple(
    f"{engineio.MESSAGE}{kind:d}" for kind in (socketio.ACK, socketio.BINARY_ACK)
)


class PollingWriter(Writer):
    """
    Keeps frames until the client polls.

    At most one poll waits at a time. After `close` one last payload tells the client, then `over`
    is true. GOING_AWAY is told by the next request's failure instead: after a CLOSE packet
    python-socketio's client would not come back. Where `ending` is true, the poll that takes the
    last of what waits ends the session.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Frames] = deque()
        self._buffered = 0
        self._poll: asyncio.Timeout | None = None
        self._hurried = False
        self.over = False
        self.ending = False

    @property
    def buffered(self) -> int:
        return self._buffered

    @property
    def polled(self) -> bool:
        """Whether a poll waits now."""
        return self._poll is not None

    def write(self, frames: Frames) -> None:
        if self.over:
            return
        self._waiting.append(frames)
        self._buffered += frames.size
        self.wake()

    def close(self, code: int, reason: str) -> None:
        if code != GOING_AWAY:
            self.write(CLOSE)
        self.over = True
        self.wake()
        self.tell_drained()

    def abort(self) -> None:
        self.release()
        self.over = True
        self.wake()

    def hurry(self, hurried: bool) -> None:
        """Answer polls at once, with whatever there is, while the client moves to a WebSocket."""
        self._hurried = hurried
        if hurried:
            self.wake()

    def wake(self) -> None:
        """Let the poll that waits answer, with whatever there is."""
        if self._poll is not None and self._poll.when() is None:
            self._poll.reschedule(0)

    def release(self) -> list[Frames]:
        """Return all frames that wait, for another writer, and forget them."""
        frames = list(self._waiting)
        self._waiting.clear()
        self._buffered = 0
        self.tell_drained()
        return frames

    async def poll(self, until_gone: Callable[[], Awaitable[object]]) -> str | None:
        """
        Return the next payload, as soon as there is one: NOOP where there is nothing to wait for.

        Return None where the client goes away first: `until_gone` is awaited for that. Raises
        UnexpectedPacket while another poll waits.
        """
        if self._poll is not None:
            raise UnexpectedPacket("a second poll while one waits")
        if self._waiting or self.over or self._hurried:
            return self.build_payload()
        try:
            # To wait for two things in one task, one of them ends the other's time.
            async with asyncio.timeout(None) as self._poll:
                await until_gone()
            return None
        except TimeoutError:
            return self.build_payload()
        finally:
            self._poll = None

    async def wait_polled(self) -> None:
        """Wait until polls have taken all that waits, however long that takes, or it is over."""
        while self._waiting and not self.over:
            await self._until_told()

    def build_payload(self) -> str:
        """
        Return a payload of what waits, of at most PACKETS_PER_PAYLOAD packets.

        A binary message of more than that may be split: the frames of one message are no unit to
        Engine.IO, and their order is kept.
        """
        parts: list[str] = []
        while self._waiting and len(parts) < engineio.PACKETS_PER_PAYLOAD:
            frames = self._waiting.popleft()
            self._buffered -= frames.size
            room = engineio.PACKETS_PER_PAYLOAD - len(parts)
            parts += frames.payload[:room]
            if len(frames.frames) > room:
                first, *others = frames.frames[room:]
                rest = Frames(first, tuple(others))
                self._waiting.appendleft(rest)
                self._buffered += rest.size
        self.tell_drained()
        return engineio.SEPARATOR.join(parts) or engineio.PacketType.NOOP


class PollingInbox:
    """
    What POSTs brought, for the connection's reader.

    From `hold` until `release` the reader gets nothing but acknowledgements and what is Engine.IO's
    own; no more than `limit` bytes are held before a POST waits for its answer.
    """

    def __init__(self) -> None:
        self._frames: deque[str | bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._empty = asyncio.Event()
        self._closed = False
        # What is held, how much that may be, and whether the last text was: then its attachments
        # are as well.
        self._held: list[str | bytes] | None = None
        self._limit = 0
        self._holds_last = False

    def put(self, frames: list[str | bytes]) -> None:
        """Add frames that a POST brought."""
        if self._held is None:
            self._frames.extend(frames)
        else:
            self._sort(self._held, frames)
        if not self._closed and (self._held is None or self._frames or self._is_full()):
            self._empty.clear()
        self._wake()

    def _sort(self, held: list[str | bytes], frames: list[str | bytes]) -> None:
        for frame in frames:
            if isinstance(frame, str):
                is_message = frame.startswith(engineio.MESSAGE)
                self._holds_last = is_message and not frame.startswith(ACKNOWLEDGEMENTS)
            (held if self._holds_last else self._frames).append(frame)

    def _is_full(self) -> bool:
        return self._held is not None and sum(map(len, self._held)) > self._limit

    def hold(self, limit: int) -> None:
        """Keep what comes from now on."""
        self._held, self._limit, self._holds_last = [], limit, False

    def release(self) -> None:
        """Let the reader have what was held."""
        held, self._held = self._held, None
        if held:
            self.put(held)

    def take(self) -> list[str | bytes]:
        """Return what was held, and what the reader has not read."""
        taken = [*self._frames, *(self._held or ())]
        self._frames.clear()
        self._held = None
        return taken

    @property
    def unread(self) -> bool:
        """Whether the reader has not read all that it is to read."""
        return bool(self._frames)

    def close(self) -> None:
        """Let the reader end after what is there."""
        self._closed = True
        self._wake()
        self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until the reader has read everything, or is gone."""
        await self._empty.wait()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> str | bytes | None:
        """Return the next frame, or None after the last one."""
        while not self._frames:
            if not self._is_full():
                self._empty.set()
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._frames.popleft()
