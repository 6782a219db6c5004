"""Clients that come back: they are asked for again, before they get anything that they missed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

import realtime
from realtime import ClientRooms, ConnectionRefused
from realtime.hub.hub import Hub
from realtime.models import Socket
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.presence.conftest import ask
from tests.unit.probes import Probe

from .users import VIEW, new_user, remove_permissions


class Chat(ClientRooms):
    """Clients are let into the rooms of `allowed`, and put into the one that `auth` names."""

    allowed: set[str]
    probe: Probe

    async def may_join(self, room: str) -> bool:
        self.probe.note(room)
        return room in self.allowed

    async def connect(self, auth: dict[str, Any]) -> None:
        if not self.recovered:
            self.join(*auth.get("rooms", ()))


class Guarded(Chat):
    guard_rooms = True


@pytest.fixture(autouse=True)
def allowed(probe: Probe) -> set[str]:
    """The rooms in which clients may be."""
    Chat.probe, Chat.allowed = probe, {"a", "b"}
    return Chat.allowed


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Chat, RECOVERY={"SECONDS": 60})


async def test_who_has_lost_a_permission_gets_nothing(
    transactional_db: None, serve: Serve, connect: Connect, hub: Hub
) -> None:
    class Viewers(Chat):
        permission_required = VIEW

    serve(Viewers)
    user = await new_user("ann", VIEW)
    client = await connect(user=user)
    client.drop()
    realtime.emit("secret")
    await remove_permissions(user)
    client._scope["user"] = await new_user_again(user)
    with pytest.raises(ConnectionRefused) as caught:
        await client.connect()
    assert caught.value.data == {"code": 403}
    assert not client.pending()
    assert not len(hub.recovery.sessions)  # type: ignore[union-attr]


async def new_user_again(user: User) -> User:
    """Return a user as the next request would have it."""
    return await User.objects.aget(pk=user.pk)


async def test_rooms_that_a_client_has_joined_are_asked_for(connect: Connect, probe: Probe) -> None:
    client = await connect(auth={"rooms": ["site's own"]})
    await client.call("join", "a")
    await client.call("join", "b")
    client.drop()
    realtime.to("a").emit("said", 1)
    realtime.to("site's own").emit("said", 2)
    assert [await probe.next(), await probe.next()] == ["a", "b"]
    await client.connect()
    assert client.recovered
    assert {await probe.next(), await probe.next()} == {"a", "b"}
    assert await probe.empty()
    assert [await client.receive(), await client.receive()] == [("said", 1), ("said", 2)]
    realtime.to("b").emit("said", 3)
    assert await client.receive() == ("said", 3)


async def test_what_was_sent_to_a_room_that_is_lost_is_not_told(
    connect: Connect, hub: Hub, allowed: set[str]
) -> None:
    client = await connect(auth={"rooms": ["site's own"]})
    await client.call("join", "a")
    before = client.sid
    client.drop()
    realtime.to("a").emit("secret")
    realtime.emit("said", 1)
    allowed.remove("a")
    await client.connect()
    assert not client.recovered
    assert client.sid != before
    assert client._session is not None
    socket = client._session.sockets["/"]
    assert socket.lost
    assert not socket.recovered
    assert socket.consumer.rooms == {"site's own"}  # type: ignore[attr-defined]
    realtime.to("a").emit("secret")
    realtime.to(before).emit("secret")
    realtime.emit("said", 2)
    assert await client.receive() == ("said", 2)
    assert not client.pending()
    assert not len(hub.recovery.sessions)  # type: ignore[union-attr]
    # It is a client like others: it comes back to what it has now.
    client.drop()
    realtime.emit("said", 3)
    await client.connect()
    assert client.recovered
    assert await client.receive() == ("said", 3)


async def test_who_has_begun_anew_is_left_alone_by_what_it_was(
    connect: Connect, allowed: set[str]
) -> None:
    """A CONNECT of before it has begun anew may come late, and takes nobody's place."""
    client, late = await connect(), Client("/")
    await client.call("join", "a")
    late._pid, late._offset = client._pid, client._offset
    client.drop()
    allowed.clear()
    await client.connect()
    assert not client.recovered
    await late.connect()
    assert not late.recovered
    realtime.emit("said", 1)
    assert await client.receive() == ("said", 1)
    await late.disconnect()


async def test_data_of_a_client_that_begins_anew(
    serve: Serve, connect: Connect, allowed: set[str]
) -> None:
    class Keeping(Chat):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("data", dict(self.data), self.shared)
            self.data["n"] = 1
            self.share(n=1)

    serve(Keeping)
    client = await connect()
    await client.call("join", "a")
    assert await client.receive() == ("data", {}, {})
    client.drop()
    allowed.clear()
    await client.connect()
    assert await client.receive() == ("data", {}, {})


async def test_all_rooms_of_a_class_that_guards_them(
    serve: Serve, connect: Connect, allowed: set[str]
) -> None:
    serve(Guarded)
    client = await connect(auth={"rooms": ["a"]}, user=User(username="ann", pk=7))
    client.drop()
    await client.connect()
    assert client.recovered
    client.drop()
    realtime.to(client.sid).join("not allowed")
    realtime.to("not allowed").emit("secret")
    await client.connect()
    assert not client.recovered
    assert not client.pending()


async def test_presence_counts_it_once(presence: None, connect: Connect, allowed: set[str]) -> None:
    client = await connect()
    await client.call("join", "a")
    client.drop()
    allowed.clear()
    await client.connect()
    sids = await ask(lambda: list(Socket.objects.values_list("sid", flat=True)))
    assert sids == [client.sid]
