"""How a hub tells its clients to go: in waves, and not before it has answered them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime import NamespaceConsumer, event
from realtime.cluster.standalone import LocalCluster
from realtime.exceptions import ServerDraining
from realtime.execution.tasks import Tasks
from realtime.hub import draining
from realtime.hub.draining import WAVE_CLIENTS, WAVE_INTERVAL, Drain
from realtime.hub.hub import Hub
from realtime.transports.polling import PollingWriter
from realtime.transports.session import Session

from ..conftest import Connect, Serve
from ..probes import DEADLINE

pytestmark = pytest.mark.timeout(60)


class FakeConnection:
    """Notes when it is told to go. It is at work until `done`, where a test says so."""

    def __init__(self, hub: FakeHub, *, at_work: bool = False) -> None:
        self.hub = hub
        self.done = asyncio.Event()
        if not at_work:
            self.done.set()
        self.told = False

    @property
    def at_work(self) -> bool:
        return not self.done.is_set()

    async def wait_done(self) -> None:
        await self.done.wait()

    def close(self, reason: str) -> None:
        if not self.told:
            self.told = True
            self.hub.told.append(self)
            self.hub.connections.pop(id(self), None)
            assert reason == "server shutting down"


class FakeArrivals:
    """Clients that are on their way from another hub, each as long as a test says so."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.coming: list[FakeConnection] = []
        self.over = asyncio.Event()

    async def finish(self) -> None:
        if self.coming:
            await self.over.wait()
            self.hub.connections |= {id(each): each for each in self.coming}


class FakeHub:
    """What a drain needs of a hub."""

    def __init__(self, seconds: float) -> None:
        self.settings = SimpleNamespace(DRAIN_SECONDS=seconds)
        self.loop = asyncio.get_running_loop()
        self.services = Tasks(self.loop)
        self.cluster = LocalCluster()
        self.spawn = Tasks(self.loop).spawn
        self.connections: dict[int, FakeConnection] = {}
        self.draining = False
        self.told: list[FakeConnection] = []
        self.departures = SimpleNamespace(keep=lambda: None)
        self.arrivals = FakeArrivals(self)
        self.drain = Drain(cast(Hub, self))

    def add(self, count: int = 1, **options: Any) -> list[FakeConnection]:
        new = [FakeConnection(self, **options) for _ in range(count)]
        self.connections |= {id(each): each for each in new}
        return new


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("clients", "seconds", "size"),
    [
        (1, 10, 1),
        (WAVE_CLIENTS, 10, WAVE_CLIENTS),  # a small site stops at once
        (WAVE_CLIENTS + 1, 10, WAVE_CLIENTS),
        (5_000, 10, WAVE_CLIENTS),
        (100_000, 10, 500),
        (100_000, 1, 5_000),
        (100_000, WAVE_INTERVAL, 100_000),
        (100_000, 0, 100_000),
        (100_000, -1, 100_000),
    ],
)
def test_the_size_of_a_wave(clients: int, seconds: float, size: int) -> None:
    assert draining._wave_size(clients, seconds) == size


@pytest.mark.parametrize(("seconds", "waves"), [(0, 1), (60, 3)])
async def test_waves(monkeypatch: pytest.MonkeyPatch, seconds: float, waves: int) -> None:
    hub = FakeHub(seconds)
    connections = hub.add(2 * WAVE_CLIENTS + 1)
    sizes = []

    async def pause() -> None:
        sizes.append(len(hub.told))

    monkeypatch.setattr(hub.drain, "_pause", pause)
    await hub.drain.finish()
    assert hub.told == connections
    assert sizes == [WAVE_CLIENTS, 2 * WAVE_CLIENTS][: waves - 1]
    assert hub.draining


async def test_who_leaves_meanwhile_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(60)
    connections = hub.add(WAVE_CLIENTS + 2)

    async def pause() -> None:
        connections[-1].close("server shutting down")

    monkeypatch.setattr(hub.drain, "_pause", pause)
    await hub.drain.finish()
    assert len(hub.told) == len(connections)


async def test_a_client_is_kept_while_its_handlers_work() -> None:
    hub = FakeHub(10)
    (busy,) = hub.add(at_work=True)
    (idle,) = hub.add()
    draining = asyncio.create_task(hub.drain.finish())
    await until(lambda: idle.told)
    assert not busy.told
    assert not draining.done()
    busy.done.set()
    await draining
    assert busy.told


async def test_handlers_do_not_keep_it_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "HANDLERS_TIME", 0.01)
    hub = FakeHub(10)
    (busy,) = hub.add(at_work=True)
    await hub.drain.finish()
    assert busy.told


async def test_all_who_ask_for_it_wait_for_the_same() -> None:
    hub = FakeHub(10)
    (busy,) = hub.add(at_work=True)
    both = [asyncio.create_task(hub.drain.finish()) for _ in range(2)]
    await until(lambda: hub.draining)
    both[0].cancel()  # one that gives up takes nothing back
    busy.done.set()
    await both[1]
    assert busy.told


async def test_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "WAVE_INTERVAL", 3600)
    monkeypatch.setattr(draining, "HANDLERS_TIME", 3600)
    hub = FakeHub(36_000)
    hub.add(1, at_work=True)
    hub.add(3 * WAVE_CLIENTS)
    finishing = asyncio.create_task(hub.drain.finish())
    await until(lambda: len(hub.told) == WAVE_CLIENTS - 1)
    hub.drain.hurry()
    async with asyncio.timeout(DEADLINE):
        await finishing
    assert len(hub.told) == 3 * WAVE_CLIENTS + 1


# On a hub


class Worker(NamespaceConsumer):
    """Works until a test lets it go."""

    started: asyncio.Event
    let_go: asyncio.Event
    ended: list[str]

    @event
    async def work(self) -> str:
        self.started.set()
        await self.let_go.wait()
        return "done"

    @event("work beside", concurrent=True)
    async def work_beside(self) -> str:
        return await self.work()

    async def disconnect(self, reason: str) -> None:
        self.ended.append(reason)


@pytest.fixture(autouse=True)
def _worker(serve: Serve) -> None:
    Worker.started, Worker.let_go, Worker.ended = asyncio.Event(), asyncio.Event(), []
    serve(Worker)


@pytest.mark.parametrize("name", ["work", "work beside"])
async def test_an_acknowledgement_is_sent_first(hub: Hub, connect: Connect, name: str) -> None:
    client = await connect()
    asking = asyncio.create_task(client.call(name))
    await Worker.started.wait()
    draining = asyncio.create_task(hub.drain.finish())
    await until(lambda: hub.draining)
    assert not Worker.ended
    Worker.let_go.set()
    assert await asking == "done"
    await draining
    await until(lambda: Worker.ended)
    assert Worker.ended == ["server shutting down"]


async def test_nobody_comes_in_meanwhile(hub: Hub, connect: Connect) -> None:
    hub.drain.begin()
    with pytest.raises(ServerDraining):
        await connect()
    assert not hub.connections


async def test_a_drained_hub_goes_on_until_it_is_closed(hub: Hub, connect: Connect) -> None:
    await connect()
    await hub.drain.finish()
    assert not hub.connections
    assert not hub.closing
    assert {"problem": "draining"} in hub.describe()["problems"]
    await hub.close(grace=0.5)
    assert hub.closing


async def test_a_second_signal_waits_for_nobody(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "HANDLERS_TIME", 3600)
    hub.hurry()  # nothing, where nobody has asked for an end
    client = await connect()
    asking = asyncio.create_task(client.call("work"))
    await Worker.started.wait()
    closing = asyncio.create_task(hub.close(grace=3600))
    await until(lambda: hub.draining)
    hub.hurry()
    async with asyncio.timeout(DEADLINE):
        await closing
    hub.hurry()
    asking.cancel()


async def test_nobody_is_held_up_by_a_client_that_does_not_poll(hub: Hub) -> None:
    scope: dict[str, Any] = {"type": "http", "headers": [], "query_string": b"", "user": None}
    session = Session(hub, scope, PollingWriter())
    session.open()
    assert session.at_work
    waiting = asyncio.ensure_future(session.wait_done())
    await asyncio.sleep(0)
    assert not waiting.done()
    await session.require_polling().poll(asyncio.Event().wait)
    async with asyncio.timeout(DEADLINE):
        await waiting
    session.close("transport close")


async def test_who_is_on_the_way_from_another_hub_is_told_when_it_is_here() -> None:
    hub = FakeHub(10)
    (there,), late = hub.add(), FakeConnection(hub)
    hub.arrivals.coming.append(late)
    finishing = asyncio.ensure_future(hub.drain.finish())
    await until(lambda: there.told)
    assert not finishing.done()
    hub.arrivals.over.set()
    await finishing
    assert hub.told == [there, late]
