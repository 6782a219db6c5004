"""The servers: they are stopped, killed, made to stand still, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import signal
import subprocess
import time

from tests.clusters import LiveCluster
from tests.live import LiveServer
from tests.processes import CLEAN_EXITS

# How long a server may take to stop.
PATIENCE = 40


class Life:
    """
    One process of a server, from its start to its end.

    It is `ending` when it was told to stop, and `killed` where what it had is lost.
    """

    def __init__(self) -> None:
        self.ending = False
        self.killed = False


class Server:
    """
    A server that clients may connect to while it is `open`. What it had `survives` where nothing is
    lost with a process that is killed.
    """

    def __init__(self, live: LiveServer, name: str, *, survives: bool) -> None:
        self.live = live
        self.name = name
        self.port = live.port
        self.open = True
        self.life = Life()
        self._survives = survives
        # How much of the log was looked at.
        self._looked = 0

    def __repr__(self) -> str:
        return self.name

    def is_slow(self) -> bool:
        """Tell whether it has said since the last look that others, or Valkey, take long."""
        before, log = self._looked, self.live.log
        self._looked = len(log)
        return " layer-slow " in log[before:]

    def terminate(self) -> None:
        """Tell it to stop, by SIGTERM, as a deploy does."""
        self.open = False
        self.life.ending = True
        self.live.terminate()

    async def wait_stopped(self) -> bool:
        """Wait until it has ended; tell whether it has, in time, as it was told to."""
        is_clean = await asyncio.to_thread(self._wait) in CLEAN_EXITS
        if self.life.ending and not is_clean:
            self._note_killed()
        return is_clean

    def _wait(self) -> int | None:
        assert self.live.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.live.process.wait(PATIENCE)
        return self.live.kill()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.open = False
        self._note_killed()
        self.live.kill()

    def _note_killed(self) -> None:
        self.life.killed = not self._survives

    async def stall(self, seconds: float) -> None:
        """Let it stand still for a time."""
        life, pid = self.life, self.live.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if self.life is life and self.live.running:
                os.kill(pid, signal.SIGCONT)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.live.start)
        self.life = Life()
        self.open = True


class Servers:
    """All servers of a cluster."""

    def __init__(self, cluster: LiveCluster, *, survives: bool) -> None:
        # When one of them, Valkey or this machine has stood still.
        self.stalls: list[float] = []
        self.all = [
            Server(live, f"{live.kind} {number}", survives=survives)
            for number, live in enumerate(cluster.servers)
        ]

    @property
    def stood_still(self) -> float:
        """When something has stood still last."""
        return self.stalls[-1] if self.stalls else -math.inf

    @property
    def lives(self) -> set[Life]:
        """All processes."""
        return {server.life for server in self.all}

    def look(self) -> int:
        """Take note of those that say that something is slow; return how many they are."""
        slow = sum(server.is_slow() for server in self.all)
        if slow:
            self.note_stall()
        return slow

    def note_stall(self) -> None:
        """Take note that something has just stood still."""
        self.stalls.append(time.monotonic())

    def choose(self, choose: random.Random, but: Server | None = None) -> Server:
        """Return one that clients may connect to, another one than `but` if there is any."""
        there = [server for server in self.all if server.open] or self.all
        return choose.choice([server for server in there if server is not but] or there)
