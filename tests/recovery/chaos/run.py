"""The run: who sends, who moves, what befalls the servers, and what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.clusters import LiveCluster
from tests.recovery.chaos.fate import Ends, Fate
from tests.recovery.chaos.members import PATIENCE, Member
from tests.recovery.chaos.model import Model
from tests.recovery.chaos.places import ROOMS, TOLD_AFTER_STALL, TOLD_FOR_NOTHING, Place
from tests.recovery.chaos.senders import Senders
from tests.recovery.chaos.servers import Servers
from tests.recovery.chaos.stories import tell_fault

SETTLE = 60.0

# The machine stands still where this process does, for so many seconds.
MACHINE_STALL = 1.5

# How many of those who come back may be told of a loss, since something stood still.
MOST_AFTER_STALLS = 0.1

STORIES, FAULTS = 8, 40


@dataclass(frozen=True)
class Plan:
    """How long, how much and what."""

    seconds: float = 600
    seed: int = 1
    clients: int = 48
    pause: float = 0.08
    restart_every: float = 8
    kills: float = 0.3
    stalls_every: float = 12
    # Whether nothing is lost with a server that is killed, since the log is in Redis.
    survives: bool = False


@dataclass
class Outcome:
    """
    What came of a run: the `faults`, which nothing excuses; all `failures`, with what comes of a
    machine that is too slow as well; how much was done, and what is to be told.
    """

    faults: list[str]
    failures: list[str]
    counts: Counter[str]
    lines: list[str] = field(default_factory=list)


class Run:
    """One run of a plan on a cluster that is running."""

    def __init__(self, cluster: LiveCluster, plan: Plan) -> None:
        self.plan = plan
        self.model = Model()
        self.servers = Servers(cluster, survives=plan.survives)
        self.model.stalls = self.servers.stalls
        self.counts: Counter[str] = Counter()
        ends = Ends(plan.restart_every, plan.kills, plan.stalls_every)
        self._fate = Fate(self.servers, cluster.valkey, ends, self.model, self.counts)
        self.members = [self._member(number) for number in range(plan.clients)]
        self._fate.members = self.members
        self._ending = asyncio.Event()
        self._senders = Senders(
            *(self.model, self.members, self.counts),
            *(self._choose, plan.pause, self._ending.is_set),
        )
        self._cluster = cluster
        self._unsettled: list[Place] = []

    def _member(self, number: int) -> Member:
        choose = self._choose(f"member {number}")
        rooms = choose.sample(ROOMS, choose.randrange(3))
        name = f"member {number}"
        return Member(name, rooms, self.model, self.servers, choose, self._fate.watch)

    def _choose(self, what: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {what}")

    async def go(self) -> Outcome:
        """Do it all, and return what came of it."""
        lives = [asyncio.create_task(member.live()) for member in self.members]
        senders = self._senders
        works = [
            *(asyncio.create_task(senders.drive(server)) for server in self.servers.all),
            *(asyncio.create_task(senders.drive_moves(server)) for server in self.servers.all),
            asyncio.create_task(senders.send_from_outside(self._cluster)),
            asyncio.create_task(senders.let_members_talk()),
            asyncio.create_task(senders.let_members_move()),
        ]
        fates = [
            asyncio.create_task(self._fate.befall(self._choose("fate"), self._ending)),
            asyncio.create_task(self._fate.let_stand_still(self._choose("stalls"), self._ending)),
        ]
        everything = [*lives, *works, *fates]
        try:
            await self._watch(everything, self.plan.seconds)
            self._ending.set()
            await self._watch(everything, 0, until=asyncio.gather(*fates))
            for member in self.members:
                member.resting = True
            await self._settle(everything)
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
        """Wait, for so long or until that is done; raise what has broken off any of the tasks."""
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline or (until and not until.done()):
            await asyncio.sleep(0.1)
            if time.monotonic() > now + MACHINE_STALL:
                self.counts["the machine stood still"] += 1
                self.servers.note_stall()
            self.counts["the layer was slow"] += self.servers.look()
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception():
                    task.result()

    async def _settle(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait until everybody is back and has heard the last of each sender."""
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            await self._watch(tasks, 0.2)
            self._unsettled = [
                place
                for member in self.members
                for place in member.places
                if not self._is_settled(place)
            ]
            if not self._unsettled:
                return

    def _is_settled(self, place: Place) -> bool:
        marks = self._senders.marks[place.namespace]
        everybody = len(marks) >= len(self.servers.all)
        return everybody and place.socket.connected and all(map(place.has_heard, marks))

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
        broken = [f"{what}: {count}" for what, count in Counter(f.kind for f in faults).items()]
        if self._unsettled:
            broken.append(f"never settled: {len(self._unsettled)}")
        failures = [*broken, *self._excesses()]
        plan = self.plan
        lines = [f"seed {plan.seed}, {plan.seconds} s, {plan.clients} clients"]
        lines += [f"{count:>10} {what}" for what, count in sorted(self.counts.items())]
        by_name = {place.name: member for member in self.members for place in member.places}
        lines += [f"{each.kind} for {each.client}: {each.emit}" for each in faults[:FAULTS]]
        stories = [member.story for member in self.members]
        firsts = {fault.client: fault for fault in reversed(faults)}
        for fault in list(firsts.values())[:STORIES]:
            lines += tell_fault(fault, by_name[fault.client].story, stories)
        lines += self._tell_losses()
        now = time.monotonic()
        self._unsettled.sort(key=lambda place: place.socket.connected)
        for place in self._unsettled[:STORIES]:
            connected, marks = place.socket.connected, self._senders.marks[place.namespace]
            lines.append(f"{place.name} has never settled: {connected=}, {marks=}")
            lines += place.member.story.around(now, now, SETTLE + PATIENCE + 15)
        lines += [f"FAILED: {failure}" for failure in failures] or ["passed"]
        return Outcome(broken, failures, self.counts, lines)

    def _excesses(self) -> list[str]:
        """Return what is no fault where it is seldom, or where the machine is too slow."""
        excesses = [TOLD_FOR_NOTHING, "never let in", "did not stop"]
        most = MOST_AFTER_STALLS * self.counts["recovered"]
        if self.counts[TOLD_AFTER_STALL] > most:
            excesses.append(TOLD_AFTER_STALL)
        return [f"{what}: {self.counts[what]}" for what in excesses if self.counts[what]]

    def _tell_losses(self) -> list[str]:
        lines = []
        losses = [
            (place, at, sid)
            for member in self.members
            for place in member.places
            for at, sid in place.losses
        ]
        for place, at, sid in losses[:STORIES]:
            lines.append(f"{place.name} as {sid} was told of a loss for nothing")
            lines += place.member.story.around(at, at + 1)
        for member in self.members:
            for at in member.left_out[:1]:
                lines.append(f"{member.name} was not let in")
                lines += member.story.around(at, at + 1, PATIENCE + 15)
        return lines
