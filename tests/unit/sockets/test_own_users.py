"""Sockets whose user the site's own code has set: they are that user's everywhere."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.urls import path
from django.utils import timezone

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.identity.finding import find_again
from realtime.identity.renewal import Found, Login, Subject, as_time
from realtime.models import Membership, Socket
from realtime.signals import socket_connected
from realtime.sockets.moving import Immovable, pack
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.presence.conftest import ask
from tests.unit.probes import Probe

ANN, BOB = User(username="ann", pk=7), User(username="bob", pk=8)
USERS = {user.pk: user for user in (ANN, BOB)}


class Tokens(NamespaceConsumer):
    """The user is the one of `auth`, or another one that an event names."""

    async def connect(self, auth: dict[str, Any]) -> None:
        if "user" in auth:
            self.user = USERS.get(auth["user"]) or await User.objects.aget(pk=auth["user"])

    @event
    async def become(self, pk: int | None) -> int | None:
        self.user = USERS.get(pk)  # type: ignore[arg-type]
        return self.user.pk  # type: ignore[no-any-return]

    @event("become in a thread")
    def become_in_a_thread(self, pk: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        self.user = USERS[pk]
        return self.scope["user"].pk  # type: ignore[no-any-return]

    @event
    async def whoami(self) -> list[Any]:
        return [self.user.pk, self.scope["user"].pk]


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Tokens, routes=[path("other/", Tokens.as_asgi())])


def socket_of(client: Client) -> Any:
    """Return the socket of a client."""
    assert client._session is not None
    return client._session.sockets[client.namespace]


async def test_it_is_the_sockets_user(connect: Connect) -> None:
    client, nobody = await connect(auth={"user": 7}), await connect()
    assert await client.call("whoami") == [7, 7]
    assert await nobody.call("whoami") == [None, None]
    assert client._session.scope["user"] == AnonymousUser()  # type: ignore[union-attr]
    realtime.to_user(ANN).emit("paid")
    assert await client.receive() == ("paid",)
    assert not nobody.pending()


@pytest.mark.parametrize("event", ["become", "become in a thread"])
async def test_it_moves_to_another_users_room(connect: Connect, hub: Hub, event: str) -> None:
    client = await connect(user=ANN)
    assert await client.call("whoami") == [7, 7]  # the scope is a copy from now on
    assert await client.call(event, 8) == 8
    realtime.to_user(7).emit("ann's")
    realtime.to_user(8).emit("bob's")
    assert await client.receive() == ("bob's",)
    assert not client.pending()
    assert await client.call("whoami") == [8, 8]
    assert socket_of(client).consumer.rooms == frozenset()
    assert hub.stats()["rooms"] == 0


async def test_nobody_again(connect: Connect) -> None:
    client = await connect(auth={"user": 7})
    assert await client.call("become", None) is None
    realtime.to_user(7).emit("ann's")
    realtime.emit("everybody's")
    assert await client.receive() == ("everybody's",)


async def test_log_lines_and_signals(connect: Connect, records: list[Any], probe: Probe) -> None:
    def note(sender: Any, user: Any, **kwargs: Any) -> None:
        probe.note(user.pk)

    socket_connected.connect(note)
    try:
        await connect(auth={"user": 7})
        assert await probe.next() == 7
    finally:
        socket_connected.disconnect(note)
    lines = [each.realtime for each in records if each.getMessage().startswith("connect ")]
    assert [line["user"] for line in lines] == [7]


async def test_it_stays_with_its_process(connect: Connect, hub: Hub) -> None:
    client = await connect(auth={"user": 7})
    route: Any = None
    with pytest.raises(Immovable, match="has a user of its own"):
        pack(socket_of(client), route)


@pytest.mark.usefixtures("presence")
async def test_presence(connect: Connect) -> None:
    ann, bob = await User.objects.acreate(username="a"), await User.objects.acreate(username="b")
    client = await connect(auth={"user": ann.pk})
    socket_of(client).consumer.join("room")
    await ensure_written(client)
    assert await ask(lambda: Socket.objects.get().user) == ann
    socket_of(client).consumer.user = bob
    await ensure_written(client)
    assert await ask(lambda: Socket.objects.get().user) == bob
    assert await ask(lambda: [each.room for each in Membership.objects.all()]) == ["room"]


async def ensure_written(client: Client) -> None:
    """Wait until presence has written all of it."""
    await socket_of(client).hub.flush_local()


@pytest.fixture
def _recovering(serve: Serve) -> None:
    serve(Tokens, RECOVERY={"SECONDS": 60})


@pytest.mark.usefixtures("_recovering")
async def test_who_comes_back_as_the_same(connect: Connect) -> None:
    client = await connect(auth={"user": 7})
    client.drop()
    realtime.to_user(ANN).emit("said", 1)
    await client.connect()
    assert client.recovered
    assert await client.receive() == ("said", 1)
    realtime.to_user(ANN).emit("said", 2)
    assert await client.receive() == ("said", 2)


@pytest.mark.usefixtures("_recovering")
async def test_who_comes_back_as_another_one_gets_nothing(connect: Connect, hub: Hub) -> None:
    client = await connect(auth={"user": 7})
    client.drop()
    realtime.to_user(ANN).emit("secret")
    client._auth = {"user": 8}
    with pytest.raises(TimeoutError):  # it is closed, as by the network
        await client.connect(timeout=0.2)
    assert not len(hub.recovery.sessions)  # type: ignore[union-attr]
    await client.connect()
    assert not client.recovered
    assert not client.pending()
    assert await client.call("whoami") == [8, 8]


@pytest.mark.parametrize("pk", [7, 8])
@pytest.mark.usefixtures("_recovering")
async def test_who_is_away_is_found_by_the_user(connect: Connect, pk: int) -> None:
    client = await connect(auth={"user": 7})
    client.drop()
    realtime.to_user(pk).close()
    await client.connect()
    assert client.recovered is (pk == 8)


# Finding a user anew


async def test_users_by_primary_key(transactional_db: None, hub: Hub) -> None:
    ann, bob = await User.objects.acreate(username="a"), await User.objects.acreate(username="b")
    await User.objects.filter(pk=ann.pk).aupdate(is_staff=True)
    await User.objects.filter(pk=bob.pk).adelete()
    subjects = [
        Subject({"user": ann}),
        Subject({"user": AnonymousUser()}, Login(bob)),
        Subject({"user": AnonymousUser()}),
    ]
    found = await find_again(hub.lookups, subjects)
    assert [each.user for each in found] == [ann, AnonymousUser(), AnonymousUser()]
    assert found[0].user.is_staff
    assert not ann.is_staff


async def test_logins_that_know_how_they_are_found(hub: Hub, records: list[Any]) -> None:
    async def found() -> Found:
        return Found(BOB, 5.0)

    async def over() -> Found:
        return Found(AnonymousUser(), refusal=ConnectionRefused("it is over"))

    async def broken() -> Found:
        raise ValueError("broken")

    logins = [Login(ANN, find=find) for find in (found, over, broken)]
    subjects = [Subject({"user": AnonymousUser()}, login) for login in logins]
    first, second, third = await find_again(hub.lookups, subjects)
    assert first == Found(BOB, 5.0)
    assert second.user == AnonymousUser()
    assert (first.holds, second.holds, third.holds) == (True, False, False)
    assert third.user is ANN
    assert isinstance(third.error, ValueError)
    assert [each.getMessage().split()[0] for each in records] == ["reauthorize-failed"]


def test_times() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert as_time(moment) == as_time(moment.timestamp()) == moment.timestamp()
    assert as_time(None) is None
    login = Login(None, timezone.now() + timedelta(hours=1))
    assert login.user == AnonymousUser()
    with pytest.raises(ValueError, match="has no time zone"):
        as_time(datetime(2030, 1, 1))


async def test_it_counts_for_the_users_connections(serve: Serve, connect: Connect) -> None:
    serve(Tokens, MAX_CONNECTIONS_PER_USER=2)
    first = await connect(auth={"user": 7})
    await connect(user=ANN)
    await connect(auth={"user": 8})
    with pytest.raises(ConnectionRefused, match="has 2 connections already") as refused:
        await connect(auth={"user": 7})
    assert refused.value.data == {"code": 403}
    await first.disconnect()
    await connect(auth={"user": 7})
