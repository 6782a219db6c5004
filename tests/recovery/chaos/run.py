"""The run: who sends, who moves, what is stopped and killed, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.clusters import LiveCluster
from tests.processes import ROOT
from tests.recovery.chaos.links import Broken
from tests.recovery.chaos.members import NAMESPACE, Member
from tests.recovery.chaos.model import Fault, Model
from tests.recovery.chaos.servers import Server, Servers
from tests.recovery.chaos.sockets import ClientSocket

DRIVER = "/recovery-driver"
OPERATION_PAUSE = 6.0
SETTLE = 60.0
STORIES = 8


@dataclass(frozen=True)
class Plan:
    """How long, how much and what."""

    seconds: float = 600
    seed: int = 1
    clients: int = 48
    rooms: int = 8
    pause: float = 0.08
    restart_every: float = 8
    kills: float = 0.3
    # Whether nothing is lost with a server that is killed, since the log is in Redis.
    survives: bool = False


@dataclass
class Outcome:
    """What came of a run."""

    faults: list[Fault]
    counts: Counter[str]
    lines: list[str] = field(default_factory=list)


class Run:
    """One run of a plan on a cluster that is running."""

    def __init__(self, cluster: LiveCluster, plan: Plan) -> None:
        self.plan = plan
        self.model = Model()
        self.servers = Servers(cluster)
        self.counts: Counter[str] = Counter()
        self.rooms = [f"room {number}" for number in range(plan.rooms)]
        self.members = [self._member(number) for number in range(plan.clients)]
        self._cluster = cluster
        self._incarnations = itertools.count(1)
        self._ending = asyncio.Event()
        self.marks: list[int] = []

    def _member(self, number: int) -> Member:
        choose = random.Random(f"{self.plan.seed} member {number}")
        rooms = choose.sample(self.rooms, choose.randrange(3))
        member = Member(f"member {number}", rooms, self.model, self.servers, choose)
        member.excuses_kills = not self.plan.survives
        return member

    def _choose(self, what: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {what}")

    @property
    def _over(self) -> bool:
        return self._ending.is_set()

    async def go(self) -> Outcome:
        """Do it all, and return what came of it."""
        lives = [asyncio.create_task(member.live()) for member in self.members]
        works = [
            *(asyncio.create_task(self._drive(server)) for server in self.servers.all),
            asyncio.create_task(self._send_from_outside()),
            asyncio.create_task(self._members_talk()),
            asyncio.create_task(self._members_move()),
        ]
        fate = asyncio.create_task(self._fate())
        everything = [*lives, *works, fate]
        try:
            await self._watch(everything, self.plan.seconds)
            self._ending.set()
            await self._watch(everything, 0, until=fate)
            for member in self.members:
                member.resting = True
            await self._settle()
        finally:
            for task in everything:
                task.cancel()
            done = await asyncio.gather(*everything, return_exceptions=True)
        for error in done:
            if isinstance(error, Exception):
                raise error
        return self._sum_up()

    async def _watch(
        self, tasks: list[asyncio.Task[None]], seconds: float, until: Any = None
    ) -> None:
        """Wait, for so long or until a task is done; raise what has broken off any other."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or (until and not until.done()):
            await asyncio.sleep(0.1)
            for task in tasks:
                if task.done() and task.exception():
                    task.result()

    async def _settle(self) -> None:
        """Wait until everybody is back and has heard the last of each sender."""
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            late = [
                member.name
                for member in self.members
                if not member.connected or not all(map(member.has_heard, self.marks))
            ]
            if len(self.marks) >= len(self.servers.all) and not late:
                return
        self.counts["never settled"] += len(late)

    # Who sends

    def _new_target(self, choose: random.Random) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
        """Return rooms, what is excluded, and whether it is volatile."""
        kind = choose.random()
        if kind < 0.5:
            rooms: tuple[str, ...] = (choose.choice(self.rooms),)
        elif kind < 0.7:
            rooms = tuple(sorted(choose.sample(self.rooms, 2)))
        elif kind < 0.95:
            session = choose.choice(self.members).session
            rooms = (session.sid,) if session else (choose.choice(self.rooms),)
        else:
            rooms = ()
        excluded: tuple[str, ...] = ()
        if choose.random() < 0.2:
            session = choose.choice(self.members).session
            excluded = (choose.choice([*self.rooms, session.sid if session else "nobody"]),)
        return rooms, excluded, choose.random() < 0.1

    async def _drive(self, server: Server) -> None:
        """Send from a server, with one driver after the other as it comes and goes."""
        choose = self._choose(f"driver of {server}")
        while True:
            if not server.open:
                await asyncio.sleep(0.05)
                continue
            name = f"driver {next(self._incarnations)} of {server}"
            driver = ClientSocket(DRIVER, lambda args: None, lambda answer, recovered: None)
            life = server.life
            try:
                await driver.open("websocket", server.port, {})
                listening = asyncio.create_task(driver.listen())
                try:
                    await self._drive_with(driver, name, life, choose, listening)
                finally:
                    listening.cancel()
            except Broken:
                await asyncio.sleep(0.1)

    async def _drive_with(
        self,
        driver: ClientSocket,
        name: str,
        life: object,
        choose: random.Random,
        listening: asyncio.Task[None],
    ) -> None:
        marked = False
        asks: set[asyncio.Task[None]] = set()
        try:
            while not listening.done():
                if not driver.connected or len(asks) > 20:
                    await asyncio.sleep(0.02)
                    continue
                if self._over:
                    if not marked and all(each.resting and each.connected for each in self.members):
                        self.marks.append(await self._emit(driver, name, life, (), (), False))
                        marked = True
                    await asyncio.sleep(0.1)
                    continue
                rooms, excluded, volatile = self._new_target(choose)
                ask = self._emit(driver, name, life, rooms, excluded, volatile)
                self._start(asks, ask)
                if choose.random() < 0.08:
                    self._start(asks, self._move_remotely(driver, choose))
                # Several at once, now and then.
                if choose.random() < 0.7:
                    await asyncio.sleep(choose.expovariate(1 / self.plan.pause))
        finally:
            if link := driver.give_up():
                link.abort()
            await asyncio.gather(*asks, return_exceptions=True)

    def _start(self, asks: set[asyncio.Task[None]], ask: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(self._try(ask))
        asks.add(task)
        task.add_done_callback(asks.discard)

    async def _try(self, ask: Coroutine[Any, Any, Any]) -> None:
        with contextlib.suppress(Broken):
            await ask

    async def _emit(
        self,
        driver: ClientSocket,
        name: str,
        life: object,
        rooms: tuple[str, ...],
        excluded: tuple[str, ...],
        volatile: bool,
    ) -> int:
        emit = self.model.emit(
            name,
            rooms,
            time.monotonic(),
            excluded=excluded,
            volatile=volatile,
            server=life,
        )
        self.counts["emitted"] += 1
        where = NAMESPACE, list(rooms)
        if volatile:
            answer = driver.call("emit_volatile", *where, list(excluded), emit.number, "a text")
        else:
            answer = driver.call("emit_to", *where, list(excluded), "n", emit.number)
        await answer
        if self.plan.survives or not getattr(life, "killed", False):
            emit.ended = time.monotonic()
        return emit.number

    async def _send_from_outside(self) -> None:
        """Send from a process that serves no clients."""
        choose = self._choose("outside")
        async with outside_process(self._cluster) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while True:
                if self._over:
                    await asyncio.sleep(1)
                    continue
                rooms, excluded, volatile = self._new_target(choose)
                emit = self.model.emit(
                    "outside", rooms, time.monotonic(), excluded=excluded, volatile=volatile
                )
                ask = {
                    "namespace": NAMESPACE,
                    "rooms": rooms,
                    "excluded": excluded,
                    "volatile": volatile,
                    "number": emit.number,
                }
                process.stdin.write(json.dumps(ask).encode() + b"\n")
                answer = await process.stdout.readline()
                assert int(answer) == emit.number
                emit.ended = time.monotonic()
                self.counts["emitted from outside"] += 1
                await asyncio.sleep(choose.expovariate(1 / self.plan.pause))

    async def _members_talk(self) -> None:
        """Let clients say something to rooms."""
        choose = self._choose("talk")
        asks: set[asyncio.Task[None]] = set()
        while True:
            member = choose.choice(self.members)
            if member.connected and not self._over:
                self._start(asks, self._talk(member, choose))
            await asyncio.sleep(choose.expovariate(1 / self.plan.pause))

    async def _talk(self, member: Member, choose: random.Random) -> None:
        room = choose.choice(self.rooms)
        assert member.server is not None
        life = member.server.life
        name = f"{member.name}, let in {member.entries} times"
        emit = self.model.emit(name, (room,), time.monotonic(), server=life)
        self.counts["emitted by clients"] += 1
        await member.call("say", room, emit.number)
        if self.plan.survives or not getattr(life, "killed", False):
            emit.ended = time.monotonic()

    # Who moves

    async def _members_move(self) -> None:
        """Let clients join and leave rooms."""
        choose = self._choose("moves")
        asks: set[asyncio.Task[None]] = set()
        while True:
            member = choose.choice(self.members)
            if member.connected and not self._over:
                room, inside = choose.choice(self.rooms), choose.random() < 0.5
                action = "join" if inside else "leave"
                self._start(asks, self._move(member, room, inside, member.call(action, room)))
            await asyncio.sleep(choose.expovariate(1 / (self.plan.pause * 5)))

    async def _move_remotely(self, driver: ClientSocket, choose: random.Random) -> None:
        """Let a client join or leave a room, wherever it is, and perhaps away."""
        member = choose.choice(self.members)
        room, inside = choose.choice(self.rooms), choose.random() < 0.5
        if member.session is not None:
            sid, action = member.session.sid, "join" if inside else "leave"
            call = driver.call("move", NAMESPACE, [sid], action, room)
            await self._move(member, room, inside, call)

    async def _move(
        self, member: Member, room: str, inside: bool, call: Coroutine[Any, Any, Any]
    ) -> None:
        """Do one at a time with a client's room, and none soon after one of which nobody knows."""
        session = member.session
        if room in member.moving or session is None or self._over:
            call.close()
            return
        member.moving.add(room)
        move = session.move(room, inside, time.monotonic())
        member.tell(f"{'joins' if inside else 'leaves'} {room}")
        self.counts["moves"] += 1
        try:
            await call
            session.finish(room, move, time.monotonic())
            member.tell(f"has {'joined' if inside else 'left'} {room}")
        except Broken:
            member.tell(f"has perhaps {'joined' if inside else 'left'} {room}")
            self.counts["moves of which nobody knows"] += 1
            await asyncio.sleep(OPERATION_PAUSE)
            raise
        finally:
            member.moving.discard(room)

    # What befalls the servers

    async def _fate(self) -> None:
        choose = self._choose("fate")
        while not self._over:
            pause = self.plan.restart_every * choose.uniform(0.5, 1.5)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            if self._over:
                return
            kind = choose.random()
            if kind < self.plan.kills:
                await self._kill(choose.choice(self.servers.all))
            elif kind < 0.75:
                await self._restart(choose.choice(self.servers.all))
            else:
                self.counts["rolling restarts"] += 1
                for server in choose.sample(self.servers.all, len(self.servers.all)):
                    await self._restart(server)

    async def _restart(self, server: Server) -> None:
        self.counts["SIGTERM"] += 1
        for member in self.members:
            member.tell(f"{server} is told to stop")
            if server.life in member.holders:
                # It hands what it has to some other.
                member.holders |= {each.life for each in self.servers.all}
        if not await server.stop():
            self.counts["did not stop"] += 1
        await server.start()
        for member in self.members:
            member.tell(f"{server} has been restarted")

    async def _kill(self, server: Server) -> None:
        self.counts["SIGKILL"] += 1
        for member in self.members:
            member.tell(f"{server} is killed")
        if not self.plan.survives:
            self.model.killed(server.life, time.monotonic())
        server.kill()
        await server.start()

    # What came of it

    def _sum_up(self) -> Outcome:
        for member in self.members:
            self.counts.update(member.counts)
        self.counts["heard"] = sum(
            len(session.arrivals)
            for sessions in self.model.sessions.values()
            for session in sessions
        )
        faults = self.model.check()
        self.counts.update(self.model.counts)
        lines = [f"seed {self.plan.seed}, {self.plan.seconds} s, {self.plan.clients} clients"]
        lines += [f"{count:>10} {what}" for what, count in sorted(self.counts.items())]
        by_name = {member.name: member for member in self.members}
        for fault in faults[:STORIES]:
            lines += tell_fault(fault, by_name[fault.client])
        for member in self.members:
            for at, sid in member.losses[:1]:
                lines.append(f"{member.name} as {sid} was told of a loss for nothing")
                lines += tell_story(member, at, at + 1)
        return Outcome(faults, self.counts, lines)


def tell_fault(fault: Fault, member: Member) -> list[str]:
    """Return what befell a client around a fault, and when it heard what."""
    emit = fault.emit
    heard = [at for at, number in fault.session.arrivals if number == emit.number]
    until = max([emit.ended or emit.began, *heard]) + 5
    title = f"{fault.client} as {fault.session.sid}: {fault.kind} {emit}"
    if fault.session.away:
        title += ", and did not come back to that session"
    return [title, *tell_story(member, emit.began, until, f"hears {emit.number} ")]


def tell_story(member: Member, at: float, until: float, what: str = "") -> list[str]:
    """Return what befell a client around a time, with its events counted but for the one."""
    lines = []
    others = 0
    for when, told in member.story:
        if not at - 15 < when < until:
            continue
        if told.startswith("hears") and not (what and told.startswith(what)):
            others += 1
            continue
        if others:
            lines.append(f"           (hears {others})")
            others = 0
        lines.append(f"  {when - at:+8.3f} {told}")
    return [*lines, ""]


@contextlib.asynccontextmanager
async def outside_process(cluster: LiveCluster) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process of the cluster's site that serves no clients."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.site.settings",
        "DATABASE_URL": cluster.database,
        "REALTIME_OVERRIDES": json.dumps(cluster.realtime),
        "PYTHONPATH": str(ROOT),
        **cluster.env,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.recovery.chaos.outside"),
        cwd=ROOT,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
