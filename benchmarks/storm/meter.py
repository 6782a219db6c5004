"""How much of a core each process uses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psutil

from ..servers import Server

# Seconds from one look to the next.
SAMPLE = 0.5


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
