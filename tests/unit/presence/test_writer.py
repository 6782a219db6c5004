"""The rows of a hub's sockets, right when the client is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.urls import path
from django.utils import timezone
from pytest_django import Settings

import realtime
from realtime import NamespaceConsumer
from realtime.hub.hub import Hub
from realtime.models import Membership, Server, Socket
from realtime.outside.process import ensure_hub
from realtime.presence import writer as writer_module
from realtime.testing import Client

from ..conftest import Connect
from ..hub.test_observers import Serve
from ..probes import Probe, Wire
from .conftest import (
    add_server,
    add_socket,
    ask,
    rows,
    writer_of,
)


async def test_a_client_is_there_when_it_is_told_so(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a", "Room №1", ""]})
    assert await rows() == {client.sid: ("/", {"a", "Room №1", ""})}
    await client.call("join", "b", "b")
    await client.call("leave", "a", "nowhere")
    assert await rows() == {client.sid: ("/", {"b", "Room №1", ""})}


async def test_a_client_is_gone_when_its_last_hook_runs(
    serve: Serve, probe: Probe, connect: Connect
) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("a")

        async def disconnect(self, reason: str) -> None:
            probe.note(await rows())

    serve(Main)
    stays, leaves = await connect(), await connect()
    await leaves.disconnect()
    assert await probe.next() == {stays.sid: ("/", {"a"})}
    await stays.disconnect()
    assert await probe.next() == {}


async def test_what_is_known_of_a_socket(hub: Hub, connect: Connect) -> None:
    user = await ask(lambda: get_user_model().objects.create(username="ann"))
    before = timezone.now()
    scope = {"client": ("2001:db8::1", 5000), "headers": [(b"user-agent", b"Test/1.0")]}
    client = await connect("/orders/7", auth={"rooms": ["a"]}, user=user, scope=scope)
    socket = await ask(lambda: Socket.objects.select_related("server", "user").get())
    assert socket.sid == client.sid
    assert socket.server.id == hub.server_id == client.sid[: len(hub.server_id)]
    assert (socket.namespace, socket.user, socket.transport) == ("/orders/7", user, "websocket")
    assert (socket.address, socket.user_agent) == ("2001:db8::1", "Test/1.0")
    assert before <= socket.connected_at <= timezone.now()
    (connection,) = hub.connections
    assert connection.startswith(socket.connection)
    assert len(socket.connection) == 12
    membership = await ask(Membership.objects.get)
    assert before <= membership.joined_at <= timezone.now()


class Token:
    """What a site's middleware may put where a user is expected."""

    pk = "not a user's"


@pytest.mark.parametrize("user", [AnonymousUser(), Token(), get_user_model()(username="unsaved")])
async def test_who_is_no_saved_user(user: Any, connect: Connect) -> None:
    await connect(user=user)
    assert (await ask(Socket.objects.get)).user_id is None


class Stateless:
    """A user that a site's middleware has made of a token."""

    is_authenticated = True

    def __init__(self, pk: Any) -> None:
        self.pk = pk


async def test_a_user_of_a_token_is_the_row_of_its_key(connect: Connect) -> None:
    user = await ask(lambda: get_user_model().objects.create(username="ann"))
    keys = [user.pk, str(user.pk), user.pk + 1, "x", "", None, 10**30, f"{user.pk}\0", [1]]
    clients = [await connect(user=Stateless(key)) for key in keys]
    found = await ask(lambda: dict(Socket.objects.values_list("sid", "user")))
    assert [found[client.sid] for client in clients] == [user.pk, user.pk] + [None] * 7
    here = get_user_model().objects.filter(realtime_sockets__namespace="/").distinct()
    assert await ask(lambda: list(here)) == [user]


async def test_whom_middleware_names(connect: Connect) -> None:
    users = get_user_model().objects
    ann, bob = await users.acreate(username="ann"), await users.acreate(username="bob")
    nobody = await connect(user=ann, scope={"presence_user": None})
    other = await connect(user=ann, scope={"presence_user": bob})
    assert (await Socket.objects.aget(sid=nobody.sid)).user_id is None
    assert (await Socket.objects.aget(sid=other.sid)).user_id == bob.pk


async def test_a_user_who_is_deleted_meanwhile(connect: Connect) -> None:
    user = await ask(lambda: get_user_model().objects.create(username="ann"))
    await connect(user=user)
    ghost = get_user_model()(username="ghost", pk=123456)
    await connect(user=ghost)
    assert await realtime.of().acount() == 2
    await ask(user.delete)
    assert await realtime.of().acount() == 2
    assert await ask(lambda: Socket.objects.filter(user=None).count()) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"", ""),
        (b"a\0b", "ab"),
        (b"\xff\xfe\xed\xa0\x80", "ÿþí\xa0\x80"),
        (b"x" * 5000, "x" * 512),
    ],
)
async def test_odd_user_agents_are_cleaned(given: bytes, kept: str, connect: Connect) -> None:
    await connect(scope={"headers": [(b"user-agent", given)]})
    assert (await ask(Socket.objects.get)).user_agent == kept


@pytest.mark.parametrize("client", [None, ("", None), (None, None), ("x" * 200, 1), ("a\0", 1)])
async def test_odd_addresses_are_cleaned(client: Any, connect: Connect) -> None:
    await connect(scope={"client": client})
    address = (await ask(Socket.objects.get)).address
    assert len(address) <= 64
    assert "\0" not in address


async def test_the_sockets_of_one_client(new_wire: Any, hub: Hub) -> None:
    wire: Wire = new_wire()
    await wire.connect()
    await wire.connect("/users")
    found = await ask(lambda: list(Socket.objects.values_list("namespace", "connection")))
    assert {namespace for namespace, _ in found} == {"/", "/users"}
    assert len({connection for _, connection in found}) == 1
    assert await ask(realtime.count_clients) == 1


async def test_a_transport_that_changes(new_wire: Any, hub: Hub) -> None:
    wire: Wire = new_wire()
    await wire.connect()
    (socket,) = hub.registry.sockets.values()

    class Polling(type(wire.session)):  # type: ignore[misc]
        __slots__ = ()
        transport = "polling"

    wire.session.__class__ = Polling
    hub.observers.transport_changed(socket)
    await hub.observers.wait_written()
    assert (await ask(Socket.objects.get)).transport == "polling"


async def test_the_server(hub: Hub, connect: Connect) -> None:
    await connect()
    server = await ask(Server.objects.get)
    assert server.id == hub.server_id
    assert server.name == f"{server.host}:{server.pid}"
    assert set(server.versions) == {"realtime", "django", "channels", "python"}
    assert all(server.versions.values())
    assert abs((timezone.now() - server.seen_at).total_seconds()) < 5
    assert server.started_at <= timezone.now()


async def test_a_clean_stop_removes_everything(connect: Connect) -> None:
    await connect(auth={"rooms": ["a"]})
    other = await ask(lambda: add_server("other1"))
    await ask(lambda: add_socket(other, "other1-socket", "a"))
    await ensure_hub().close(grace=0.1)
    assert list(await rows()) == ["other1-socket"]
    assert [server.id for server in await ask(lambda: list(Server.objects.all()))] == ["other1"]


async def test_presence_that_is_off_writes_nothing(settings: Settings, connect: Connect) -> None:
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}
    client = await connect(auth={"rooms": ["a"]})
    assert ensure_hub().observers.all == [] or not any(
        isinstance(observer, writer_module.PresenceWriter)
        for observer in ensure_hub().observers.all
    )
    assert await client.call("join", "b") == ["a", "b"]
    assert await rows() == {}
    assert await ask(Server.objects.count) == 0


def test_no_thread_outlives_its_loop(transactional_db: None) -> None:
    async def scenario() -> Any:
        await Client().connect()
        return writer_of(ensure_hub())._thread._workers[0]

    thread = asyncio.run(scenario())
    assert not thread.is_alive()


async def test_routes_and_sockets_are_found_by_class(serve: Serve, connect: Connect) -> None:
    class Item(NamespaceConsumer):
        pass

    serve(routes=[path("items/<int:pk>/", Item.as_asgi())])
    client = await connect("/items/7")
    sockets = realtime.of(Item, pk=7).sockets()
    assert [socket.sid async for socket in sockets] == [client.sid]
