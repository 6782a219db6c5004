"""Sending to users: to all of their sockets, and to nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.urls import path
from django.utils.functional import SimpleLazyObject

import realtime
from realtime import NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.identity.user_rooms import user_rooms
from realtime.models import Membership, Socket
from realtime.signals import room_joined, room_left
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.presence.conftest import ask
from tests.unit.probes import DEADLINE

ANN, BOB = User(username="ann", pk=7), User(username="bob", pk=70)


class Main(NamespaceConsumer):
    async def connect(self, auth: dict[str, Any]) -> None:
        self.join(*auth.get("rooms", ()))

    @event
    async def tell(self, pk: int, *args: Any) -> None:
        self.to_user(pk).emit("said", *args)

    @event
    async def where(self) -> list[str]:
        return sorted(self.rooms)


class TokenUser:
    """Somebody whom middleware knows by a token, without the database."""

    is_authenticated = True
    pk = "7"


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Main, routes=[path("other/", Main.as_asgi())])


@pytest.fixture
async def clients(connect: Connect) -> dict[str, Client]:
    """Two of ann's, one in another namespace of hers, one of bob's, and somebody's."""
    return {
        "ann": await connect(user=ANN),
        "token": await connect(user=TokenUser(), auth={"rooms": ["a"]}),
        "elsewhere": await connect("/other", user=ANN),
        "bob": await connect(user=BOB, auth={"rooms": ["a"]}),
        "nobody": await connect(user=AnonymousUser(), auth={"rooms": ["a"]}),
    }


@pytest.mark.parametrize(
    ("choose", "receivers"),
    [
        (lambda: realtime.to_user(ANN), "ann token"),
        (lambda: realtime.to_user(7), "ann token"),
        (lambda: realtime.to_user("7"), "ann token"),
        (lambda: realtime.to_user(TokenUser()), "ann token"),
        (lambda: realtime.to_user(SimpleLazyObject(lambda: ANN)), "ann token"),
        (lambda: realtime.to_user(ANN, 70), "ann token bob"),
        (lambda: realtime.to_user(ANN, 7), "ann token"),
        (lambda: realtime.to_user(ANN).to_user(BOB), "ann token bob"),
        (lambda: realtime.to_user(ANN).to("a"), "ann token bob nobody"),
        (lambda: realtime.to("a").to_user(ANN), "ann token bob nobody"),
        (lambda: realtime.to_user(ANN).excluding("a"), "ann"),
        (lambda: realtime.of("/other").to_user(ANN), "elsewhere"),
        (lambda: realtime.of("/other").to_user(BOB), ""),
        (lambda: realtime.to_user(8), ""),
        (realtime.to_user, ""),
        (lambda: realtime.to_user(*[]).to("a"), "token bob nobody"),
        (lambda: realtime.to_user(ANN).volatile(), "ann token"),
    ],
)
async def test_who_is_meant(
    clients: dict[str, Client], choose: Callable[[], Any], receivers: str
) -> None:
    choose().emit("said", 1)
    got = [name for name, client in clients.items() if client.pending()]
    assert got == receivers.split()
    for name in got:
        assert await clients[name].receive() == ("said", 1)
        assert not clients[name].pending(), "each gets it once"


@pytest.mark.parametrize(
    ("who", "error"),
    [
        (None, TypeError),
        (True, TypeError),
        ("ann", TypeError),
        ([7], TypeError),
        ({7: ANN}, TypeError),
        (b"7", TypeError),
        (User.objects.none(), TypeError),
        (Group(pk=7, name="staff"), TypeError),
        (AnonymousUser(), ValueError),
        (User(username="new"), ValueError),
    ],
    ids=str,
)
def test_who_is_no_user(who: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        realtime.to_user(who)


async def test_from_a_consumer_it_is_the_others(clients: dict[str, Client]) -> None:
    await clients["ann"].call("tell", 7, "to my other devices")
    assert await clients["token"].receive() == ("said", "to my other devices")
    await clients["ann"].call("tell", 70, "to bob")
    assert await clients["bob"].receive() == ("said", "to bob")
    assert not any(client.pending() for client in clients.values())


async def test_what_can_be_done_with_them(clients: dict[str, Client]) -> None:
    clients["ann"].answer("question", "yes")
    clients["token"].answer("question", "no")
    answers = await realtime.to_user(ANN).acall("question", timeout=DEADLINE)
    assert answers == {clients["ann"].sid: "yes", clients["token"].sid: "no"}
    await realtime.to_user(ANN).join("new")
    assert await clients["ann"].call("where") == ["new"]
    assert await clients["token"].call("where") == ["a", "new"]
    await realtime.to_user(ANN).leave("new")
    assert await clients["token"].call("where") == ["a"]
    await realtime.to_user(ANN).close()
    await clients["ann"].closed(DEADLINE)
    await clients["token"].closed(DEADLINE)
    assert await clients["elsewhere"].call("where") == []
    assert await clients["bob"].call("where") == ["a"]


async def test_nobody_sees_or_names_a_users_room(clients: dict[str, Client], hub: Hub) -> None:
    for name, rooms in {"ann": [], "bob": ["a"], "nobody": ["a"]}.items():
        assert await clients[name].call("where") == rooms
    assert hub.stats()["rooms"] == 1
    (room,) = user_rooms([ANN])
    for use in (realtime.to, realtime.to("a").join, realtime.of().excluding):
        with pytest.raises(ValueError, match="NUL"):
            use(room)  # type: ignore[operator]


async def test_signals_tell_nothing_of_them(connect: Connect) -> None:
    told = []

    async def hear(*, room: str, **kwargs: Any) -> None:
        told.append(room)

    room_joined.connect(hear)
    room_left.connect(hear)
    try:
        client = await connect(user=ANN, auth={"rooms": ["a"]})
        realtime.to_user(ANN).join("b")
        async with asyncio.timeout(DEADLINE):
            while len(told) < 2:
                await asyncio.sleep(0.001)
        await client.disconnect()
    finally:
        room_joined.disconnect(hear)
        room_left.disconnect(hear)
    assert told == ["a", "b"]


async def test_who_is_there(presence: None, connect: Connect) -> None:
    ann = await User.objects.acreate(username="ann")
    bob = await User.objects.acreate(username="bob")
    hers = {(await connect(user=ann, auth={"rooms": ["a"]})).sid for _ in range(2)}
    his = (await connect(user=bob)).sid
    await connect("/other", user=ann)

    def find(*users: Any) -> set[str]:
        found = realtime.to_user(*users).sockets()
        return set(found.values_list("sid", flat=True))

    assert await ask(lambda: find(ann)) == hers
    assert await ask(lambda: find(ann.pk, bob)) == hers | {his}
    assert await ask(find) == set()
    assert await realtime.to_user(ann).acount() == 2
    assert await ask(lambda: [room.name for room in realtime.to_user(ann).rooms()]) == ["a"]
    assert await ask(lambda: realtime.of().excluding(his).to_user(bob).count()) == 0
    assert await ask(lambda: set(Membership.objects.values_list("room", flat=True))) == {"a"}
    assert await ask(Socket.objects.count) == 4


async def test_who_is_away_gets_it_later(serve: Serve, connect: Connect) -> None:
    serve(Main, RECOVERY={"SECONDS": 60})
    client, other = await connect(user=ANN), await connect(user=BOB)
    client.drop()
    realtime.to_user(ANN).emit("said", 1)
    realtime.to_user(BOB).emit("said", 2)
    realtime.to_user(ANN).join("new")
    realtime.to("new").emit("said", 3)
    await client.connect()
    assert client.recovered
    assert [await client.receive(), await client.receive()] == [("said", 1), ("said", 3)]
    assert await client.call("where") == ["new"]
    assert await other.receive() == ("said", 2)
    client.drop()
    realtime.to_user(ANN).close()
    await client.connect()
    assert not client.recovered
