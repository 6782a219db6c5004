"""Clients that are made to join and leave while they come back, where hubs share a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

import pytest

from realtime.cluster.targets import Target
from realtime.testing import Client
from tests.unit.conftest import Serve
from tests.unit.recovery.test_recovery import Rooms
from tests.unit.recovery.test_shared_log import Server, _quick, texts, two, until, valkey

__all__ = ["_quick", "two", "valkey"]

pytestmark = pytest.mark.slow

Two = tuple[Server, Server]
Leave = Callable[[Client], Coroutine[Any, Any, None]]
Then = Callable[[int], Coroutine[Any, Any, None]]


class Waiting(Rooms):
    """Keeps who comes back in `connect` until a test says so."""

    entered: asyncio.Event
    go_on: asyncio.Event
    inside: list[str]

    async def connect(self, auth: dict[str, Any]) -> None:
        await super().connect(auth)
        if self.recovered:
            type(self).inside = sorted(self.rooms)
            self.entered.set()
            await self.go_on.wait()


@pytest.fixture(autouse=True)
def waiting(_quick: None, serve: Serve) -> type[Waiting]:
    """Whose `connect` lets its clients in at once, until a test has it wait."""
    Waiting.entered, Waiting.go_on, Waiting.inside = asyncio.Event(), asyncio.Event(), []
    Waiting.go_on.set()
    serve(Waiting)
    return Waiting


@pytest.fixture(params=["killed", "alive"])
async def before(request: pytest.FixtureRequest, two: Two) -> Leave:
    """A function that lets a client drop from a hub that is killed just before, or is not."""

    async def leave(client: Client) -> None:
        if request.param == "killed":
            await two[0].kill()
        client.drop()

    return leave


def behind_reads(server: Server, monkeypatch: pytest.MonkeyPatch, then: Then) -> None:
    """Do something each time that a hub has read the log; it is told how often that was."""
    recovery: Any = server.hub.recovery
    read, count = recovery.log.read, 0

    async def read_and_do(*args: Any) -> Any:
        nonlocal count
        found = await read(*args)
        count += 1
        # As somebody else does it, and not the client that comes back.
        await asyncio.create_task(then(count), context=Context())
        return found

    monkeypatch.setattr(recovery.log, "read", read_and_do)


async def test_what_is_sent_behind_a_leave(
    two: Two, before: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not come, though the client was in the room when it came back."""
    _, other = two
    client = await two[0].client("a", "b")
    sid = client.sid
    await before(client)

    async def leave(count: int) -> None:
        if count == 1:
            await other.command(Target("/", (sid,)), "leave", "b")
        else:
            other.emit("b", "after the leave")
            await other.hub.wait_returned()

    behind_reads(other, monkeypatch, leave)
    await other.take(client)
    other.emit("b", "after the leave")
    other.emit("a", 1)
    assert client.recovered
    assert await texts(client, 1) == [1]
    assert Waiting.inside == ["a"]
    assert (await client.call("state"))["rooms"] == ["a"]
    assert not client.pending()


async def test_what_is_sent_behind_a_join(
    two: Two, before: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes, though this hub did not hear for the room when the client came back."""
    _, other = two
    client = await two[0].client("a")
    sid, sent = client.sid, []
    await before(client)

    async def join(count: int) -> None:
        if count == 1:
            await other.command(Target("/", (sid,)), "join", "c")
        else:
            sent.append(count)
            other.emit("c", count)
            await other.hub.wait_returned()

    behind_reads(other, monkeypatch, join)
    await other.take(client)
    other.emit("c", 100)
    assert client.recovered
    assert await texts(client, len(sent) + 1) == [*sent, 100]
    assert Waiting.inside == ["a", "c"]
    assert (await client.call("state"))["rooms"] == ["a", "c"]
    assert not client.pending()


async def test_a_leave_behind_a_join(
    two: Two, before: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one came before the hub could see to it, the other behind that: the last one counts."""
    _, other = two
    client = await two[0].client("a")
    sid = client.sid
    await before(client)

    async def join(count: int) -> None:
        if count == 1:
            await other.command(Target("/", (sid,)), "join", "c")

    behind_reads(other, monkeypatch, join)
    Waiting.go_on.clear()
    coming = asyncio.ensure_future(other.take(client))
    await Waiting.entered.wait()
    await other.command(Target("/", (sid,)), "leave", "c")
    other.emit("c", "after the leave")
    other.emit("a", 1)
    Waiting.go_on.set()
    await coming
    assert await texts(client, 1) == [1]
    assert (await client.call("state"))["rooms"] == ["a"]
    assert not client.pending()


async def test_what_its_hub_had_done_and_not_written(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has got what was sent behind it, and the hub is killed then."""
    one, other = two
    client = await one.client("a", "b")
    sid = client.sid
    never = asyncio.Event()

    async def write_nothing(dirty: Any) -> None:
        await never.wait()

    recovery: Any = one.hub.recovery
    await recovery.flush()
    monkeypatch.setattr(recovery.store, "_write_all", write_nothing)
    await other.command(Target("/", (sid,)), "leave", "b")
    await other.command(Target("/", (sid,)), "join", "c")
    other.emit("a", 1)
    assert await texts(client, 1) == [1]
    await one.kill()
    client.drop()
    other.emit("b", "after the leave")
    other.emit("c", 2)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [2]
    assert (await client.call("state"))["rooms"] == ["a", "c"]
    assert not client.pending()


async def test_who_drops_again_while_the_log_is_read(
    two: Two, before: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others want of it then is done, too, when it comes for the third time."""
    _, other = two
    client = await two[0].client("a", "b")
    sid = client.sid
    await before(client)
    other.emit("a", 1)
    gone = asyncio.Event()

    async def drop(count: int) -> None:
        if Waiting.entered.is_set() and not gone.is_set():
            socket: Any = other.hub.registry.sockets[sid]
            socket.connection.close("transport close")
            await until(lambda: sid not in other.hub.registry.sockets)
            await other.command(Target("/", (sid,)), "leave", "b")
            other.emit("b", "after the leave")
            other.emit("a", 2)
            await other.hub.wait_returned()
            gone.set()

    behind_reads(other, monkeypatch, drop)
    coming = asyncio.ensure_future(other.take(client))
    await gone.wait()
    coming.cancel()
    await asyncio.wait([coming])
    client.drop()
    await other.take(client)
    assert client.recovered
    assert await texts(client, 2) == [1, 2]
    assert (await client.call("state"))["rooms"] == ["a"]
    assert not client.pending()


async def test_a_room_that_connect_joins_twice(two: Two, before: Leave, serve: Serve) -> None:
    """What was sent to it between that is not for the client, when it drops once more."""
    _, other = two

    class Hopping(Rooms):
        async def connect(self, auth: dict[str, Any]) -> None:
            await super().connect(auth)
            if self.recovered and "b" not in self.rooms:
                return
            if self.recovered:
                await self.leave("b")
                await self.everyone.to("b").emit("n", "between")
                await self.join("b")

    serve(Hopping)
    client = await two[0].client("a", "b")
    await before(client)
    await other.take(client)
    client.drop()
    other.emit("b", 1)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [1]
    assert not client.pending()
