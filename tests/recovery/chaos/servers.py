"""The servers: they are stopped, killed, and started again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.clusters import LiveCluster
from tests.live import LiveServer
from tests.processes import CLEAN_EXITS

# How long a server may take to stop.
PATIENCE = 40


class Life:
    """One process of a server, from its start to its end."""

    def __init__(self) -> None:
        self.killed = False


class Server:
    """A server that clients may connect to while it is `open`."""

    def __init__(self, live: LiveServer, name: str) -> None:
        self.live = live
        self.name = name
        self.port = live.port
        self.open = True
        self.life = Life()

    def __repr__(self) -> str:
        return self.name

    async def stop(self) -> bool:
        """End it by SIGTERM, as a deploy does; tell whether it went."""
        self.open = False
        code = await asyncio.to_thread(self.live.stop, PATIENCE)
        if code not in CLEAN_EXITS:
            self.life.killed = True
        return code in CLEAN_EXITS

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.open = False
        self.life.killed = True
        self.live.kill()

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.live.start)
        self.life = Life()
        self.open = True


class Servers:
    """All servers of a cluster."""

    def __init__(self, cluster: LiveCluster) -> None:
        self.all = [
            Server(live, f"{live.kind} {number}") for number, live in enumerate(cluster.servers)
        ]

    def choose(self, choose: random.Random) -> Server:
        """Return one that clients may connect to."""
        return choose.choice([server for server in self.all if server.open])

    def find(self, text: str) -> dict[str, Any]:
        """Return the lines of all logs that have a text in them."""
        return {
            server.name: [line for line in server.live.log.splitlines() if text in line]
            for server in self.all
        }
