"""What waits for a client, and what becomes of one that does not read it."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ..protocol.frames import Frames
from ..utils.oneshot import OneShotEvent
from ..webservers.writers import Writer
from .interfaces import Hub


class Outbox(ABC):
    """
    The side of a connection on which frames leave.

    `writer` is where they go, `closed` is set when the connection is over.
    """

    __slots__ = ("_behind", "closed", "hub", "writer")

    sid: str

    def __init__(self, hub: Hub, writer: Writer) -> None:
        self.hub = hub
        self.writer = writer
        self.closed = OneShotEvent()
        # So many bytes may wait while the client is still read from.
        self._behind = hub.settings.OUTBOX_BYTES // 2

    @property
    @abstractmethod
    def transport(self) -> str:
        """How the client is connected now: "websocket", "polling" or "plain"."""

    @abstractmethod
    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something that this client may cause again and again; tell whether that was done."""

    @abstractmethod
    def attempt(self, step: Callable[..., object], *args: Any) -> None:
        """Call what is part of the connection's life: where that raises, the connection ends."""

    @abstractmethod
    def close(self, reason: str, detail: str = "") -> None:
        """End the connection for one of Socket.IO's reasons."""

    def send(self, frames: Frames, volatile: bool = False) -> None:
        """
        Send frames, unless the client reads too slowly: then volatile ones are dropped, and a
        client that is further behind than OUTBOX_BYTES is disconnected.
        """
        if self.closed.happened:
            return
        if self.writer.offer(frames):
            return
        if volatile:
            self.hub.counters.dropped += 1
        elif self.writer.buffered + frames.size > self.hub.settings.OUTBOX_BYTES:
            self.overflow()
        else:
            self.writer.write(frames)

    def overflow(self) -> None:
        """Cut a connection whose client does not read what it is sent."""
        self.hub.counters.cut += 1
        self.log(
            logging.WARNING,
            "slow-client",
            connection=self.sid[:12],
            transport=self.transport,
            buffered=self.writer.buffered,
        )
        self.attempt(self.writer.abort)
        self.close("transport error")

    def is_behind(self) -> bool:
        """Tell whether so much waits for the client that it is to read before it is heard again."""
        return self.writer.exceeds(self._behind)

    async def drain(self) -> None:
        """Wait until the client has kept up, or is gone. A fault of its writer is raised."""
        if not self.closed.happened:
            drained = asyncio.ensure_future(self.writer.drain())
            closed = self.closed.wait()
            await asyncio.wait({drained, closed}, return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
            if drained.done():
                drained.result()
            drained.cancel()
