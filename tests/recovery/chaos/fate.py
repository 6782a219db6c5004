"""What befalls the servers: they are restarted, killed, and stand still, and so does Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from tests.recovery.chaos.members import Member
from tests.recovery.chaos.model import Model
from tests.recovery.chaos.polling import STAGES
from tests.recovery.chaos.servers import Server, Servers
from tests.valkey import Valkey

# For how long an upgrade is waited for, in whose midst something is to happen.
TRAP_TIME = 8.0

# For how long a server stands still, and for how long Valkey does.
STALLS = 1.0, 3.0
PAUSES = 0.3, 1.5


@dataclass
class Ends:
    """
    How servers end: one every so many seconds, about, of which so many are killed; and every so
    many seconds something stands still, never where that is 0.
    """

    every: float
    kills: float
    stalls_every: float


class Trap:
    """What is done in the midst of an upgrade to another server, at a stage of it."""

    def __init__(self, stage: str, whose: int, do: Callable[[Server], None]) -> None:
        self.done: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        self._stage = stage
        self._whose = whose
        self._do = do

    def spring(self, stage: str, *servers: Server) -> None:
        """Do it to one of both servers, if this is the stage."""
        server = servers[self._whose]
        if stage == self._stage and server.open and not self.done.done():
            self._do(server)
            self.done.set_result(server)


class Fate:
    """Ends servers, and starts them again."""

    def __init__(
        self,
        servers: Servers,
        valkey: Valkey,
        ends: Ends,
        model: Model,
        counts: Counter[str],
    ) -> None:
        self.members: Sequence[Member] = ()
        self._servers = servers
        self._valkey = valkey
        self._ends = ends
        self._model = model
        self._counts = counts
        self._trap: Trap | None = None

    def watch(self, stage: str, server: Server, target: Server) -> None:
        """Take note of how far an upgrade from a server to another one is."""
        if self._trap is not None:
            self._trap.spring(stage, server, target)

    async def befall(self, choose: random.Random, ending: asyncio.Event) -> None:
        """End servers, one way or another, until it is over."""
        while not await _is_over(ending, self._ends.every * choose.uniform(0.5, 1.5)):
            one, other, *_ = choose.sample(self._servers.all, len(self._servers.all))
            killed = choose.random() < self._ends.kills
            kind = choose.random()
            if kind < 0.35:
                await self._end_amid_upgrade(choose, one, killed)
            elif killed:
                await self._end(one, self._kill)
            elif kind < 0.6:
                await self._end(one, self._terminate)
            elif kind < 0.8 and len(self._servers.all) > 2:
                self._counts["two SIGTERMs at once"] += 1
                await self._stop_both(one, other)
            else:
                self._counts["rolling restarts"] += 1
                for server in choose.sample(self._servers.all, len(self._servers.all)):
                    await self._end(server, self._terminate)

    async def let_stand_still(self, choose: random.Random, ending: asyncio.Event) -> None:
        """Let servers, and Valkey, stand still for a moment now and then, until it is over."""
        if not self._ends.stalls_every:
            return
        while not await _is_over(ending, self._ends.stalls_every * choose.uniform(0.5, 1.5)):
            server = choose.choice(self._servers.all)
            if choose.random() < 0.3:
                await self._pause("Valkey", self._stall_valkey(choose.uniform(*PAUSES)))
            elif server.open:
                await self._pause(str(server), server.stall(choose.uniform(*STALLS)))

    async def _pause(self, what: str, stall: Coroutine[Any, Any, None]) -> None:
        self._counts[f"{what} stood still"] += 1
        self._tell(f"{what} stands still")
        self._servers.note_stall()
        await stall
        self._servers.note_stall()
        self._tell(f"{what} goes on")

    async def _stall_valkey(self, seconds: float) -> None:
        self._valkey.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._valkey.resume()

    def _tell(self, what: str) -> None:
        for member in self.members:
            member.tell(what)

    def _terminate(self, server: Server) -> None:
        self._counts["SIGTERM"] += 1
        self._tell(f"{server} is told to stop")
        server.terminate()
        for member in self.members:
            for place in member.places:
                place.note_endings()

    def _kill(self, server: Server) -> None:
        self._counts["SIGKILL"] += 1
        self._tell(f"{server} is killed")
        server.kill()
        if server.life.killed:
            self._model.killed(server.life, time.monotonic())

    async def _end(self, server: Server, end: Callable[[Server], None]) -> None:
        end(server)
        await self._start_again(server)

    async def _stop_both(self, one: Server, other: Server) -> None:
        self._terminate(one)
        self._terminate(other)
        await asyncio.gather(self._start_again(one), self._start_again(other))

    async def _start_again(self, server: Server) -> None:
        """Start a server that was told to stop, or killed, when it has ended."""
        if not await server.wait_stopped() and server.life.ending:
            self._counts["did not stop"] += 1
        await server.start()
        self._tell(f"{server} is there again")

    async def _end_amid_upgrade(self, choose: random.Random, one: Server, killed: bool) -> None:
        """End a server in the midst of an upgrade, if there is any; else as it is."""
        end = self._kill if killed else self._terminate
        self._trap = Trap(choose.choice(STAGES), choose.randrange(2), end)
        try:
            async with asyncio.timeout(TRAP_TIME):
                server = await self._trap.done
        except TimeoutError:
            await self._end(one, end)
            return
        finally:
            self._trap = None
        self._counts[f"{'SIGKILL' if killed else 'SIGTERM'} amid an upgrade"] += 1
        await self._start_again(server)


async def _is_over(ending: asyncio.Event, pause: float) -> bool:
    """Wait for a time; tell whether it is over."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ending.wait(), pause)
    return ending.is_set()
