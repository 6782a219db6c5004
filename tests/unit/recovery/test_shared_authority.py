"""Who may be in which rooms, and what is for a user, where hubs share a log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User

from realtime import ClientRooms, event
from realtime.authority.changes import REAUTHORIZE, Change, encode
from realtime.cluster.targets import EVERYONE, Target
from realtime.identity.user_rooms import user_rooms
from realtime.outside import process
from realtime.recovery.identities import identify_client
from realtime.recovery.recalled import Recalled
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.conftest import Serve
from tests.unit.probes import DEADLINE
from tests.unit.recovery.test_shared_log import Server, _quick, texts, two, valkey

__all__ = ["_quick", "two", "valkey"]

pytestmark = pytest.mark.slow

Two = tuple[Server, Server]

ADA, BOB = (User(pk=pk, username=str(pk), password="a") for pk in (7, 8))
OK = {"ok": True}


class Chat(ClientRooms):
    """Clients are let into the rooms of `allowed`, and put into those that `auth` names."""

    allowed: set[str]
    asked: list[str]

    async def may_join(self, room: str) -> bool:
        self.asked.append(room)
        return room in self.allowed

    async def connect(self, auth: dict[str, Any]) -> None:
        if not self.recovered:
            self.join(*auth.get("rooms", ()))

    @event
    async def state(self) -> dict[str, Any]:
        return {"lost": self.lost, "rooms": sorted(self.rooms)}


class Guarded(Chat):
    guard_rooms = True


@pytest.fixture(autouse=True)
def _served(_quick: None, serve: Serve) -> None:
    Chat.allowed, Chat.asked = {"a", "b"}, []
    serve(Chat)


async def rooms_of(client: Client) -> list[str]:
    """Return the rooms that a client is in."""
    state = await client.call("state", timeout=DEADLINE)
    return list(state["rooms"])


def emit_to_user(server: Server, user: User, *args: Any) -> None:
    """Send a user the event "n"."""
    server.hub.emit(Target("/", user_rooms((user,))), Message("/", "n", args))


# Logins that are over


def login_of(server: Server, client: Client) -> tuple[str, str]:
    """Return the key of a client's user, and what tells that user's logins apart."""
    sockets = (each for found in server.hub.connections.values() for each in found.sockets.values())
    identity = identify_client(next(each for each in sockets if each.sid == client.sid))
    assert identity is not None
    user, login = identity
    assert user is not None
    assert login is not None
    return user, login


@pytest.mark.parametrize("which", ["logged_out", "sessions", "ended"])
async def test_nobody_comes_back_to_a_login_that_is_over(two: Two, which: str) -> None:
    """Also where the process that had the session was killed before it has heard of that."""
    one, other = two
    client = await one.take(Client(auth={"rooms": ["a"]}, user=ADA))
    somebody = await one.take(Client(auth={"rooms": ["a"]}, user=BOB))
    login = login_of(one, client)
    await one.kill()
    for each in (client, somebody):
        each.drop()
    (names,) = encode(Change(**{which: {login[0] if which == "ended" else login}}))
    await other.command(EVERYONE, REAUTHORIZE, *names)
    other.emit("a", 1)
    for each in (client, somebody):
        await other.take(each)
    assert not client.recovered
    assert (await client.call("state", timeout=DEADLINE))["lost"]
    assert somebody.recovered
    assert await texts(somebody, 1) == [1]


async def test_who_is_to_be_asked_for_again_comes_back(two: Two) -> None:
    one, other = two
    client = await one.take(Client(auth={"rooms": ["a"]}, user=ADA))
    await one.kill()
    client.drop()
    await other.command(Target("/", ("a",)), REAUTHORIZE)
    (names,) = encode(Change(users={str(ADA.pk)}))
    await other.command(EVERYONE, REAUTHORIZE, *names)
    other.emit("a", 1)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [1]


# Rooms that clients have asked for


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "alive"])
async def test_rooms_that_a_client_has_asked_for_are_asked_for_again(
    two: Two, is_killed: bool
) -> None:
    one, other = two
    client = await one.client("site's own")
    for room in ("a", "b"):
        assert await client.call("join", room) == OK
    assert await client.call("leave", "b") == OK
    if is_killed:
        await one.kill()
    client.drop()
    other.emit("a", 1)
    other.emit("b", "it has left")
    other.emit("site's own", 2)
    Chat.asked.clear()
    await other.take(client)
    assert client.recovered
    assert Chat.asked == ["a"]
    assert await texts(client, 2) == [1, 2]
    other.emit("a", 3)
    assert await texts(client, 1) == [3]
    assert await client.call("leave", "a") == OK
    assert await rooms_of(client) == ["site's own"]
    assert not client.pending()


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "alive"])
async def test_who_has_lost_a_room_begins_anew(two: Two, is_killed: bool) -> None:
    one, other = two
    client = await one.client("site's own")
    before = client.sid
    assert await client.call("join", "a") == OK
    if is_killed:
        await one.kill()
    client.drop()
    other.emit("a", "secret")
    Chat.allowed.remove("a")
    await other.take(client)
    assert not client.recovered
    assert client.sid != before
    assert await client.call("state") == {"lost": True, "rooms": ["site's own"]}
    other.emit("a", "secret")
    other.emit(before, "secret")
    other.emit("site's own", 1)
    assert await texts(client, 1) == [1]
    client.drop()
    other.emit("site's own", 2)
    await other.take(client)
    assert client.recovered, "it is a client like others"
    assert await texts(client, 1) == [2]
    assert not client.pending()


async def test_joins_and_leaves_of_a_client_keep_their_order(two: Two) -> None:
    one, _ = two
    client = await one.client()
    one.emit("c", "to wait for")
    for _ in range(3):
        client.emit("join", "a")
        client.emit("leave", "a")
        client.emit("leave", "b")
        client.emit("join", "b")
    assert await client.call("join", "b") == OK
    assert await rooms_of(client) == ["b"]
    assert await client.call("leave", "b") == OK
    assert await rooms_of(client) == []


# Rooms that are guarded


async def test_a_room_that_is_asked_for_is_joined_in_its_place(
    two: Two, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Guarded)
    one, _ = two
    client, other = await one.client("a"), await one.client("b")
    socket: Any = one.hub.registry.sockets[client.sid]
    consumer = socket.consumer
    monkeypatch.setitem(process._hubs, asyncio.get_running_loop(), one.hub)
    consumer.everyone.to("b").emit("n", "before the join")
    await consumer.join("b", "secret")
    assert consumer.rooms == {"a", "b"}
    consumer.everyone.to("b").emit("n", 1)
    consumer.everyone.to("secret").emit("n", "not in it")
    consumer.leave("b")
    consumer.everyone.to("b").emit("n", "after the leave")
    consumer.join("b")
    await consumer.leave("b")
    consumer.everyone.to("b").emit("n", "left before it was asked for")
    consumer.emit("n", 2)
    assert await texts(client, 2) == [1, 2]
    assert await rooms_of(client) == ["a"]
    assert not client.pending()
    assert other.pending() == 4


@pytest.mark.parametrize("room", ["b", "secret"])
async def test_who_is_made_to_join_before_it_is_heard_for(
    two: Two, serve: Serve, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    """`may_join` is asked about that room, too, before anything of it is sent."""
    serve(Guarded)
    one, other = two
    client = await one.client("a")
    sid = client.sid
    await one.kill()
    client.drop()
    recovery: Any = other.hub.recovery
    catch_up = recovery._catch_up

    async def late(claim: Recalled) -> Recalled:
        await other.command(Target("/", (sid,)), "join", room)
        other.emit(room, 1)
        return await catch_up(claim)  # type: ignore[no-any-return]

    monkeypatch.setattr(recovery, "_catch_up", late)
    Chat.asked.clear()
    await other.take(client)
    assert set(Chat.asked) == {"a", room}
    if room == "b":
        assert client.recovered
        assert await texts(client, 1) == [1]
        assert await rooms_of(client) == ["a", "b"]
    else:
        assert not client.recovered
        assert await rooms_of(client) == ["a"]
    assert not client.pending()


# What is for a user


async def test_what_is_for_a_user_is_in_the_log(two: Two) -> None:
    one, other = two
    client = await one.take(Client(user=ADA))
    somebody = await other.take(Client(user=BOB))
    emit_to_user(other, ADA, 1)
    assert await texts(client, 1) == [1]
    await one.kill()
    client.drop()
    emit_to_user(other, BOB, "Bob's")
    emit_to_user(other, ADA, 2)
    await other.command(Target("/", user_rooms((ADA,))), "join", "c")
    other.emit("c", 3)
    await other.take(client)
    assert client.recovered
    emit_to_user(other, ADA, 4)
    assert await texts(client, 3) == [2, 3, 4]
    assert await rooms_of(client) == ["c"]
    client.drop()
    emit_to_user(other, ADA, 5)
    await other.take(client)
    assert client.recovered
    assert await texts(client, 1) == [5]
    assert await texts(somebody, 1) == ["Bob's"]
    assert not client.pending()
    assert not somebody.pending()


async def test_who_is_ended_by_its_user_while_no_hub_has_it(two: Two) -> None:
    one, other = two
    client = await one.take(Client(user=ADA))
    await one.kill()
    client.drop()
    await other.command(Target("/", user_rooms((ADA,))), "end")
    await other.take(client)
    assert not client.recovered
