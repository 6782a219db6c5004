"""
What waits for the channel layer, in order and within a bound.

One batch is on its way at a time. Messages that come meanwhile are gathered into the next one, all
for one lane into one layer message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ..logs import log
from .envelopes import pack
from .layer_connection import PARALLEL
from .sequences import MAX_LANES, Lane, Outgoing

# Bytes that may wait in this process, after which messages are refused and counted.
BACKLOG_BYTES = 64 * 1024 * 1024

# A layer message holds no more than this, but for a single envelope that is larger.
MESSAGE_BYTES = 4 * 1024 * 1024

Transmit = Callable[[Lane, dict[str, Any]], Awaitable[None]]


class Batch:
    """
    Envelopes that may leave together: no two of their lanes need to keep an order.

    Lanes of one name leave as one, whatever their namespaces: their messages are counted together.
    """

    __slots__ = ("_marks", "_named", "lanes")

    def __init__(self) -> None:
        self.lanes: dict[Lane, list[bytes]] = {}
        self._named: dict[str, Lane] = {}
        self._marks: set[tuple[str | None, bool]] = set()

    def takes(self, lane: Lane) -> bool:
        """Tell whether an envelope for this lane may join the batch."""
        if lane in self.lanes:
            return True
        if lane.exclusive or any(other.exclusive for other in self._first()):
            return not self.lanes
        return (lane.namespace, not lane.wide) not in self._marks

    def _first(self) -> list[Lane]:
        return [next(iter(self.lanes))] if self.lanes else []

    def add(self, lane: Lane, body: bytes) -> None:
        """Add an encoded envelope for a lane."""
        self.lanes.setdefault(self._named.setdefault(lane.name, lane), []).append(body)
        self._marks.add((lane.namespace, lane.wide))


class Publisher:
    """Hands messages to `transmit`, which returns when the layer has one, or has lost it."""

    new_batch: Callable[[], Any] = Batch

    def __init__(self, server: str, transmit: Transmit) -> None:
        self.lost = 0
        self.backlog = 0
        self.outgoing = Outgoing()
        self._server = server
        self._transmit = transmit
        self._batches: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._full = False
        # Lanes for which something was refused, until that is told.
        self._holes: set[str] = set()

    def put(self, lane: Lane, body: bytes) -> bool:
        """Take an encoded envelope, without waiting; tell whether there was room."""
        if self.backlog + len(body) > BACKLOG_BYTES:
            self._refuse(lane)
            return False
        if not self._batches or not self._batches[-1].takes(lane):
            self._batches.append(self.new_batch())
        self._batches[-1].add(lane, body)
        self.backlog += len(body)
        self._wake.set()
        return True

    def _refuse(self, lane: Lane) -> None:
        self.lost += 1
        if len(self._holes) < MAX_LANES:
            self._holes.add(lane.name)
        if not self._full:
            self._full = True
            log(logging.ERROR, "layer-backlog-full", namespace=lane.namespace, bytes=self.backlog)

    async def run(self) -> None:
        """Hand what waits to the layer, batch by batch, for ever."""
        while True:
            while self._batches:
                await self._send(self._batches.popleft())
            if self._full:
                self._full = False
                log(logging.WARNING, "layer-backlog-sent", lost=self.lost)
                self._tell_holes()
            self._wake.clear()
            await self._wake.wait()

    def _tell_holes(self) -> None:
        """Count what was refused as sent: the next beat tells who hears those lanes that it was."""
        for lane in self._holes:
            self.outgoing.sent(lane, self.outgoing.next(lane))
        self._holes.clear()

    async def _send(self, batch: Any) -> None:
        lanes = deque(batch.lanes.items())

        async def serve() -> None:
            while lanes:
                await self._send_lane(*lanes.popleft())

        try:
            if len(lanes) == 1:
                await serve()
                return
            senders = [serve() for _ in range(min(PARALLEL, len(lanes)))]
            for error in await asyncio.gather(*senders, return_exceptions=True):
                if error is not None:
                    raise error
        finally:
            for _, bodies in lanes:  # after an error that nobody has expected
                self._lose(bodies)

    async def _send_lane(self, lane: Lane, bodies: list[bytes]) -> None:
        parts = deque(_parts(bodies))
        try:
            while parts:
                position = self.outgoing.next(lane.name)
                await self._transmit(lane, pack(self._server, lane.name, *position, parts[0]))
                self.outgoing.sent(lane.name, position)
                self._free(parts.popleft())
        finally:
            for part in parts:
                self._lose(part)

    def _lose(self, bodies: list[bytes]) -> None:
        self.lost += len(bodies)
        self._free(bodies)

    def _free(self, bodies: list[bytes]) -> None:
        self.backlog -= sum(map(len, bodies))
        self._room.set()

    async def drain(self, waiting: int = BACKLOG_BYTES // 4) -> None:
        """Wait until no more bytes than that wait for the layer."""
        while self.backlog > waiting:
            self._room.clear()
            await self._room.wait()


def _parts(bodies: list[bytes]) -> list[list[bytes]]:
    """Return the bodies in parts of at most MESSAGE_BYTES."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for body in bodies:
        if parts[-1] and size + len(body) > MESSAGE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(body)
        size += len(body)
    return parts
