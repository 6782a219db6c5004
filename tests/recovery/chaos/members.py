"""Clients that come, go, drop and come back, and keep what they hear."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

from tests.recovery.chaos.links import Broken, Link
from tests.recovery.chaos.model import Model, Session
from tests.recovery.chaos.servers import Server, Servers
from tests.recovery.chaos.sockets import ClientSocket

NAMESPACE = "/recovery"
WAYS_TO_DROP = ("abort", "abort", "close", "silent", "silent", "during the replay")
WAYS = ("websocket", "websocket", "websocket", "polling", "upgrade")
STORY = 20_000

# For how long a CONNECT may lead to something whose client has dropped before it was answered.
LATE = 20.0


class Member:
    """A client, which is in some rooms from its start and in others from time to time."""

    def __init__(
        self, name: str, rooms: list[str], model: Model, servers: Servers, choose: random.Random
    ) -> None:
        self.name = name
        self.rooms = rooms
        self.counts: Counter[str] = Counter()
        self.story: list[tuple[float, str]] = []
        self.session: Session | None = None
        # When it was told of a loss for nothing, and who it was.
        self.losses: list[tuple[float, str]] = []
        self.resting = False
        self.entries = 0
        self.way = ""
        self.server: Server | None = None
        # The processes that may have its session.
        self.holders: set[object] = set()
        # When it has asked which.
        self._visits: list[tuple[float, object]] = []
        self.moving: set[str] = set()
        # Whether it is told of a loss when a process is killed that has its session.
        self.excuses_kills = True
        self._model = model
        self._servers = servers
        self._choose = choose
        self._socket = ClientSocket(NAMESPACE, self._hear, self._enter)
        self._asked = 0.0
        self._zombies: list[Link] = []

    def tell(self, what: str) -> None:
        """Add a line to its story."""
        self.story.append((time.monotonic(), what))
        del self.story[:-STORY]

    @property
    def connected(self) -> bool:
        return self._socket.connected

    # Its life

    async def live(self) -> None:
        """Connect, drop and come back, again and again until cancelled."""
        while True:
            self.server = self._servers.choose(self._choose)
            self.way = self._choose.choice(WAYS)
            self.holders.add(self.server.life)
            self._asked = time.monotonic()
            self._visits.append((self._asked, self.server.life))
            self.tell(f"connects to {self.server} by {self.way}")
            try:
                await self._socket.open(self.way, self.server.port, self._auth())
                await self._stay()
            except Broken as error:
                self.tell(f"broken: {error!r}"[:200])
                self._drop("broken")
                await asyncio.sleep(0.2)
            while len(self._zombies) > 3 or (self._zombies and self.resting):
                self._zombies.pop(0).abort()
            if not self.resting:
                await asyncio.sleep(self._choose.choice((0, 0, 0.05, 0.5, 2, 5)))

    def _auth(self) -> dict[str, Any]:
        return {"rooms": self.rooms}

    async def _stay(self) -> None:
        """Listen for a time, and then drop in some way."""
        how = self._choose.choice(WAYS_TO_DROP)
        if how == "during the replay" and not self.resting:
            await self._socket.listen(self._choose.randrange(6))
        else:
            listening = asyncio.create_task(self._socket.listen())
            try:
                await asyncio.wait({listening}, timeout=self._choose.expovariate(1 / 4))
                while self.resting and not listening.done():
                    await asyncio.wait({listening}, timeout=0.1)
            finally:
                listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
                how = "ended by the server"
        self._drop(how)

    def _drop(self, how: str) -> None:
        self.counts[f"dropped: {how}"] += 1
        self.tell(f"drops: {how}, connected={self.connected}, offset={self._socket.offset}")
        link = self._socket.give_up()
        if self.session is not None:
            self.session.away = True
        if link is None:
            return
        if how == "silent":
            self._zombies.append(link)
        elif how == "close":
            self._closing = asyncio.create_task(link.close())
        else:
            link.abort()

    # What comes

    def _enter(self, answer: dict[str, Any], recovered: bool) -> None:
        now = time.monotonic()
        assert self.server is not None
        if recovered and self.session is not None and answer["sid"] == self.session.sid:
            self.session.away = False
            self.counts["recovered"] += 1
        else:
            if self.session is not None:
                killed = any(getattr(life, "killed", False) for life in self.holders)
                excused = killed and self.excuses_kills
                self.counts["told of a loss" if excused else "told of a loss for nothing"] += 1
                if not excused:
                    self.losses.append((now, self.session.sid))
            rooms = frozenset(self.rooms)
            self.session = Session(answer["sid"], self._asked, now, rooms)
            self._model.sessions[self.name].append(self.session)
        self.tell(f"is let in as {answer['sid']}: {'recovered' if recovered else 'new'}")
        self.entries += 1
        # One that it asked before may take its session when it comes to that.
        self._visits = [visit for visit in self._visits if visit[0] > now - LATE]
        self.holders = {self.server.life, *(life for _, life in self._visits)}
        if not self.server.open:  # it is about to stop, and hands it to some other
            self.holders |= {server.life for server in self._servers.all}

    def _hear(self, args: list[Any]) -> None:
        if args[0] == "n":
            assert self.session is not None
            self.session.arrivals.append((time.monotonic(), args[1]))
            self.tell(f"hears {args[1]} at {args[-1]}")

    def has_heard(self, number: int) -> bool:
        """Tell whether a number has come in this session."""
        assert self.session is not None
        return any(number == heard for _, heard in self.session.arrivals[-1000:])

    # What it does

    async def call(self, *args: Any) -> list[Any]:
        """Emit an event and wait for its acknowledgement."""
        return await self._socket.call(*args)
