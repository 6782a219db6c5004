"""What is measured, and on which servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SOCKETIO = ("uvicorn", "uvicorn-asyncio", "daphne", "node", "python-socketio", "django-sio")
CHANNELS = ("channels-uvicorn", "channels-daphne")
OURS = ("uvicorn", "uvicorn-asyncio", "daphne")


@dataclass(frozen=True)
class Case:
    """
    One row of a workload's table: a kind of server in a configuration.

    `label` follows the server's title, `processes` is how many run, `layer` the channel layer (or
    the Redis adapter of other servers), `realtime` are settings of REALTIME (Node heeds RECOVERY
    there), `arguments` are the load generator's beyond those of the workload. `deaf` clients more
    are in the room and never read; `beside` names the case of the same server without what this one
    is about.
    """

    server: str
    label: str = ""
    processes: int = 1
    layer: str = "memory"
    realtime: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    deaf: int = 0
    beside: str = ""

    @property
    def name(self) -> str:
        """The key of this case in the results."""
        return f"{self.server} {self.label}".strip()


@dataclass(frozen=True)
class Workload:
    """
    A workload: `arguments` for the load generator, and the cases that can do it.

    `unit` is what a second is counted in, `logged_in` whether clients bring a session's cookie.
    `missing` says why a server that one looks for is not in the table. It is measured for
    `seconds`, `rounds` times, unless something else is asked for.
    """

    name: str
    title: str
    unit: str
    arguments: tuple[str, ...]
    cases: tuple[Case, ...]
    logged_in: bool = False
    missing: str = ""
    seconds: float = 3.0
    rounds: int = 3


def _cases(*names: str) -> tuple[Case, ...]:
    return tuple(Case(name) for name in names)


BROADCAST = ("--workload", "broadcast", "--clients", "500", "--in-flight", "4")


def _broadcast(
    name: str, title: str, *arguments: str, cases: tuple[Case, ...], missing: str = ""
) -> Workload:
    arguments = (*BROADCAST, *arguments)
    return Workload(name, title, "deliveries", arguments, cases=cases, missing=missing)


# Of 500 members, so many never read.
DEAF = 50


def _beside_deaf(server: str, size: int) -> tuple[Case, Case]:
    """Return the cases of a room without and with deaf clients, and messages of a size."""
    arguments = ("--size", str(size), "--clients", str(500 - DEAF))
    without = Case(server, f"{size} bytes, all read", arguments=arguments)
    return without, Case(
        server,
        f"{size} bytes, {DEAF} more never read",
        1,
        arguments=arguments,
        deaf=DEAF,
        beside=without.name,
    )


NO_PRESENCE: dict[str, object] = {"PRESENCE": False}
CONNECTS = ("--workload", "connects", "--clients", "64")
ECHO = ("--workload", "echo", "--clients", "50", "--in-flight", "4")
IDLE = ("--workload", "idle", "--clients", "5000")

# Clients that drop may come back, and get what they have missed.
RECOVERY: dict[str, object] = {"RECOVERY": {"SECONDS": 120}}


# The same, where events are kept in Redis, for clients of processes that are killed.
LOGGED: dict[str, object] = {"RECOVERY": {"SECONDS": 120, "LOG": "redis"}}


def _with_recovery(without: Case) -> tuple[Case, ...]:
    """
    Return a case, and the same where clients that drop may come back; also with the log in Redis,
    where Realtime's layer can keep it.
    """
    ways = {"with recovery": RECOVERY}
    if without.layer == "pubsub":
        ways["with recovery, log in Redis"] = LOGGED
    return without, *(
        replace(
            without,
            label=f"{without.label} {way}".strip(),
            realtime={**without.realtime, **settings},
            beside=without.name,
        )
        for way, settings in ways.items()
    )


def _recovery(
    name: str, title: str, unit: str, arguments: tuple[str, ...], *cases: Case, missing: str = ""
) -> Workload:
    paired = tuple(each for case in cases for each in _with_recovery(case))
    return Workload(f"recovery-{name}", title, unit, arguments, paired, missing=missing)


_CLUSTER = (
    *(
        Case(server, f"({layer} layer)", processes=2, layer=layer)
        for server in OURS
        for layer in ("core", "pubsub")
    ),
    Case("node", "with its Redis adapter", processes=2, layer="core"),
    Case("python-socketio", "with its Redis manager", processes=2, layer="core"),
    Case("channels-uvicorn", "(core layer)", processes=2, layer="core"),
    Case("channels-daphne", "(core layer)", processes=2, layer="core"),
)

_ALL = (
    _broadcast(
        "broadcast",
        "Broadcast of 100 bytes to a room of 500, four on their way",
        cases=_cases(*SOCKETIO, *CHANNELS),
    ),
    _broadcast(
        "broadcast-16k",
        "Broadcast of 16 KiB to a room of 500",
        *("--size", "16384"),
        cases=_cases(*SOCKETIO, *CHANNELS),
    ),
    _broadcast(
        "broadcast-binary",
        "Broadcast of 100 bytes of binary to a room of 500",
        "--binary",
        cases=_cases(*SOCKETIO),
        missing="Channels' AsyncJsonWebsocketConsumer sends no binary.",
    ),
    _broadcast(
        "broadcast-rooms",
        "Broadcast of 100 bytes to 20 rooms of 25 in turn",
        *("--rooms", "20"),
        cases=_cases(*SOCKETIO, *CHANNELS),
    ),
    _broadcast(
        "polling",
        "Broadcast of 100 bytes to a room of 500 over HTTP long-polling",
        *("--transport", "polling"),
        cases=_cases(*SOCKETIO),
        missing="Channels has no long-polling.",
    ),
    Workload(
        "deaf",
        f"Broadcast to a room of {500 - DEAF} clients who read, and to {DEAF} who never do",
        "deliveries",
        ("--workload", "broadcast", "--in-flight", "4"),
        tuple(
            case
            for server in ("uvicorn", "daphne")
            for size in (100, 1024)
            for case in _beside_deaf(server, size)
        ),
        seconds=60.0,
        rounds=1,
    ),
    Workload(
        "echo",
        "Acknowledged echo of 100 bytes, 50 clients with four on their way each",
        "acknowledgements",
        ECHO,
        _cases(*SOCKETIO, *CHANNELS),
    ),
    Workload(
        "typed",
        "The same echo of an object, to a typed and to an untyped handler",
        "acknowledgements",
        (*ECHO, "--structured"),
        tuple(
            Case(server, f"({event})", arguments=("--event", event))
            for server in ("uvicorn", "daphne")
            for event in ("untyped", "typed")
        ),
    ),
    Workload(
        "connects",
        "Clients that connect and leave, without session or presence",
        "connects",
        CONNECTS,
        (
            *(Case(server, realtime=NO_PRESENCE) for server in OURS),
            *_cases("node", "python-socketio", "django-sio", *CHANNELS),
        ),
    ),
    Workload(
        "connects-session",
        "Clients that connect and leave, with a session and its user from the database",
        "connects",
        CONNECTS,
        (
            *(Case(server, "with presence") for server in OURS),
            *(Case(server, "without presence", realtime=NO_PRESENCE) for server in OURS),
            *_cases("django-sio", *CHANNELS),
        ),
        logged_in=True,
        missing="Node and python-socketio know no sessions of a site.",
    ),
    Workload(
        "idle",
        "Memory of an idle connection, 5,000 of them",
        "KiB a connection",
        IDLE,
        _cases(*SOCKETIO, *CHANNELS),
    ),
    _broadcast(
        "cluster",
        "Broadcast of 100 bytes to a room of 500 on two processes over Valkey",
        cases=_CLUSTER,
        missing="django-sio keeps its sessions in one process.",
    ),
    Workload(
        "layers",
        "The layers by themselves: messages of 180 bytes to a group of so many processes",
        "messages",
        (),
        tuple(
            Case("valkey", f"{layer} layer, {receivers} to receive", receivers, layer)
            for layer in ("core", "pubsub")
            for receivers in (1, 4)
        ),
    ),
    Workload(
        "outside",
        "Emits from a process that serves no clients, over Valkey, to a room of 10",
        "emits",
        ("--workload", "listen", "--clients", "10"),
        (
            *(Case("uvicorn", f"({layer} layer)", layer=layer) for layer in ("core", "pubsub")),
            Case("python-socketio", "by its write-only manager", layer="core"),
            Case("channels-uvicorn", "by async_to_sync(group_send)", layer="core"),
        ),
    ),
    _recovery(
        "broadcast",
        "Broadcast of 100 bytes to a room of 500, with and without recovery",
        "deliveries",
        BROADCAST,
        *_cases("uvicorn", "daphne", "node"),
    ),
    _recovery(
        "echo",
        "Acknowledged echo of 100 bytes, with and without recovery",
        "acknowledgements",
        ECHO,
        *_cases("uvicorn", "daphne", "node"),
    ),
    _recovery(
        "connects",
        "Clients that connect and drop, with and without recovery",
        "connects",
        CONNECTS,
        *(Case(server, realtime=NO_PRESENCE) for server in ("uvicorn", "daphne", "node")),
    ),
    _recovery(
        "idle",
        "Memory of an idle connection, with and without recovery",
        "KiB a connection",
        IDLE,
        *_cases("uvicorn", "daphne", "node"),
    ),
    _recovery(
        "cluster",
        "Broadcast of 100 bytes to a room of 500 on two processes over Valkey, with and without "
        "recovery",
        "deliveries",
        BROADCAST,
        *(
            Case(server, "(pubsub layer)", processes=2, layer="pubsub")
            for server in ("uvicorn", "daphne")
        ),
        Case("node", "(Redis Streams adapter)", processes=2, layer="streams"),
        missing="Node's other Redis adapter has no recovery.",
    ),
    _recovery(
        "events",
        "One event of 100 bytes at a time to a room of 10 on two processes over Valkey, with and "
        "without recovery",
        "deliveries",
        ("--workload", "broadcast", "--clients", "10", "--in-flight", "1"),
        *(
            Case(server, "(pubsub layer)", processes=2, layer="pubsub")
            for server in ("uvicorn", "daphne")
        ),
        Case("node", "(Redis Streams adapter)", processes=2, layer="streams"),
    ),
)

WORKLOADS = {workload.name: workload for workload in _ALL}
