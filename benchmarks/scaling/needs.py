"""What so many clients of a kind of site need."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from .costs import Costs
from .simulation import Outcome, Scenario, simulate

MIB, GIB = 2**20, 2**30

# Assumptions. So much of a core, and of a Valkey's, is used: the rest is for peaks.
BUSY = 0.6
CORES, MEMORY = 16, 64 * GIB  # of one machine
PROCESS = 100 * MIB  # a Django process before its first client
MOST_CLIENTS = 25_000  # on one process: so many have to go elsewhere when it ends

PING_INTERVAL = 25.0
SERVER_HEARTBEAT = 5.0
FILES = 50  # of a process beside its clients: libraries, database, layer

# Transactions of presence a second, at most, of one process: it pauses 50 ms between them.
TRANSACTIONS = 20.0

ROUNDS = 8


@dataclass(frozen=True)
class Needs:
    """
    What the clients of a scenario need. Rates are by the second and for the whole cluster;
    `valkeys` are by the layer's name; `busy` is the part of a core that a process uses.
    """

    processes: int
    busy: float
    memory: float
    files: int
    deliveries: float
    published: float
    received: float
    group_changes: float
    connects: float
    rows: float
    transactions: float
    valkeys: dict[str, int]
    outcome: Outcome

    @property
    def machines(self) -> int:
        """How many machines of CORES and MEMORY, with a core of each for the system."""
        return max(ceil(self.processes / (CORES - 1)), ceil(self.memory / (MEMORY * 0.9)))


def needs(scenario: Scenario, clients: int, costs: Costs, layer: str) -> Needs:
    """
    Return what so many clients need: as many processes as keep each below BUSY.

    More processes mean that a message reaches more of them, so the number is approached.
    """
    processes = max(1, ceil(clients / MOST_CLIENTS))
    for _ in range(ROUNDS):
        found = _with(scenario, clients, costs, layer, processes)
        if found.busy <= BUSY:
            break
        processes = ceil(processes * found.busy / BUSY)
    return found


def _with(scenario: Scenario, clients: int, costs: Costs, layer: str, processes: int) -> Needs:
    outcome = simulate(scenario, processes)
    spoken = clients * scenario.events
    deliveries = spoken * outcome.receivers + clients * scenario.to_all
    published = (spoken + scenario.to_all) if processes > 1 else 0.0
    # Whoever publishes to a group that it is in hears itself too.
    received = (spoken * outcome.processes + scenario.to_all * processes) if published else 0.0
    connects = clients / scenario.stay
    own = costs.layers[layer]
    cpu = (
        deliveries * costs.deliver
        + (spoken + clients / PING_INTERVAL) * costs.event
        + connects * costs.connect
        + published * own.publish
        + received * own.receive
    )
    changes = connects * (1 + scenario.rooms) * 2 + processes / SERVER_HEARTBEAT
    return Needs(
        processes=processes,
        busy=cpu / 1e6 / processes,
        memory=clients * costs.connection + processes * PROCESS,
        files=ceil(clients / processes * outcome.largest) + FILES,
        deliveries=deliveries,
        published=published,
        received=received,
        group_changes=outcome.group_changes * clients,
        connects=connects,
        rows=changes,
        transactions=min(changes, processes * TRANSACTIONS),
        valkeys={name: _valkeys(published, received, costs, name) for name in costs.layers},
        outcome=outcome,
    )


def _valkeys(published: float, received: float, costs: Costs, layer: str) -> int:
    """Return how many Valkeys carry the messages, each with a core of its own."""
    if not published:
        return 0
    used = published * costs.layers[layer].in_valkey(received / published)
    return max(1, ceil(used / 1e6 / BUSY))
