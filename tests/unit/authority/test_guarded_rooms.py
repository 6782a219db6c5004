"""`guard_rooms`: the site's own code, too, puts clients only into rooms that `may_join` allows."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import realtime
from realtime import NamespaceConsumer, event
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.probes import DEADLINE, Probe

from .test_client_rooms import rooms_of


class Guarded(NamespaceConsumer):
    """Rooms with one letter are open to all; `may_join` waits at the gate for "slow"."""

    guard_rooms = True
    probe: Probe

    async def connect(self, auth: dict[str, Any]) -> None:
        self.join(*auth.get("rooms", ()))

    async def may_join(self, room: str) -> bool:
        if room == "slow":
            self.probe.note("asked")
            await self.probe.gate.wait()
        return len(room) == 1 or room == "slow"

    @event
    async def enter(self, *rooms: str) -> list[str]:
        self.join(*rooms)
        return sorted(self.rooms)

    @event
    async def enter_and_wait(self, *rooms: str) -> list[str]:
        await self.join(*rooms)
        return sorted(self.rooms)

    @event
    def enter_in_a_thread(self, *rooms: str) -> None:
        self.join(*rooms)

    @event
    async def enter_and_leave(self, room: str) -> None:
        self.join(room)
        self.leave(room)


class PlainGuarded(Guarded):
    def may_join(self, room: str) -> bool:
        assert threading.current_thread() is not threading.main_thread()
        return len(room) == 1


@pytest.fixture(autouse=True)
def _probe(probe: Probe) -> None:
    Guarded.probe = probe


@pytest.fixture(params=[Guarded, PlainGuarded])
def _guarded(request: pytest.FixtureRequest, serve: Serve) -> None:
    serve(request.param)


async def enters(client: Client, *rooms: str) -> None:
    """Wait until a client is in these rooms, and in no others."""
    async with asyncio.timeout(DEADLINE):
        while rooms_of(client) != set(rooms):
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("_guarded")
async def test_connect_joins_what_it_may_before_the_client_knows(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a", "secret", "b"]})
    assert rooms_of(client) == {"a", "b"}
    realtime.to("secret").emit("said", 1)
    realtime.to("a").emit("said", 2)
    assert await client.receive() == ("said", 2)


@pytest.mark.usefixtures("_guarded")
@pytest.mark.parametrize("name", ["enter", "enter_and_wait", "enter_in_a_thread"])
async def test_a_handler_joins_what_it_may_before_it_answers(connect: Connect, name: str) -> None:
    client = await connect()
    answer = await client.call(name, "a", "secret")
    assert rooms_of(client) == {"a"}
    assert answer == {"enter": [], "enter_and_wait": ["a"], "enter_in_a_thread": None}[name]
    assert await client.call("enter", "a") == ["a"]


@pytest.mark.usefixtures("_guarded")
async def test_others_put_a_client_where_it_may_be(connect: Connect) -> None:
    client = await connect()
    realtime.of().join("secret", "a")
    await enters(client, "a")
    realtime.to("a").join("b")
    await enters(client, "a", "b")
    realtime.to("a").leave("b")
    assert rooms_of(client) == {"a"}


async def test_what_is_left_meanwhile_is_not_joined(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    serve(Guarded)
    client, other = await connect(), await connect()
    left = asyncio.ensure_future(client.call("enter_and_leave", "slow"))
    joined = asyncio.ensure_future(other.call("enter_and_wait", "slow"))
    assert [await probe.next(), await probe.next()] == ["asked", "asked"]
    probe.gate.set()
    await left
    assert await joined == ["slow"]
    assert rooms_of(client) == set()
    realtime.to("slow").emit("said", 1)
    assert await other.receive() == ("said", 1)
    assert not client.pending()


async def test_a_client_that_goes_is_in_no_room(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    serve(Guarded)
    client = await connect()
    client.emit("enter", "slow")
    assert await probe.next() == "asked"
    client.drop()
    probe.gate.set()
    await client.disconnect()
    other = await connect()  # and nothing is left of the first one: the hub looks for that
    assert rooms_of(other) == set()


async def test_who_cannot_be_asked_stays_out(
    serve: Serve, connect: Connect, records: list[Any]
) -> None:
    class Failing(Guarded):
        async def may_join(self, room: str) -> bool:
            raise RuntimeError("secret")

    serve(Failing)
    client = await connect(auth={"rooms": ["a"]})
    assert rooms_of(client) == set()
    assert "may_join" in {getattr(each, "realtime", {}).get("event") for each in records}


async def test_what_is_refused_is_logged(
    serve: Serve, connect: Connect, records: list[Any]
) -> None:
    serve(Guarded)
    await connect(auth={"rooms": ["secret"]})
    (line,) = [each for each in records if each.args and each.args[0] == "join-refused"]
    assert line.realtime["room"] == "secret"


async def test_asking_may_join_others(serve: Serve, connect: Connect) -> None:
    """What `may_join` itself lets a client join is asked for as well, and keeps nobody waiting."""

    class Nested(Guarded):
        async def may_join(self, room: str) -> bool:
            if room == "outer":
                await self.join("i")
            return room in ("outer", "i")

    serve(Nested)
    client = await connect(auth={"rooms": ["outer"]})
    assert rooms_of(client) == {"outer", "i"}
