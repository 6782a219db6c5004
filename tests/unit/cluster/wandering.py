"""
Clients that wander between hubs which come and go, by chance, in a time that nobody waits for.

All that is sent is kept, and all that clients hear, as `tests.recovery.chaos` does with processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from realtime import NamespaceConsumer, event
from realtime.cluster.addressing import as_emit
from realtime.cluster.envelopes import encode, pack
from realtime.cluster.router import Router
from realtime.cluster.targets import Target
from realtime.hub.hub import Hub
from realtime.protocol import socketio
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.recovery.chaos.model import Emit, Fault, Model, Session

from .conftest import Server
from .layer import Bus, Layer

# A process that serves no clients.
OUTSIDE = "-outsid"
ROOMS = [f"room {number}" for number in range(5)]

# What a client's connect leads to.
arriving_at: ContextVar[Hub] = ContextVar("arriving_at")


class Clock(selectors.DefaultSelector):
    """A selector that lets no time pass, but moves its own on to when something is to be done."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else 1)
        if not ready and timeout:
            self.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is what it has waited for."""

    def __init__(self) -> None:
        self._clock = Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


class SlowLayer(Layer):
    """A layer that takes its time for each call."""

    choose: random.Random

    async def _pass(self, method: str, name: str = "") -> None:
        chance = self.choose.random()
        await asyncio.sleep(0 if chance < 0.3 else self.choose.expovariate(1 / 0.003))
        if chance > 0.98:
            await asyncio.sleep(self.choose.random() * 0.1)
        await super()._pass(method, name)


class Roaming(NamespaceConsumer):
    """Joins the rooms of a client that is new, and moves those that it asks for."""

    async def connect(self, auth: dict[str, Any]) -> None:
        if pause := auth.get("pause"):
            await asyncio.sleep(pause)
        if not self.recovered:
            self.join(*auth["rooms"])

    @event("join")
    async def enter(self, *rooms: str) -> None:
        self.join(*rooms)

    @event("leave")
    async def exit(self, *rooms: str) -> None:
        self.leave(*rooms)


class Connection(Client):
    """One connection of a member; what comes when it is given up is lost."""

    def __init__(self, member: Member, auth: dict[str, Any], at_most: int | None) -> None:
        super().__init__("/", auth=auth, user=None)
        self._member = member
        self._pid, self._offset = member.pid, member.offset
        self.left = at_most
        self.given_up = False
        self.halted = asyncio.Event()

    def _receive_frame(self, frame: str | bytes | None) -> None:
        if not self.given_up:
            super()._receive_frame(frame)

    def _receive_packet(self, packet: socketio.Packet) -> None:
        if packet.type is socketio.CONNECT and self.left == 0:
            self.left = -1
        elif packet.type is socketio.EVENT and self.left is not None:
            self.left -= 1
        super()._receive_packet(packet)
        if packet.type is socketio.CONNECT:
            self._member.enter(self, packet.data["sid"])
        elif packet.type is socketio.EVENT:
            self._member.hear(self._events.get_nowait())
        self._member.pid, self._member.offset = self._pid, self._offset
        if self.left is not None and self.left <= 0 and self.recovered:
            self.give_up()

    def give_up(self) -> None:
        """Let nothing come any more."""
        self.given_up = True
        self.halted.set()


class Member:
    """A client, as long as the run."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self.pid = self.offset = ""
        self.choose = random.Random(f"{run.seed} {name}")
        self.rooms = self.choose.sample(ROOMS, self.choose.randrange(3))
        self.session: Session | None = None
        self.connection: Connection | None = None
        self.server: Server | None = None
        self.asked = 0.0
        self.story: list[tuple[float, str]] = []
        self.moving: set[str] = set()
        self.losses: list[float] = []
        self.zombies: list[Connection] = []

    def tell(self, what: str) -> None:
        """Add a line to its story."""
        self.story.append((self.run.now, what))

    def enter(self, connection: Connection, sid: str) -> None:
        """Take note that it is let in."""
        now = self.run.now
        self.connection = connection
        if self.session is None or not connection.recovered:
            if self.session is not None:
                self.losses.append(now)
                self.session.away = True
            self.session = Session(sid, "/", self.asked, now, frozenset(self.rooms))
            self.run.model.sessions[self.name].append(self.session)
        self.tell(f"is let in, {'recovered' if connection.recovered else 'new'}")

    def hear(self, args: tuple[Any, ...]) -> None:
        """Take note of an event."""
        assert self.session is not None
        if args[0] == "n":
            self.session.arrivals.append((self.run.now, args[1]))
            self.tell(f"hears {args[1]} at {self.connection and self.connection._offset}")

    async def live(self) -> None:
        """Come, drop and come back."""
        while True:
            open_ones = [each for each in self.run.servers if each not in self.run.stopping]
            self.server = self.choose.choice(open_ones)
            arriving_at.set(self.server.hub)
            resting = self.run.resting
            how = self.choose.choice(("close", "close", "silent", "silent", "halt"))
            at_most = self.choose.randrange(5) if how == "halt" and not resting else None
            auth: dict[str, Any] = {"rooms": self.rooms}
            if self.choose.random() < 0.3:
                auth["pause"] = self.choose.random() * 0.3
            connection = Connection(self, auth, at_most)
            self.asked = self.run.now
            self.tell(f"connects to {self.server.hub.server_id} ({how}) offset={self.offset}")
            coming = asyncio.ensure_future(connection.connect(60.0))
            stay = 1e9 if resting else self.choose.expovariate(1 / 1.0)
            ended = asyncio.ensure_future(connection._closed.wait())
            halted = asyncio.ensure_future(connection.halted.wait())
            waiting: set[asyncio.Future[Any]] = {ended, halted}
            await asyncio.wait(waiting, timeout=stay, return_when=asyncio.FIRST_COMPLETED)
            for each in waiting:
                each.cancel()
            connection.give_up()
            self.connection = None
            self.tell(f"drops ({'ended' if connection._closed.is_set() else how})")
            if how == "silent" and not connection._closed.is_set():
                self.zombies.append(connection)
            else:
                connection.drop()
                coming.cancel()
            if coming.done() and not coming.cancelled():
                coming.exception()  # which nobody else looks at
            if not self.run.resting:
                await asyncio.sleep(self.choose.choice((0, 0, 0.02, 0.2, 1, 2)))

    async def move(self, room: str, inside: bool, work: Coroutine[Any, Any, object]) -> None:
        """Do `work`, by which it joins or leaves a room: one at a time for each room."""
        session = self.session
        if session is None or room in self.moving or self.run.resting:
            work.close()
            return
        self.moving.add(room)
        move = session.move(room, inside, self.run.now)
        self.tell(f"{'joins' if inside else 'leaves'} {room}")
        try:
            await work
            session.finish(room, move, self.run.now)
            self.tell(f"has {'joined' if inside else 'left'} {room}")
        finally:
            self.moving.discard(room)


class Run:
    """A run of `seconds`, which nobody waits for."""

    def __init__(self, seed: int, seconds: float, new_hub: Callable[[Layer], Hub]) -> None:
        self.seed, self.seconds = seed, seconds
        self.new_hub = new_hub
        self.model = Model()
        self.bus = Bus()
        self.choose = random.Random(f"{seed} run")
        self.servers: list[Server] = []
        self.stopping: set[Server] = set()
        self.rest = asyncio.Event()
        self.router = Router()
        self.outside = self.connect()
        self.ids = itertools.count(1)
        self.ticks = itertools.count(1)
        self.members = [Member(self, f"member {number}") for number in range(8)]
        self.tasks: set[asyncio.Task[Any]] = set()
        self.faults: list[Fault] = []

    @property
    def now(self) -> float:
        """Later than ever before."""
        return asyncio.get_running_loop().time() + next(self.ticks) * 1e-9

    @property
    def resting(self) -> bool:
        return self.rest.is_set()

    def connect(self) -> Layer:
        """Return the layer of a new process."""
        layer = SlowLayer(self.bus, len(self.bus.layers))
        layer.choose = random.Random(f"{self.seed} layer {len(self.bus.layers)}")
        self.bus.layers.append(layer)
        return layer

    async def start(self) -> None:
        """Start a hub, which knows all others."""
        server = Server(self.new_hub(layer := self.connect()), layer)
        while not all(each.hub.server_id in server.cluster.peers for each in self.servers):
            await asyncio.sleep(0.01)
        self.servers.append(server)
        self.tell(f"{server.hub.server_id} has started")

    def tell(self, what: str) -> None:
        """Add a line to all stories."""
        for member in self.members:
            member.tell(what)

    async def stop(self, server: Server) -> None:
        """Stop a hub, as SIGTERM does."""
        self.tell(f"{server.hub.server_id} is told to stop")
        self.stopping.add(server)
        await server.hub.close(grace=2.0)
        self.servers.remove(server)
        self.tell(f"{server.hub.server_id} has stopped")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # Who sends

    def target(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        kind, choose = self.choose.random(), self.choose
        if kind < 0.5:
            rooms: tuple[str, ...] = (choose.choice(ROOMS),)
        elif kind < 0.7:
            rooms = tuple(sorted(choose.sample(ROOMS, 2)))
        elif kind < 0.95:
            rooms = (self.sid() or ROOMS[0],)
        else:
            rooms = ()
        excluded: tuple[str, ...] = ()
        if choose.random() < 0.2:
            excluded = (choose.choice([*ROOMS, self.sid() or "nobody"]),)
        return rooms, excluded

    def sid(self) -> str | None:
        member = self.choose.choice(self.members)
        return self.sids.get(member.name)

    @property
    def sids(self) -> dict[str, str]:
        return {each.name: each.session.sid for each in self.members if each.session is not None}

    async def drive(self) -> None:
        while not self.resting:
            for _ in range(self.choose.choice((1, 1, 1, 2, 5))):
                await self.emit(*self.target())
            await asyncio.sleep(self.choose.expovariate(1 / 0.03))

    async def emit(self, rooms: tuple[str, ...], excluded: tuple[str, ...]) -> Emit:
        sender: Server | None = self.choose.choice([*self.servers, None])
        if sender in self.stopping:
            sender = None
        name = OUTSIDE if sender is None else sender.hub.server_id
        emit = self.model.emit(name, "/", rooms, self.now, excluded=excluded)
        target = Target("/", rooms, excluded)
        message = Message("/", "n", (emit.number,))
        if sender is not None:
            sender.hub.emit(target, message)
        else:
            envelope = as_emit(target, message, f"{OUTSIDE}.{next(self.ids)}")
            for lane in self.router.lanes(target):
                parcel = pack(OUTSIDE, lane.name, 0, 0, [encode(envelope)])
                await self.outside.group_send(lane.name, parcel)
        emit.ended = self.now
        return emit

    async def move_members(self) -> None:
        while not self.resting:
            member, choose = self.choose.choice(self.members), self.choose
            room, inside = choose.choice(ROOMS), choose.random() < 0.5
            action = "join" if inside else "leave"
            if choose.random() < 0.5 and member.connection is not None:
                call = member.connection.call(action, room, timeout=60)
                self.spawn(self._quiet(member.move(room, inside, call)))
            elif member.session is not None:
                server = choose.choice([each for each in self.servers if each not in self.stopping])
                work = self.command(server, member.session.sid, action, room)
                self.spawn(self._quiet(member.move(room, inside, work)))
            await asyncio.sleep(choose.expovariate(1 / 0.1))

    async def _quiet(self, work: Coroutine[Any, Any, Any]) -> None:
        with contextlib.suppress(Exception):
            await work

    async def command(self, server: Server, sid: str, action: str, room: str) -> None:
        server.hub.command(Target("/", (sid,)), action, (room,))
        await server.hub.flush_cluster()

    async def fate(self) -> None:
        while not self.resting:
            await asyncio.sleep(self.choose.uniform(0.5, 4))
            await self.restart()

    async def restart(self) -> None:
        there = [each for each in self.servers if each not in self.stopping]
        if len(there) < 2:
            return
        server = self.choose.choice(there)
        self.stopping.add(server)
        if self.choose.random() < 0.5:
            await self.start()
            await self.stop(server)
        else:
            await self.stop(server)
            await self.start()

    async def go(self) -> None:
        """Do it all, and note the faults."""
        for _ in range(3):
            await self.start()
        lives = [asyncio.ensure_future(member.live()) for member in self.members]
        for work in (self.drive(), self.move_members()):
            self.spawn(work)
        fate = asyncio.ensure_future(self.fate())
        await asyncio.sleep(self.seconds)
        self.rest.set()
        await fate
        deadline = self.now + 60
        while not all(
            each.connection is not None and not each.connection.given_up for each in self.members
        ):
            await asyncio.sleep(0.1)
            assert self.now < deadline, "not all are back"
        await asyncio.sleep(10)
        for life in lives:
            if life.done():
                life.result()
            life.cancel()
        await asyncio.wait(lives)
        for member in self.members:
            for zombie in member.zombies:
                zombie.drop()
            if member.connection is not None:
                member.connection.drop()
        await asyncio.gather(*(server.hub.close(grace=0.1) for server in self.servers))
        self.faults = self.model.check()


def tell_faults(run: Run) -> list[str]:
    """Return what befell each client around its first fault."""
    lines: list[str] = []
    for member in run.members:
        faults = [fault for fault in run.faults if fault.client == member.name]
        if faults:
            lines += [f"{fault.kind} {fault.emit} {member.name}" for fault in faults[:6]]
            what = f"hears {faults[0].emit.number} "
            lines += tell_story(member, faults[0].emit.began, 5.0, what)
    return lines


def tell_losses(run: Run) -> list[str]:
    """Return what befell each client that was told of a loss, though nothing was lost."""
    lines: list[str] = []
    for member in run.members:
        for at in member.losses[:1]:
            lines += [f"{member.name} was told for nothing", *tell_story(member, at, 1.0)]
    return lines


def tell_story(member: Member, at: float, until: float, what: str = "no event") -> list[str]:
    """Return what befell a client around a time, without its other events."""
    return [
        f"{when - at:+8.3f} {told}"
        for when, told in member.story
        if at - 5 < when < at + until and (not told.startswith("hears") or told.startswith(what))
    ]
