"""
The clients of the storm.

Every client takes the next process at each attempt, and at once another one where it is refused, as
behind a proxy; after a drop it waits as long as the official one does by default, and comes back
with its `pid` and the last offset.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..servers import HOST
from ..site import session_cookie
from .frames import CLOSE, take_frames, text_frame

# The official client's reconnectionDelay, reconnectionDelayMax and randomizationFactor.
DELAY, DELAY_MAX, JITTER = 1.0, 5.0, 0.5

ROOM = "room0"
JOIN, JOINED = f'421["join","{ROOM}"]', "431"


@dataclass
class Crowd:
    """All clients: where they connect, and what has happened to them since `began`."""

    ports: Sequence[int]
    began: float = 0.0
    back: int = 0
    last_back: float = 0.0
    dropped: int = 0
    refused: int = 0
    recovered: int = 0
    told: int = 0
    missing: int = 0
    doubled: int = 0
    connects: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.ports)
        self.clients: list[Client] = []

    def next_port(self) -> int:
        """Return the port whose turn it is."""
        return next(self._turn)

    async def connect(self, count: int) -> None:
        """Let so many more clients connect at once. Raises RuntimeError if they cannot."""
        batch = [Client(self) for _ in range(count)]
        self.clients += batch
        for client in batch:
            client.start()
        wanted = len(self.clients)
        if not await self.until(lambda: self.connected >= wanted, 60):
            raise RuntimeError(f"only {self.connected} of {wanted} clients could connect")

    @property
    def connected(self) -> int:
        """How many clients are in the namespace and in the room now."""
        return sum(client.is_in for client in self.clients)

    def count_behind(self, number: int) -> int:
        """Return how many clients have not got what was sent up to this number."""
        return sum(client.last is None or client.last < number for client in self.clients)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition of the clients holds; tell whether it came in time."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return False
        return True


class Client(asyncio.Protocol):
    """
    One client on a WebSocket, which comes back whenever it is dropped.

    `last` is the last number that it has got since it came, or since it was told of a loss.
    """

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.is_in = False
        self.last: int | None = None
        self._pid, self._offset = "", ""
        self._data = bytearray()
        self._open = False
        self._started = 0.0
        self._dropped_at = 0.0
        self._attempts = 0
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, in a task."""
        self._task = asyncio.get_running_loop().create_task(self._connect())

    def send(self, text: str) -> None:
        """Send a packet."""
        assert self._transport is not None
        self._transport.write(text_frame(text))

    async def _connect(self) -> None:
        """Try one process after the other, and wait a little where none takes it."""
        while True:
            for _ in self.crowd.ports:
                self._data, self._open, self._started = bytearray(), False, time.monotonic()
                self._answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
                port = self.crowd.next_port()
                try:
                    loop = asyncio.get_running_loop()
                    await loop.create_connection(lambda: self, HOST, port)
                    if await self._answered:
                        return
                except OSError:
                    pass
                self.crowd.refused += 1
            await self._wait()

    async def _wait(self) -> None:
        delay = min(DELAY_MAX, DELAY * 2**self._attempts) * random.uniform(1 - JITTER, 1 + JITTER)
        self._attempts += 1
        await asyncio.sleep(delay)

    async def _come_back(self) -> None:
        await self._wait()
        await self._connect()

    # What the server does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            b"Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            + f"Cookie: {session_cookie()}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._data += data
        if not self._open:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._transport.close()
                return
            self._open, self._data = True, rest
        for opcode, content in take_frames(self._data):
            if opcode == CLOSE:
                self._transport.close()
            else:
                self._take(content.decode())

    def _take(self, text: str) -> None:
        if text[:2] == "42":
            self._take_number(*json.loads(text[2:])[1:])
        elif text[:1] == "2":
            self.send("3")
        elif text[:1] == "0":
            known = {"pid": self._pid, "offset": self._offset}
            self.send("40" + json.dumps({key: value for key, value in known.items() if value}))
        elif text[:2] == "40":
            self._take_answer(json.loads(text[2:]))
        elif text[:3] == JOINED:
            self._enter()

    def _take_answer(self, answer: dict[str, Any]) -> None:
        pid = answer.get("pid", "")
        if pid and pid == self._pid:
            self.crowd.recovered += 1
            self._enter()
            return
        if self._dropped_at:  # it is told that it may have missed something
            self.crowd.told += 1
        self._pid, self._offset, self.last = pid, "", None
        self.send(JOIN)

    def _take_number(self, number: int, offset: str = "") -> None:
        if self.last is not None:
            self.crowd.missing += max(0, number - self.last - 1)
            self.crowd.doubled += number <= self.last
        self.last, self._offset = number, offset
        self.crowd.changed.set()

    def _enter(self) -> None:
        now, crowd = time.monotonic(), self.crowd
        self.is_in, self._attempts = True, 0
        if not self._answered.done():
            self._answered.set_result(True)
        if crowd.began:
            crowd.connects.append(now - self._started)
        if self._dropped_at:
            crowd.back += 1
            crowd.last_back = now
            crowd.away.append(now - self._dropped_at)
        crowd.changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_result(False)  # and another process is tried
        elif self.is_in:
            self.is_in = False
            self.crowd.dropped += 1
            self._dropped_at = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._come_back())
        self.crowd.changed.set()
