"""How a hub gets rid of its clients: no new ones come in, and all others are told to go."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from math import ceil

from ..logs import log
from ..transports.connection import Connection
from .interfaces import Hub

# So many clients are told at a time, and how often: more only where DRAIN_SECONDS are too short
# for that. A small site's are told all at once.
WAVE_CLIENTS = 32
WAVE_INTERVAL = 0.05

# How long handlers that are at work keep a client, so that it gets their acknowledgements.
HANDLERS_TIME = 2.0

REASON = "server shutting down"


class Drain:
    """The end of a hub's clients, which nothing takes back but a restart of the process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        # Those that tell clients whose handlers are at work.
        self._waiting: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Take no more clients from now on, nor sessions: all hubs are told."""
        if not self._hub.draining:
            self._hub.draining = True
            self._hub.departures.keep()
            self._hub.services.spawn(self._hub.cluster.announce())
            log(logging.INFO, "draining", connections=len(self._hub.connections))

    async def finish(self) -> None:
        """Get rid of the clients; return when the last one is told. Who calls again waits too."""
        self.begin()
        if self._task is None:
            self._task = self._hub.services.spawn(self._tell_clients())
        await asyncio.wait({self._task})

    def hurry(self) -> None:
        """Tell those that are left at once, and wait for no handler."""
        self._hurried.set()
        for connection in list(self._hub.connections.values()):
            connection.close(REASON)
        for task in self._waiting:
            task.cancel()

    async def _tell_clients(self) -> None:
        """Tell all clients to go: in waves, so that they do not all come back at the same time."""
        deadline = self._hub.loop.time() + self._hub.settings.DRAIN_SECONDS
        connections = self._hub.connections
        told = list(connections.values())
        await self._tell_in_waves(told, deadline)
        # Who was moving here has no way back.
        await self._hub.arrivals.finish()
        await self._tell_in_waves(set(connections.values()).difference(told), deadline)
        while self._waiting:
            await asyncio.wait(self._waiting)

    async def _tell_in_waves(self, connections: Iterable[Connection], deadline: float) -> None:
        left = deque(connections)
        while left:
            for _ in range(_wave_size(len(left), deadline - self._hub.loop.time())):
                self._tell(left.popleft())
            if left:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(WAVE_INTERVAL):
                await self._hurried.wait()
        except TimeoutError:
            pass

    def _tell(self, connection: Connection) -> None:
        """Tell a client to go, now or when its handlers are done."""
        if connection.at_work and not self._hurried.is_set():
            task = self._hub.spawn(self._tell_when_done(connection))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        else:
            connection.close(REASON)

    async def _tell_when_done(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(HANDLERS_TIME):
                await connection.wait_done()
        except TimeoutError:
            pass
        finally:
            connection.close(REASON)


def _wave_size(clients: int, seconds: float) -> int:
    """Return how many of the clients that are left to tell now, to be done in these seconds."""
    waves = max(1, int(seconds / WAVE_INTERVAL))
    return min(clients, max(WAVE_CLIENTS, ceil(clients / waves)))
