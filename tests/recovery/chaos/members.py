"""Clients that come, go, drop and come back."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.recovery.chaos.links import Broken, Link, WebSocketLink
from tests.recovery.chaos.model import Model
from tests.recovery.chaos.places import LATE, NAMESPACES, Place
from tests.recovery.chaos.polling import STAGES, PollingLink
from tests.recovery.chaos.servers import Life, Server, Servers
from tests.recovery.chaos.sockets import Connection
from tests.recovery.chaos.stories import Story

WAYS_TO_DROP = ("abort", "abort", "close", "silent", "silent", "during the replay")
# The last ones lead requests to any server, and upgrades to another one than the polling.
WAYS = (
    *("websocket", "websocket", "websocket", "polling", "upgrade"),
    *("wandering polling", "upgrade elsewhere", "wandering upgrade elsewhere"),
)
PAUSES = (0, 0, 0.05, 0.5, 2, 5)

# How long a client waits until it is let in, where it waits for that.
PATIENCE = 60.0

# For how long it waits for something to drop in the midst of.
REPLAY_TIME = 10.0

# Two tasks: that the link has ended, and that its client is to drop in the midst of an upgrade.
Ends = set[asyncio.Task[Any]]

# Who is told how far whose upgrade is: the stage, the server that has it, and the one it goes to.
Watcher = Callable[[str, Server, Server], None]


class Member:
    """A client in all namespaces, in some rooms from its start and in others from time to time."""

    def __init__(
        self,
        name: str,
        rooms: list[str],
        model: Model,
        servers: Servers,
        choose: random.Random,
        watch: Watcher,
    ) -> None:
        self.name = name
        self.story = Story()
        self.counts: Counter[str] = Counter()
        self.places = [Place(self, namespace, rooms, model, servers) for namespace in NAMESPACES]
        # When it had waited in vain for so long that this is a fault.
        self.left_out: list[float] = []
        self.resting = False
        self.server: Server | None = None
        # Where its upgrade goes to.
        self.target: Server | None = None
        # The processes that it has come to, and when.
        self.visits: list[tuple[float, Life]] = []
        self._servers = servers
        self._choose = choose
        self._watch = watch
        self._connection = Connection([place.socket for place in self.places])
        self._drops_in_a_row = 0
        # At which stage of its upgrade it drops, and when that has come.
        self._cut_at = ""
        self._cut = asyncio.Event()
        self._zombies: list[Link] = []
        self._closing: set[asyncio.Task[None]] = set()

    def tell(self, what: str) -> None:
        """Add a line to its story."""
        self.story.tell(what)

    @property
    def connected(self) -> bool:
        """Whether it is let in everywhere."""
        return all(place.socket.connected for place in self.places)

    @property
    def lives(self) -> tuple[Life, ...]:
        """The processes that may handle what it sends."""
        servers = (self.server, self.target)
        return tuple(server.life for server in servers if server is not None)

    # Its life

    async def live(self) -> None:
        """Connect, drop and come back, again and again until cancelled."""
        while True:
            try:
                self._connection.link = await self._open()
                await self._stay()
            except Broken as error:
                self.tell(f"broken: {error!r}"[:200])
                self._drop("broken")
                await asyncio.sleep(0.2)
            while len(self._zombies) > 3 or (self._zombies and self.resting):
                self._zombies.pop(0).abort()
            if not self.resting:
                await asyncio.sleep(0 if self._drops_in_a_row else self._choose.choice(PAUSES))

    def _visit(self, server: Server) -> None:
        """Take note that a server may have the client's sessions from now on."""
        now = time.monotonic()
        # One that it asked before may take its session when it comes to that.
        self.visits = [visit for visit in self.visits if visit[0] > now - LATE]
        self.visits.append((now, server.life))
        for place in self.places:
            place.visit(now, server.life)

    async def _open(self) -> Link:
        way = self._choose.choice(WAYS)
        self.server, self.target = self._servers.choose(self._choose), None
        server = self.server
        self._visit(server)
        self.counts[f"by {way}"] += 1
        self.tell(f"connects to {server} by {way}")
        self._cut.clear()
        if way == "websocket":
            return await WebSocketLink.open(server.port)

        def choose_port() -> int:
            return (self._servers.choose(self._choose) if "wandering" in way else server).port

        link = await PollingLink.open(server.port, choose_port)
        if "upgrade" in way:
            elsewhere = self._servers.choose(self._choose, server)
            target = elsewhere if "elsewhere" in way else server
            self._cut_at = self._choose.choice(STAGES) if self._choose.random() < 0.2 else ""
            link.upgrade(target.port, lambda stage: self._at_stage(stage, link, server, target))
        return link

    async def _at_stage(self, stage: str, link: Link, server: Server, target: Server) -> None:
        if link is not self._connection.link:  # it has dropped
            return
        self.tell(f"{stage} at {target}")
        if stage == STAGES[0]:
            self.target = target
            self._visit(target)
        if server is not target:
            self.counts[f"{stage}, elsewhere"] += 1
            self._watch(stage, server, target)
        if stage == self._cut_at and not self.resting:
            self._cut.set()
            await asyncio.get_running_loop().create_future()  # the link ends without more

    async def _stay(self) -> None:
        """Listen for a time, and then drop in some way."""
        how = self._choose.choice(WAYS_TO_DROP)
        if not self._drops_in_a_row and self._choose.random() < 0.03:
            self._drops_in_a_row = 10
        if self._drops_in_a_row:
            self._drops_in_a_row -= 1
            how = "during the replay"
        amid_replay = how == "during the replay" and not self.resting
        at_most = self._choose.randrange(8) if amid_replay else -1
        listening = asyncio.create_task(self._connection.listen(at_most))
        cutting = asyncio.create_task(self._cut.wait())
        ends: Ends = {listening, cutting}
        try:
            if amid_replay:
                await asyncio.wait(ends, timeout=REPLAY_TIME, return_when="FIRST_COMPLETED")
            else:
                await self._listen(ends)
        finally:
            was_cut, was_ended = cutting.done(), listening.done()
            listening.cancel()
            cutting.cancel()
        await asyncio.wait({listening})
        if not listening.cancelled():
            listening.result()
        if was_cut:
            self.counts[f"dropped when it {self._cut_at}"] += 1
        self._drop("ended by the server" if was_ended and not amid_replay else how)

    async def _listen(self, ends: Ends) -> None:
        """Take what comes for a time, or until one of the ends has come."""
        if self._choose.random() < 0.7 or self.resting:
            await self._wait_until_let_in(ends)
        time_to_stay = self._choose.expovariate(1 / 4)
        await asyncio.wait(ends, timeout=time_to_stay, return_when="FIRST_COMPLETED")
        while self.resting and not _any_done(ends):
            await asyncio.wait(ends, timeout=0.1, return_when="FIRST_COMPLETED")
        if not _any_done(ends) and self._choose.random() < 0.3:
            await self._do_something_last()

    async def _wait_until_let_in(self, ends: Ends) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (self.connected or _any_done(ends)):
            if time.monotonic() > deadline:
                self.counts["never let in"] += 1
                self.left_out.append(time.monotonic())
                return
            await asyncio.wait(ends, timeout=0.05, return_when="FIRST_COMPLETED")

    async def _do_something_last(self) -> None:
        """Join or leave a room just before the drop, and do not always wait for the answer."""
        place = self._choose.choice(self.places)
        moving = asyncio.create_task(place.move_somewhere(self._choose))
        await asyncio.wait({moving}, timeout=self._choose.choice((0, 0.002, 2, 2)))
        self.counts["moved just before a drop"] += 1
        self._closing.add(moving)
        moving.add_done_callback(self._closing.discard)

    def _drop(self, how: str) -> None:
        self.counts[f"dropped: {how}"] += 1
        offsets = ", ".join(place.socket.offset for place in self.places)
        self.tell(f"drops: {how}, connected={self.connected}, offsets={offsets}")
        link = self._connection.give_up()
        for place in self.places:
            place.drop()
        if link is None:
            return
        if how == "silent":
            self._zombies.append(link)
        elif how == "close":
            closing = asyncio.create_task(link.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        else:
            link.abort()


def _any_done(ends: Ends) -> bool:
    return any(task.done() for task in ends)
