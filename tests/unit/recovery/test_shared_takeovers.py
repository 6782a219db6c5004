"""Clients whose WebSockets come to another hub, where hubs share a log: their places go along."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from realtime.cluster.targets import Target
from realtime.testing import Client
from tests.unit.cluster.upgrading import Mover
from tests.unit.recovery.test_shared_log import Server, _quick, texts, two, until, valkey

__all__ = ["_quick", "two", "valkey"]

pytestmark = pytest.mark.slow

Two = tuple[Server, Server]


async def come(home: Server, *rooms: str) -> Mover:
    """Return a client on polling at a hub."""
    mover = await Mover.come(home, {"rooms": list(rooms)})  # type: ignore[arg-type]
    await until(lambda: mover.session.sockets["/"].connected)
    mover.poll()
    return mover


def pid_of(mover: Mover) -> str:
    """Return the secret of a client."""
    return str(json.loads(str(mover.got[0])[2:])["pid"])


def coming_back(mover: Mover) -> Client:
    """Return the client as it comes back, with the last offset that it has got."""
    events = [str(packet) for packet in mover.got[1:]]
    auth = {"pid": pid_of(mover)}
    offsets = [json.loads(event[2:])[-1] for event in events if event.startswith("42")]
    return Client(auth={**auth, "offset": offsets[-1]} if offsets else auth)


async def test_what_is_sent_meanwhile_comes_once(two: Two) -> None:
    one, other = two
    mover = await come(one, "a")
    one.emit("a", 1)
    assert await mover.next() == [1]
    other.emit("a", 2)
    running = mover.begin(other)  # type: ignore[arg-type]
    await mover.probed()
    for number in (3, 4):
        one.emit("a", number)
        other.emit("a", number + 2)
    mover.poll()
    mover.send("5")
    session = await running
    assert session is not None
    mover.session = session
    one.emit("a", 7)
    assert await mover.next() == [2]
    got = [(await mover.next())[0] for _ in range(5)]
    assert sorted(got) == [3, 4, 5, 6, 7]
    assert [each for each in got if each in (3, 4, 7)] == [3, 4, 7]
    assert [each for each in got if each in (5, 6)] == [5, 6]


async def test_the_new_process_is_killed(two: Two) -> None:
    """Its clients come back to the old one, with all that they have missed since."""
    one, other = two
    mover = await come(one, "a")
    one.emit("a", 1)
    assert await mover.next() == [1]
    await mover.move(other)  # type: ignore[arg-type]
    other.emit("a", 2)
    assert await mover.next() == [2]
    await other.command(Target("/", ("a",)), "join", "b")
    await other.hub.recovery.flush()  # type: ignore[union-attr]
    await other.kill()
    one.emit("a", 3)
    one.emit("b", 4)
    client = await one.take(coming_back(mover))
    assert client.sid == mover.sid
    assert await texts(client, 2) == [3, 4]
    state = await client.call("state")
    assert (state["recovered"], state["rooms"]) == (True, ["a", "b"])
    assert not client.pending()


async def test_the_new_process_is_killed_before_it_has_written_the_session(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in Redis as the old one's still, which has given it away."""
    one, other = two
    mover = await come(one, "a")
    one.emit("a", 1)
    assert await mover.next() == [1]
    never = asyncio.Event()

    async def write_nothing(dirty: Any) -> None:
        await never.wait()

    monkeypatch.setattr(other.hub.recovery.store, "_write_all", write_nothing)  # type: ignore[union-attr]
    await mover.move(other)  # type: ignore[arg-type]
    other.emit("a", 2)
    assert await mover.next() == [2]
    await other.kill()
    one.emit("a", 3)
    client = await one.take(coming_back(mover))
    assert client.sid == mover.sid
    assert await texts(client, 1) == [3]
    assert not client.pending()


async def test_who_drops_behind_a_move_has_its_place(two: Two) -> None:
    """What it had got at the old process does not come again."""
    one, other = two
    mover = await come(one, "a")
    for number in (1, 2):
        one.emit("a", number)
        assert await mover.next() == [number]
    await mover.move(other)  # type: ignore[arg-type]
    mover.session.close("transport close")
    one.emit("a", 3)
    client = await one.take(coming_back(mover))
    assert await texts(client, 1) == [3]
    assert (await client.call("state"))["recovered"]
    assert not client.pending()


async def test_a_room_that_is_joined_on_the_way(two: Two) -> None:
    """
    What is sent to a room that nobody has told the new process of might be missed there: so the
    client comes back, and finds it in the log.
    """
    one, other = two
    mover = await come(one, "a")
    running = mover.begin(other)  # type: ignore[arg-type]
    await mover.probed()
    await other.command(Target("/", ("a",)), "join", "b")
    socket: Any = one.hub.registry.sockets[mover.sid]
    await until(lambda: "b" in socket.rooms)
    other.emit("b", 1)
    mover.poll()
    mover.send("5")
    assert await running is None
    await until(lambda: socket.gone)
    client = await other.take(coming_back(mover))
    assert await texts(client, 1) == [1]
    state = await client.call("state")
    assert (state["recovered"], state["rooms"]) == (True, ["a", "b"])
    assert not client.pending()


async def test_a_command_on_the_way_has_its_place(two: Two) -> None:
    """A client that left a room before an event does not get that, here or when it comes back."""
    one, other = two
    mover = await come(one, "a", "b")
    running = mover.begin(other)  # type: ignore[arg-type]
    await mover.probed()
    await one.command(Target("/", ("a",)), "leave", "b")
    one.emit("b", "after the leave")
    one.emit("a", 1)
    mover.poll()
    mover.send("5")
    session = await running
    assert session is not None
    mover.session = session
    assert await mover.next() == [1]
    session.close("transport close")
    one.emit("a", 2)
    client = await one.take(coming_back(mover))
    assert await texts(client, 1) == [2]
    assert (await client.call("state"))["rooms"] == ["a"]
    assert not client.pending()


async def test_the_session_in_redis_is_the_new_process_s(two: Two) -> None:
    one, other = two
    mover = await come(one, "a")
    await mover.move(other)  # type: ignore[arg-type]
    one.emit("a", 1)
    assert await mover.next() == [1]
    key = one.layer.session(pid_of(mover))
    await other.hub.recovery.flush()  # type: ignore[union-attr]
    (owner,) = await one.layer.run(("HGET", key, "o"))
    assert owner == other.hub.server_id.encode()
