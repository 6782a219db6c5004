"""Clients who come, join rooms, speak and go, on many processes behind a load balancer."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from statistics import mean

# So many clients are simulated; all rates are for one client, and hold for any number of them with
# as many processes and rooms of the same sizes.
SAMPLE = 20_000

# How long clients come and go, in steps of a second; in the middle one process is started anew.
SECONDS = 600

# Messages whose receivers are looked at in each step.
MESSAGES = 20


@dataclass(frozen=True)
class Scenario:
    """
    A kind of site. Each client joins so many `rooms`, of `members` on average, some much larger
    than others; it stays for `stay` seconds, and sends `events` a second to one of its rooms.
    `to_all` are messages a second to everyone.
    """

    name: str
    rooms: int
    members: float
    stay: float
    events: float
    to_all: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """
    What was seen: `receivers` and `processes` that a room's message reached on average, changes of
    layer groups by each client a second, the largest process as a part of the average one, and how
    many clients the average process got anew in the second after another one was stopped.
    """

    receivers: float
    processes: float
    group_changes: float
    largest: float
    rush: float


class Site:
    """The clients, rooms and processes of a simulation."""

    def __init__(self, scenario: Scenario, processes: int, chance: random.Random) -> None:
        self.scenario = scenario
        self.chance = chance
        self.sizes = [0] * processes
        count = max(1, round(SAMPLE * scenario.rooms / scenario.members))
        # Popular rooms and quiet ones: a log-normal spread.
        weights = [chance.lognormvariate(0, 1) for _ in range(count)]
        self._rooms, self._weights = range(count), _accumulate(weights)
        self.members: list[Counter[int]] = [Counter() for _ in range(count)]
        self.clients: list[tuple[int, list[int]]] = []
        self.group_changes = 0

    def enter(self) -> None:
        """Let a client come, to the less busy of two processes, as load balancers choose."""
        processes = len(self.sizes)
        one, other = self.chance.randrange(processes), self.chance.randrange(processes)
        process = one if self.sizes[one] <= self.sizes[other] else other
        count = self.scenario.rooms
        rooms = self.chance.choices(self._rooms, cum_weights=self._weights, k=count)
        self.sizes[process] += 1
        self.clients.append((process, rooms))
        for room in rooms:
            self.group_changes += not self.members[room][process]
            self.members[room][process] += 1

    def leave(self, index: int) -> None:
        """Let a client go."""
        process, rooms = self.clients[index]
        self.clients[index] = self.clients[-1]
        self.clients.pop()
        self.sizes[process] -= 1
        for room in rooms:
            self.members[room][process] -= 1
            if not self.members[room][process]:
                del self.members[room][process]
                self.group_changes += 1

    def stop(self, process: int) -> int:
        """Stop a process: its clients come to the others at once. Return how many."""
        left = [index for index, (where, _) in enumerate(self.clients) if where == process]
        for index in reversed(left):
            self.leave(index)
        self.sizes[process] = SAMPLE * 10  # no place for anyone
        for _ in left:
            self.enter()
        self.sizes[process] = 0
        return len(left)

    def look(self) -> tuple[int, int]:
        """Return how many clients and processes a message of some client reaches."""
        _, rooms = self.chance.choice(self.clients)
        members = self.members[self.chance.choice(rooms)]
        return members.total(), len(members)


def _accumulate(weights: list[float]) -> list[float]:
    total, sums = 0.0, []
    for weight in weights:
        total += weight
        sums.append(total)
    return sums


def simulate(scenario: Scenario, processes: int, seed: int = 1) -> Outcome:
    """Let clients come, go and speak for some minutes, and return what was seen."""
    chance = random.Random(seed)
    site = Site(scenario, processes, chance)
    for _ in range(SAMPLE):
        site.enter()
    site.group_changes = 0
    seen: list[tuple[int, int]] = []
    due = rush = 0.0
    for second in range(SECONDS):
        due += SAMPLE / scenario.stay
        while due >= 1:
            site.leave(chance.randrange(len(site.clients)))
            site.enter()
            due -= 1
        seen += [site.look() for _ in range(MESSAGES)]
        if second == SECONDS // 2 and processes > 1:
            changes = site.group_changes
            rush = site.stop(chance.randrange(processes)) / (processes - 1)
            site.group_changes = changes
    average = len(site.clients) / processes
    return Outcome(
        receivers=mean(receivers for receivers, _ in seen),
        processes=mean(reached for _, reached in seen),
        group_changes=site.group_changes / SECONDS / SAMPLE,
        largest=max(site.sizes) / average,
        rush=rush / average,
    )


def spread(members: int, processes: int, seed: int = 1, rounds: int = 400) -> float:
    """Return on how many processes the members of a room of this size are, on average."""
    chance = random.Random(seed)
    return mean(len({chance.randrange(processes) for _ in range(members)}) for _ in range(rounds))
