"""Hubs that share a log in a real Valkey: one is killed, and Redis fails."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar
from weakref import WeakSet

import pytest

from realtime.cluster.log_layer import LogLayer
from realtime.cluster.targets import Target
from realtime.hub.hub import Hub
from realtime.outside import process
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.conftest import Serve
from tests.unit.probes import DEADLINE
from tests.unit.recovery.test_recovery import PUBSUB, Rooms
from tests.valkey import Valkey

BEAT, EXPIRY = 0.1, 3.0

pytestmark = pytest.mark.slow


class Server:
    """A hub, and its clients."""

    _running: ClassVar[WeakSet[Server]] = WeakSet()

    def __init__(self) -> None:
        self.hub = Hub()
        self.killed = False
        self._running.add(self)

    @property
    def layer(self) -> LogLayer:
        """The layer that keeps the log."""
        layer = self.hub.cluster.link.layer  # type: ignore[union-attr]
        assert isinstance(layer, LogLayer)
        return layer

    async def take(self, client: Client) -> Client:
        """Let a client come to this hub, or come back to it."""
        loop = asyncio.get_running_loop()
        process._hubs[loop] = self.hub
        try:
            await client.connect(DEADLINE)
        finally:
            del process._hubs[loop]
        return client

    async def client(self, *rooms: str) -> Client:
        """Return a new client in these rooms."""
        return await self.take(Client(auth={"rooms": list(rooms)}))

    def emit(self, room: str, *args: Any) -> None:
        """Send the event "n"."""
        self.hub.emit(Target("/", (room,)), Message("/", "n", args))

    async def command(self, target: Target, action: str, *names: str) -> None:
        """Let others do something, and wait until this hub has sent that."""
        self.hub.command(target, action, names)
        await self.hub.wait_returned()

    async def kill(self) -> None:
        """Stop at once, without a word to anybody."""
        self.killed = True
        layer = self.layer
        for connection in (layer._pipe._connection, layer._hearing):
            connection._make = _dead
        await layer.close_pools()
        for task in [*self.hub.services.others(), *self.hub.tasks.others()]:
            task.cancel()
        self._running.discard(self)
        for other in self._running:
            other.lose(self.hub.server_id)

    def lose(self, server: str) -> None:
        """Let it be long ago that another hub was heard, which this one notices by itself."""
        peer = self.hub.cluster.peers._peers.get(server)  # type: ignore[union-attr]
        if peer is not None:
            peer.heard = float("-inf")


def _dead() -> Any:
    raise ConnectionError("it is dead")


Start = Callable[[], Awaitable[Server]]


@pytest.fixture
def valkey(valkey: Valkey, request: pytest.FixtureRequest) -> Any:
    """A Valkey; of the test's own, where that is marked `own_valkey`, and may stop it."""
    if request.node.get_closest_marker("own_valkey") is None:
        return valkey
    return request.getfixturevalue("new_valkey")()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, serve: Serve, settings: Any, valkey: Valkey) -> None:
    for module in ("peers", "heartbeats", "cluster"):
        monkeypatch.setattr(f"realtime.cluster.{module}.BEAT", BEAT)
    for module in ("peers", "heartbeats"):
        monkeypatch.setattr(f"realtime.cluster.{module}.EXPIRY", EXPIRY)
    monkeypatch.setattr("realtime.cluster.layer_connection.MAX_PAUSE", 0.2)
    config = {"hosts": [valkey.url], "prefix": secrets.token_hex(4)}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": PUBSUB, "CONFIG": config}}
    serve(Rooms, RECOVERY={"SECONDS": 60, "LOG": "redis"})


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def two() -> AsyncIterator[tuple[Server, Server]]:
    """Two hubs that know each other."""
    servers = Server(), Server()
    for one, other in (servers, servers[::-1]):
        await until(lambda one=one, other=other: other.hub.server_id in one.hub.cluster.reports())
    yield servers
    for server in servers:
        if not server.killed:
            await server.hub.close(grace=0.5)


async def texts(client: Client, count: int) -> list[Any]:
    """Return the last arguments of the next events."""
    return [(await client.receive(DEADLINE))[-1] for _ in range(count)]


async def test_a_hub_that_is_killed_takes_nothing_with_it(two: tuple[Server, Server]) -> None:
    one, other = two
    client = await one.client("a")
    sid = client.sid
    one.emit("a", 1)
    other.emit("a", 2)
    assert sorted(await texts(client, 2)) == [1, 2]
    assert await client.call("keep", "name", "Ada") == {"name": "Ada"}
    assert await client.call("enter", "b") == ["a", "b"]
    await one.kill()
    client.drop()
    other.emit("a", 3)
    other.emit("b", 4)
    other.emit(sid, 5)
    other.emit("c", "for others")
    await other.take(client)
    assert (client.recovered, client.sid) == (True, sid)
    assert await texts(client, 3) == [3, 4, 5]
    other.emit("b", 6)
    assert await texts(client, 1) == [6]
    state = await client.call("state")
    assert (state["rooms"], state["data"]) == (["a", "b"], {"name": "Ada"})
    assert not client.pending()


async def test_what_others_let_it_do_while_no_hub_has_it(two: tuple[Server, Server]) -> None:
    one, other = two
    client = await one.client("a", "b")
    await one.kill()
    client.drop()
    other.emit("c", "before the join")
    await other.command(Target("/", (client.sid,)), "join", "c")
    other.emit("c", 1)
    await other.command(Target("/", ("a",)), "leave", "b")
    other.emit("b", "after the leave")
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [1]
    other.emit("c", 2)
    assert await texts(client, 1) == [2]
    assert (await client.call("state"))["rooms"] == ["a", "c"]
    assert not client.pending()


async def test_who_was_disconnected_meanwhile_is_told(two: tuple[Server, Server]) -> None:
    one, other = two
    client = await one.client("a")
    await one.kill()
    client.drop()
    await other.command(Target("/", ("a",)), "close")
    await other.take(client)
    assert not client.recovered
    assert (await client.call("state"))["lost"]


async def test_a_secret_that_is_a_guess_finds_nothing(two: tuple[Server, Server]) -> None:
    one, other = two
    client = await one.client("a")
    await one.kill()
    client.drop()
    client._pid = client._pid[:-1] + ("a" if client._pid[-1] != "a" else "b")
    await other.take(client)
    assert not client.recovered


async def test_a_session_has_one_owner(two: tuple[Server, Server], valkey: Valkey) -> None:
    """A hub that was taken for dead, and is not, lets go when it finds out."""
    one, other = two
    client = await one.client("a")
    socket = one.hub.registry.sockets[client.sid]
    key = one.layer.session(client._pid)
    valkey.client.hset(key, "o", other.hub.server_id)
    socket.join("b")
    await until(lambda: socket.gone)
    assert valkey.client.hget(key, "o") == other.hub.server_id.encode()
    assert one.hub.recovery is not None
    assert not len(one.hub.recovery.sessions)


@pytest.mark.own_valkey
async def test_clients_hear_each_other_while_redis_is_down(
    two: tuple[Server, Server], valkey: Valkey
) -> None:
    one, _ = two
    client, other = await one.client("a"), await one.client("a")
    one.emit("a", 1)
    assert await texts(client, 1) == await texts(other, 1) == [1]
    await asyncio.to_thread(valkey.stop)
    one.emit("a", 2)
    assert await texts(client, 1) == await texts(other, 1) == [2]
    other.drop()
    one.emit("a", 3)
    assert await texts(client, 1) == [3]
    await asyncio.to_thread(valkey.start)
    await until(one.hub.cluster.link.up.is_set)  # type: ignore[union-attr]
    await one.take(other)
    assert not other.recovered, "what it has missed is kept nowhere"
    one.emit("a", 4)
    assert await texts(client, 1) == await texts(other, 1) == [4]
    assert not client.pending(), "what was delivered at once does not come again"


@pytest.mark.own_valkey
async def test_who_comes_after_an_outage_recovers(
    two: tuple[Server, Server], valkey: Valkey
) -> None:
    one, other = two
    await asyncio.to_thread(valkey.restart)
    for server in two:
        recovery: Any = server.hub.recovery
        await until(lambda recovery=recovery: 0 < recovery.log.gap < float("inf"))
    client = await one.client("a")
    one.emit("a", 1)
    assert await texts(client, 1) == [1]
    await one.kill()
    client.drop()
    other.emit("a", 2)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [2]


@pytest.mark.own_valkey
async def test_while_redis_is_full_events_arrive_and_who_drops_is_told(
    two: tuple[Server, Server], valkey: Valkey
) -> None:
    one, other = two
    client, away = await other.client("a"), await other.client("a")
    one.emit("a", 1)
    assert await texts(client, 1) == await texts(away, 1) == [1]
    valkey.client.config_set("maxmemory", 1)
    away.drop()
    one.emit("a", 2)
    assert await texts(client, 1) == [2]
    valkey.client.config_set("maxmemory", 0)
    await other.take(away)
    assert not away.recovered
    one.emit("a", 3)
    assert await texts(client, 1) == await texts(away, 1) == [3]


async def test_what_a_handler_does_keeps_its_order(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has to wait for Redis is not overtaken by what has not."""
    one, _ = two
    client = await one.client("a")
    socket: Any = one.hub.registry.sockets[client.sid]
    consumer = socket.consumer
    monkeypatch.setitem(process._hubs, asyncio.get_running_loop(), one.hub)
    consumer.everyone.to("b").emit("n", "before the join")
    consumer.join("b")
    consumer.everyone.to("b").emit("n", 1)
    consumer.leave("b")
    consumer.everyone.to("b").emit("n", "after the leave")
    consumer.emit("n", 2)
    consumer.close()
    assert await texts(client, 2) == [1, 2]
    await until(lambda: socket.gone)
    assert not client.pending()


async def test_what_a_handler_did_just_before_the_drop(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done, though the client is gone before its turn comes."""
    one, other = two
    client = await one.client("a")
    socket: Any = one.hub.registry.sockets[client.sid]
    with monkeypatch.context() as patch:
        patch.setitem(process._hubs, asyncio.get_running_loop(), one.hub)
        socket.consumer.everyone.to("c").emit("n", "to wait for")
        socket.consumer.join("b")
        socket.consumer.leave("a")
        client.drop()
        assert socket.gone
    await one.hub.wait_returned()
    await one.hub.wait_returned()  # for what the first has let it send
    one.emit("a", "after the leave")
    one.emit("b", 1)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [1]
    assert (await client.call("state"))["rooms"] == ["b"]
    assert not client.pending()


async def test_what_came_before_a_leave_just_before_the_drop(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the room until its turn comes, whatever the handler sees."""
    one, other = two
    client = await one.client("a")
    socket: Any = one.hub.registry.sockets[client.sid]
    with monkeypatch.context() as patch:
        patch.setitem(process._hubs, asyncio.get_running_loop(), one.hub)
        socket.consumer.everyone.to("a").emit("n", 1)
        socket.consumer.leave("a")
        assert not socket.consumer.rooms
        client.drop()
    await one.hub.wait_returned()
    await one.hub.wait_returned()
    one.emit("a", "after the leave")
    assert not one.hub.registry.namespaces
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [1]
    assert (await client.call("state"))["rooms"] == []
    assert not client.pending()


async def test_who_was_closed_just_before_the_drop(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    client = await one.client("a")
    socket: Any = one.hub.registry.sockets[client.sid]
    with monkeypatch.context() as patch:
        patch.setitem(process._hubs, asyncio.get_running_loop(), one.hub)
        socket.consumer.everyone.to("c").emit("n", "to wait for")
        socket.consumer.close()
        client.drop()
    await one.hub.wait_returned()
    await one.hub.wait_returned()
    await other.take(client)
    assert not client.recovered


async def test_who_is_made_to_join_while_it_comes_back(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missed is read anew then, and nothing of it is left out."""
    one, other = two
    client = await one.client("a", "b")
    sid = client.sid
    other.emit("a", 1)
    assert await texts(client, 1) == [1]
    client.drop()
    other.emit("a", 2)
    other.emit("b", 3)
    recovery: Any = other.hub.recovery
    read, reads = recovery.log.read, []

    async def slowly(*args: Any) -> Any:
        found = await read(*args)
        reads.append(found)
        if len(reads) == 2:  # the rest of what was missed
            await one.command(Target("/", (sid,)), "join", "c")
            await one.command(Target("/", (sid,)), "leave", "b")
            one.emit("c", 4)
            one.emit("b", "after the leave")
            one.emit("a", 5)
            await one.hub.wait_returned()
        return found

    monkeypatch.setattr(recovery.log, "read", slowly)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 4) == [2, 3, 4, 5]
    assert (await client.call("state"))["rooms"] == ["a", "c"]
    assert not client.pending()


@pytest.mark.parametrize("place", ["where it was", "elsewhere"])
async def test_the_process_is_killed_that_is_about_to_let_it_in(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It has the session from another one, which lives: and is the one whose it is in Redis."""
    one, other = two
    third = Server()
    client = await one.client("a", "b")
    client.drop()
    one.emit("a", 1)
    taken, never = asyncio.Event(), asyncio.Event()

    async def begin(*args: Any) -> bool:
        taken.set()
        await never.wait()
        return False

    monkeypatch.setattr(other.hub.recovery.store, "begin", begin)  # type: ignore[union-attr]
    coming = asyncio.ensure_future(other.take(client))
    await taken.wait()
    await one.command(Target("/", (client.sid,)), "leave", "b")
    await other.kill()
    coming.cancel()
    await asyncio.wait([coming])
    client.drop()
    one.emit("b", "after the leave")
    one.emit("a", 2)
    try:
        back = one if place == "where it was" else third
        await back.take(client)
        assert client.recovered
        assert await texts(client, 2) == [1, 2]
        assert (await client.call("state"))["rooms"] == ["a"]
        assert not client.pending()
    finally:
        await third.hub.close(grace=0.5)
