"""Who sends to clients: the servers, a process without clients, and the clients themselves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from tests.clusters import LiveCluster
from tests.recovery.chaos.links import Broken, WebSocketLink
from tests.recovery.chaos.members import Member
from tests.recovery.chaos.model import Model
from tests.recovery.chaos.outside import outside_process
from tests.recovery.chaos.payloads import payload_of
from tests.recovery.chaos.places import NAMESPACES, ROOMS, Place
from tests.recovery.chaos.servers import Life, Server
from tests.recovery.chaos.sockets import ClientSocket, Connection

DRIVER = "/recovery-driver"
MOST_AT_ONCE, MOST_MOVES = 20, 3


class To(NamedTuple):
    """What an event is sent to, and whether it is volatile."""

    namespace: str
    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    volatile: bool = False


class Driver:
    """Who lets a process of a server send."""

    def __init__(self, name: str, life: Life, socket: ClientSocket, choose: random.Random) -> None:
        self.name = name
        self.life = life
        self.socket = socket
        self.choose = choose
        self.marked = False


Asks = set[asyncio.Task[None]]

# What is done next with a driver: it may begin one of the tasks that are asked for.
Work = Callable[[Driver, Asks], Coroutine[Any, Any, None]]


class Senders:
    """All who send, about every `pause` seconds each, until `over` says that it is over."""

    def __init__(
        self,
        model: Model,
        members: Sequence[Member],
        counts: Counter[str],
        choose: Callable[[str], random.Random],
        pause: float,
        over: Callable[[], bool],
    ) -> None:
        # The last of each server and namespace, which all there are to hear.
        self.marks: dict[str, list[int]] = {namespace: [] for namespace in NAMESPACES}
        self._model = model
        self._members = members
        self._counts = counts
        self._choose = choose
        self._pause = pause
        self._over = over
        self._incarnations = itertools.count(1)

    def _choose_target(self, choose: random.Random) -> To:
        namespace = choose.choice(NAMESPACES)
        kind = choose.random()
        if kind < 0.5:
            rooms: tuple[str, ...] = (choose.choice(ROOMS),)
        elif kind < 0.7:
            rooms = tuple(sorted(choose.sample(ROOMS, 2)))
        elif kind < 0.95:
            rooms = (self._choose_sid(choose, namespace) or choose.choice(ROOMS),)
        else:
            rooms = ()
        excluded: tuple[str, ...] = ()
        if choose.random() < 0.2:
            sid = self._choose_sid(choose, namespace) or "nobody"
            excluded = (choose.choice([*ROOMS, sid]),)
        return To(namespace, rooms, excluded, choose.random() < 0.1)

    def _choose_sid(self, choose: random.Random, namespace: str) -> str | None:
        session = self._choose_place(choose, namespace).session
        return None if session is None else session.sid

    def _choose_place(self, choose: random.Random, namespace: str) -> Place:
        member = choose.choice(self._members)
        return member.places[NAMESPACES.index(namespace)]

    # Servers

    async def drive(self, server: Server) -> None:
        """Send from a server, as it comes and goes."""
        await self._drive(server, f"driver of {server}", self._send_next, MOST_AT_ONCE)

    async def drive_moves(self, server: Server) -> None:
        """
        Let clients join and leave rooms from a server, as it comes and goes: by a socket of its
        own, since its events wait until that is in effect.
        """
        await self._drive(server, f"mover of {server}", self._move_next, MOST_MOVES)

    async def _drive(self, server: Server, name: str, do: Work, most: int) -> None:
        """Do things at a server, so many at a time, with one driver after the other."""
        choose = self._choose(name)
        while True:
            if not server.open:
                await asyncio.sleep(0.05)
                continue
            socket = ClientSocket(DRIVER, {}, lambda args: None, lambda answer, recovered: None)
            connection = Connection([socket])
            number = next(self._incarnations)
            driver = Driver(f"{name}, the {number}th", server.life, socket, choose)
            try:
                connection.link = await WebSocketLink.open(server.port)
                await self._drive_with(driver, connection, do, most)
            except Broken:
                await asyncio.sleep(0.1)

    async def _drive_with(
        self, driver: Driver, connection: Connection, do: Work, most: int
    ) -> None:
        listening = asyncio.create_task(connection.listen())
        asks: Asks = set()
        try:
            while not listening.done():
                if driver.socket.connected and len(asks) < most:
                    await do(driver, asks)
                else:
                    await asyncio.sleep(0.02)
        finally:
            if link := connection.give_up():
                link.abort()
            listening.cancel()
            await asyncio.gather(*asks, listening, return_exceptions=True)

    async def _send_next(self, driver: Driver, asks: Asks) -> None:
        choose = driver.choose
        if self._over():
            await self._mark(driver)
            await asyncio.sleep(0.1)
            return
        _start(asks, self._emit(driver, self._choose_target(choose)))
        # Several at once, now and then.
        if choose.random() < 0.7:
            await asyncio.sleep(choose.expovariate(1 / self._pause))

    async def _move_next(self, driver: Driver, asks: Asks) -> None:
        if not self._over():
            _start(asks, self._move_somebody(driver))
        await asyncio.sleep(driver.choose.expovariate(1 / (self._pause * 10)))

    async def _mark(self, driver: Driver) -> None:
        """Send what comes last, once all are there for good."""
        if driver.marked or not all(each.resting and each.connected for each in self._members):
            return
        driver.marked = True
        for namespace in NAMESPACES:
            self.marks[namespace].append(await self._emit(driver, To(namespace)))

    async def _emit(self, driver: Driver, to: To) -> int:
        emit = self._model.emit(
            driver.name,
            *(to.namespace, to.rooms, time.monotonic()),
            excluded=to.excluded,
            volatile=to.volatile,
            lives=(driver.life,),
        )
        event: list[Any] = ["n", emit.number, *payload_of(emit.number)]
        where = to.namespace, list(to.rooms), list(to.excluded)
        action = "emit_to"
        if to.volatile:
            action = "emit_volatile"
        elif driver.choose.random() < 0.1:
            action = "emit_at_commit"
        self._counts[f"emitted: {action}"] += 1
        await driver.socket.call(action, *where, *event)
        emit.end(time.monotonic())
        return emit.number

    async def _move_somebody(self, driver: Driver) -> None:
        """Let a client join or leave a room, wherever it is, and perhaps away."""
        choose = driver.choose
        place = self._choose_place(choose, choose.choice(NAMESPACES))
        room, inside = choose.choice(ROOMS), choose.random() < 0.5
        if place.session is not None:
            action = "join" if inside else "leave"
            where = place.namespace, [place.session.sid]
            call = driver.socket.call("move", *where, action, room)
            await place.move(room, inside, call, driver.name)

    # Others

    async def send_from_outside(self, cluster: LiveCluster) -> None:
        """Send from a process that serves no clients."""
        choose = self._choose("outside")
        async with outside_process(cluster) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while True:
                if self._over():
                    await asyncio.sleep(1)
                    continue
                to = self._choose_target(choose)
                emit = self._model.emit(
                    "outside",
                    *(to.namespace, to.rooms, time.monotonic()),
                    excluded=to.excluded,
                    volatile=to.volatile,
                )
                ask = {**to._asdict(), "number": emit.number}
                process.stdin.write(json.dumps(ask).encode() + b"\n")
                answer = await process.stdout.readline()
                assert int(answer) == emit.number
                emit.end(time.monotonic())
                self._counts["emitted from outside"] += 1
                await asyncio.sleep(choose.expovariate(1 / self._pause))

    async def let_members_talk(self) -> None:
        """Let clients say something to rooms."""
        choose = self._choose("talk")
        asks: Asks = set()
        while True:
            place = self._choose_place(choose, choose.choice(NAMESPACES))
            if place.socket.connected and not self._over():
                _start(asks, self._say(place, choose.choice(ROOMS)))
            await asyncio.sleep(choose.expovariate(1 / self._pause))

    async def _say(self, place: Place, room: str) -> None:
        # The order is that of one connection.
        name = f"{place.name}, let in {place.entries} times"
        emit = self._model.emit(
            name, place.namespace, (room,), time.monotonic(), lives=place.member.lives
        )
        self._counts["emitted by clients"] += 1
        await place.socket.call("say", room, emit.number, *payload_of(emit.number))
        emit.end(time.monotonic())

    async def let_members_move(self) -> None:
        """Let clients join and leave rooms."""
        choose = self._choose("moves")
        asks: Asks = set()
        while True:
            place = self._choose_place(choose, choose.choice(NAMESPACES))
            if place.socket.connected and not self._over():
                _start(asks, place.move_somewhere(choose))
            await asyncio.sleep(choose.expovariate(1 / (self._pause * 5)))


def _start(asks: Asks, ask: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.create_task(_try(ask))
    asks.add(task)
    task.add_done_callback(asks.discard)


async def _try(ask: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(Broken):
        await ask
