"""Several hubs on one event loop, each with a layer of its own on one bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from realtime.cluster.cluster import Cluster
from realtime.cluster.targets import Target
from realtime.execution.tasks import Tasks
from realtime.hub.asking import call
from realtime.hub.hub import Hub
from realtime.outside import process
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .layer import Bus, Layer

# Beats that a test need not wait for. Only tests marked `expiry` take a hub for gone, or for deaf,
# that has said nothing for EXPIRY: a machine that stands still for so long looks the same.
BEAT, EXPIRY = 0.1, 0.4


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


class KeptTasks(Tasks):
    """Tasks of which a test knows `all`, those that are done too."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.all: list[asyncio.Task[Any]] = []

    def keep(self, task: asyncio.Task[Any]) -> None:
        super().keep(task)
        self.all.append(task)


class Server:
    """A hub, its layer, and what a test does with it."""

    def __init__(self, hub: Hub, layer: Layer) -> None:
        assert isinstance(hub.cluster, Cluster)
        self.hub = hub
        self.layer = layer
        self.cluster = hub.cluster
        self._clients: list[Client] = []
        self._is_dead = False

    async def client(self, *rooms: str, **options: Any) -> Client:
        """Return a new client of this hub in "/", which has joined rooms; `options` are its own."""
        loop = asyncio.get_running_loop()
        process._hubs[loop] = self.hub
        try:
            client = Client(auth={"rooms": list(rooms)}, **options)
            await client.connect()
        finally:
            del process._hubs[loop]
        self._clients.append(client)
        return client

    async def take_back(self, client: Client) -> None:
        """Let a client that has dropped come to this hub."""
        loop = asyncio.get_running_loop()
        process._hubs[loop] = self.hub
        try:
            await client.connect(DEADLINE)
        finally:
            process._hubs.pop(loop, None)  # another one may have come meanwhile

    async def close(self) -> None:
        """End as a server does that has little time."""
        self.layer.resume()
        for client in self._clients:
            await client.disconnect()
        if self._is_dead and self.hub.recovery is not None:  # it has nobody to hand them over to
            self.hub.recovery.sessions.close()
        await self.hub.close(grace=0.1)

    def emit(self, rooms: tuple[str, ...], *args: Any, without: tuple[str, ...] = ()) -> None:
        """Send the event "said"."""
        self.hub.emit(Target("/", rooms, without), Message("/", "said", args))

    def command(self, rooms: tuple[str, ...], action: str, *names: str) -> None:
        """Let a room's sockets join or leave, or close them."""
        self.hub.command(Target("/", rooms), action, names)

    async def call(self, rooms: tuple[str, ...], timeout: float = DEADLINE) -> Any:
        """Ask a room a question, and return the answers."""
        return await call(self.hub, Target("/", rooms), Message("/", "question", ()), timeout)

    def kill(self) -> None:
        """Stop at once, without a word to anybody."""
        for task in [*self.hub.services.others(), *self.hub.tasks.others()]:
            task.cancel()
        self.layer.fail()
        self._is_dead = True

    def knows(self, *others: Server) -> bool:
        """Tell whether this hub knows these, and no others."""
        return set(self.cluster.peers.names()) == {other.hub.server_id for other in others}

    def has_met(self, *others: Server) -> bool:
        """Tell whether this hub knows these, and no others, and has exchanged greetings."""
        return self.knows(*others) and (self.cluster.heard or not others)


Start = Callable[..., Awaitable[Server]]
Two = tuple[Server, Server]


@pytest.fixture
def bus() -> Bus:
    """What joins this test's hubs."""
    return Bus()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    expiry = EXPIRY if request.node.get_closest_marker("expiry") else DEADLINE
    for module in ("peers", "heartbeats", "cluster"):
        monkeypatch.setattr(f"realtime.cluster.{module}.BEAT", BEAT)
    for module in ("peers", "heartbeats"):
        monkeypatch.setattr(f"realtime.cluster.{module}.EXPIRY", expiry)
    monkeypatch.setattr("realtime.cluster.layer_connection.MAX_PAUSE", 0.2)
    monkeypatch.setattr("realtime.cluster.listener.MAX_PAUSE", BEAT)


@pytest.fixture
async def start(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """
    A function that starts a hub, which knows those that were started before and is known.

    It may be given those that are still there.
    """
    servers: list[Server] = []

    async def start(there: Sequence[Server] | None = None) -> Server:
        layer = bus.connect()
        monkeypatch.setattr("realtime.hub.hub.find_layer", lambda alias, sender: layer)
        server = Server(Hub(), layer)
        all_there = {*(servers if there is None else there), server}
        servers.append(server)
        await until(lambda: all(one.has_met(*(all_there - {one})) for one in all_there))
        return server

    yield start
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.close())
    left = [task for server in servers for task in server.hub.services.others() if not task.done()]
    if left:
        _, left = await asyncio.wait(left, timeout=DEADLINE)
    assert not left


@pytest.fixture
async def two(start: Start) -> Two:
    """Two hubs that know each other."""
    return await start(), await start()


@pytest.fixture
async def three(start: Start) -> tuple[Server, Server, Server]:
    """Three hubs that know each other."""
    return await start(), await start(), await start()
