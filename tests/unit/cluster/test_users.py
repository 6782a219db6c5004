"""Users with sockets at several hubs, and what hubs let clients have who come back elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import path
from pytest_django import Settings

from realtime import ClientRooms
from realtime.cluster.envelopes import group_name
from realtime.identity.user_rooms import user_rooms
from tests.unit.conftest import Serve
from tests.unit.probes import DEADLINE

from .conftest import Server, Two
from .layer import Bus
from .moving import said, send_from_outside
from .upgrading import Mover

ANN, BOB = User(username="ann", pk=7, password="1"), User(username="bob", pk=8, password="2")
HERS, HIS = user_rooms([ANN]), user_rooms([BOB])
RECOVERY = {"plain": None, "recovery": {"SECONDS": 60}}


class Chat(ClientRooms):
    """Clients may be in the rooms of `allowed`."""

    allowed: set[str]

    async def may_join(self, room: str) -> bool:
        return room in self.allowed


@pytest.fixture(autouse=True)
def allowed() -> set[str]:
    """The rooms in which clients may be."""
    Chat.allowed = {"a"}
    return Chat.allowed


@pytest.fixture(params=RECOVERY)
def _recovery(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": RECOVERY[request.param]}


@pytest.fixture
def _recovers(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": RECOVERY["recovery"]}


@pytest.mark.usefixtures("_recovery")
async def test_all_devices_of_a_user(two: Two, bus: Bus) -> None:
    here, there = await two[0].client(user=ANN), await two[1].client(user=ANN)
    other = await two[1].client(user=BOB)
    for number, server in enumerate(two):
        server.emit(HERS, number)
        assert [await said(here), await said(there)] == [number, number]
    await send_from_outside(bus, HERS, "from outside")
    assert [await said(here), await said(there)] == ["from outside"] * 2
    await send_from_outside(bus, (*HERS, *HIS), "to both")
    assert [await said(each) for each in (here, there, other)] == ["to both"] * 3
    two[0].emit((), "to all")
    assert [await said(each) for each in (here, there, other)] == ["to all"] * 3
    assert not any(client.pending() for client in (here, there, other))


@pytest.mark.usefixtures("_recovery")
async def test_the_layer_does_nothing_for_who_comes_and_goes(two: Two, bus: Bus) -> None:
    first = await two[0].client(user=ANN)
    groups = {group: set(channels) for group, channels in bus.groups.items()}
    calls = two[0].layer.calls["group_add"]
    second = await two[0].client(user=BOB)
    await two[0].cluster.flush_local()
    assert group_name("/", HIS[0]) not in bus.groups
    assert two[0].layer.calls["group_add"] == calls
    for client in (first, second):
        await client.disconnect()
    await two[0].cluster.flush_local()
    assert groups.keys() - bus.groups.keys() <= {group_name("/")}


@pytest.mark.usefixtures("_recovery")
async def test_what_is_done_with_a_user_everywhere(two: Two) -> None:
    here, there = await two[0].client(user=ANN), await two[1].client(user=ANN)
    for client in (here, there):
        client.answer("question", "yes")
    assert await two[1].call(HERS) == {here.sid: "yes", there.sid: "yes"}
    assert await here.receive() == await there.receive() == ("question",)
    two[1].command(HERS, "join", "new")
    await two[1].cluster.flush_cluster()
    two[0].emit(("new",), 1)
    assert [await said(here), await said(there)] == [1, 1]
    two[0].command(HERS, "close")
    await here.closed(DEADLINE)
    await there.closed(DEADLINE)


@pytest.mark.usefixtures("_recovers")
async def test_a_user_who_comes_back_to_another_hub(two: Two) -> None:
    client = await two[0].client(user=ANN)
    client.drop()
    two[1].emit(HERS, 1)
    two[1].emit(HIS, "secret")
    two[0].emit(HERS, 2)
    await two[1].cluster.flush_cluster()
    await two[1].take_back(client)
    assert client.recovered
    assert {await said(client), await said(client)} == {1, 2}
    for number, server in enumerate(two):
        server.emit(HERS, number)
        assert await said(client) == number
    assert not client.pending()


@pytest.mark.usefixtures("_recovery")
async def test_a_user_who_moves_to_another_hub(two: Two) -> None:
    mover = await Mover.come(two[0], user=ANN)
    running = mover.begin(two[1], user=ANN)
    await mover.probed()
    mover.poll()
    two[0].emit(HERS, "on the way")
    mover.send("5")
    mover.session = await running  # type: ignore[assignment]
    assert await mover.next() == ["on the way"]
    for server in two:
        server.emit(HERS, "there")
        assert await mover.next() == ["there"]
        server.emit(HIS, "secret")
    two[0].emit((mover.sid,), "last")
    assert await mover.next() == ["last"]


@pytest.mark.usefixtures("_recovers")
@pytest.mark.parametrize("still", [True, False])
async def test_rooms_are_asked_for_at_another_hub(
    two: Two, serve: Serve, allowed: set[str], still: bool
) -> None:
    serve(Chat)
    client = await two[0].client()
    assert await client.call("join", "a") == {"ok": True}
    client.drop()
    two[0].emit(("a",), 1)
    two[1].emit((), 2)
    await two[1].cluster.flush_cluster()
    if not still:
        allowed.clear()
    await two[1].take_back(client)
    assert client.recovered is still
    if still:
        assert {await said(client), await said(client)} == {1, 2}
        assert await client.call("leave", "a") == {"ok": True}, "it has joined it itself"
    two[0].emit(("a",), "secret")
    two[0].emit((), 3)
    assert await said(client) == 3
    assert not client.pending()
    await is_over(two[0])


async def is_over(server: Server) -> None:
    """Wait until a hub keeps no session."""
    recovery: Any = server.hub.recovery
    await server.cluster.flush_cluster()
    assert not len(recovery.sessions)


@pytest.mark.usefixtures("_recovery")
async def test_rooms_that_a_client_has_joined_move_with_it(two: Two, serve: Serve) -> None:
    serve(routes=[path("", Chat.as_asgi())])
    mover = await Mover.come(two[0])
    await mover.post('421["join","a"]')
    await mover.move(two[1])
    assert await mover.frame() == '431[{"ok":true}]'
    assert mover.session.sockets["/"].asked == {"a"}
    mover.send('422["leave","a"]')
    assert await mover.frame() == '432[{"ok":true}]'
