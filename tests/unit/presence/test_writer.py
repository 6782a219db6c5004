"""The rows of a hub's sockets: right when the client is told, and in few transactions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, OperationalError
from django.urls import path
from django.utils import timezone
from pytest_django import Settings

import realtime
from realtime import NamespaceConsumer
from realtime.hub import Hub, ensure_hub
from realtime.models import Membership, Server, Socket
from realtime.presence import writer as writer_module
from realtime.presence.store import Lost
from realtime.testing import Client

from ..conftest import Connect
from ..probes import Probe, Wire
from ..test_observers import Serve
from .conftest import (
    Interference,
    add_server,
    add_socket,
    ask,
    read_registry,
    rows,
    until,
    writer_of,
)


def named(records: list[Any], what: str) -> list[dict[str, Any]]:
    """Return the fields of the log lines that begin so."""
    return [record.realtime for record in records if record.getMessage().startswith(what)]


# What is written


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
    assert await ask(realtime.broadcast.count_clients) == 1


async def test_a_transport_that_changes(new_wire: Any, hub: Hub) -> None:
    wire: Wire = new_wire()
    await wire.connect()
    (socket,) = hub.registry.sockets.values()

    class Polling(type(wire.session)):  # type: ignore[misc]
        transport = "polling"

    wire.session.__class__ = Polling
    hub.observers.moved(socket)
    await hub.observers.settled()
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


# How it is written


async def test_a_thousand_clients_at_once_take_tens_of_transactions(
    interference: Interference, hub: Hub
) -> None:
    clients = [Client(auth={"rooms": ["a", f"own {number}"]}) for number in range(1000)]
    calls = {"timeout": 60}
    await asyncio.gather(*(client.connect(**calls) for client in clients))
    assert sum(interference.batches) == 1000
    assert await realtime.of().acount() == await realtime.to("a").acount() == 1000
    await asyncio.gather(*(client.call("join", "b", **calls) for client in clients))
    assert await realtime.to("b").acount() == 1000
    await asyncio.gather(*(client.call("leave", "a", "b", **calls) for client in clients))
    assert await realtime.to("a", "b").acount() == 0
    await asyncio.gather(*(client.disconnect() for client in clients))
    await until(lambda: not hub.stats()["tasks"], timeout=60)
    assert await rows() == {}
    assert len(interference.batches) < 400  # a hundred for each of the four


async def test_what_came_and_went_between_two_writes_is_never_written(
    interference: Interference, hub: Hub, new_wire: Any, connect: Connect
) -> None:
    stays = await connect()
    interference.batches.clear()
    interference.entered.clear()
    interference.gate.clear()
    first: Wire = new_wire()
    first.feed("40")
    await until(interference.entered.is_set)  # its row is being written
    second: Wire = new_wire()
    second.feed("40")
    await until(lambda: len(read_registry(hub)) == 3)
    second.close()
    stays.emit("join", "brief")
    stays.emit("leave", "brief")
    await until(lambda: len(read_registry(hub)) == 2)
    interference.gate.set()
    await first.next()
    await hub.observers.settled()
    assert interference.batches in ([1], [1, 0])
    assert await rows() == read_registry(hub)


async def test_what_is_written_while_it_goes_is_removed(
    interference: Interference, hub: Hub, new_wire: Any, connect: Connect
) -> None:
    await connect()
    interference.entered.clear()
    interference.gate.clear()
    wire: Wire = new_wire()
    wire.feed("40")
    await until(interference.entered.is_set)
    wire.close()
    interference.gate.set()
    await hub.observers.settled()
    await until(lambda: len(read_registry(hub)) == 1)
    await hub.observers.settled()
    assert await rows() == read_registry(hub)


async def test_many_rooms_at_once(connect: Connect, hub: Hub) -> None:
    client = await connect()
    names = [f"room {number}" for number in range(1200)]
    await client.call("join", *names)
    assert await rows() == {client.sid: ("/", set(names))}
    await client.call("leave", *names[:-1])
    assert await rows() == {client.sid: ("/", {names[-1]})}


# Heartbeat


async def test_the_heartbeat_goes_on(settings: Settings, hub: Hub, connect: Connect) -> None:
    settings.REALTIME = {**settings.REALTIME, "SERVER_HEARTBEAT": 0.05}
    writer_of(hub)._heartbeat = 0.05
    await connect()
    seen = [(await ask(Server.objects.get)).seen_at]
    async with asyncio.timeout(5):
        while len(seen) < 4:
            seen += [s for s in [(await ask(Server.objects.get)).seen_at] if s > seen[-1]]
    assert await realtime.of().acount() == 1


@pytest.mark.parametrize("how", ["late", "removed"])
async def test_a_server_that_others_took_for_dead_comes_back(
    how: str, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    client = await connect(auth={"rooms": ["a"]})
    if how == "removed":
        await ask(lambda: Server.objects.all().delete())
    else:  # as after a pause: nobody has removed anything yet
        await ask(lambda: Server.objects.update(seen_at="2020-01-01T00:00Z"))
    assert await realtime.of().acount() == 0
    if how == "late":
        writer_of(hub)._next_beat = 0
    await client.call("join", "b")
    assert await rows() == {client.sid: ("/", {"a", "b"})}
    assert await realtime.of().acount() == 1
    assert len(named(records, "presence-lost")) == 1
    assert not named(records, "presence-down")


async def test_rows_of_dead_servers_are_removed(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.presence.store.CHUNK", 3)

    def fill() -> None:
        for name, age in (("dead01", 60), ("dead02", 17), ("late03", 15.5), ("live04", 10)):
            server = add_server(name, age)
            for number in range(7):
                add_socket(server, f"{name}-{number}", "a", "b")

    await ask(fill)
    mine = await connect()
    writer_of(hub)._next_sweep = 0
    writer_of(hub)._wake.set()
    await until(lambda: len(named(records, "presence-swept")) == 1)
    writer_of(hub)._next_sweep = 0
    writer_of(hub)._wake.set()
    await until(lambda: len(named(records, "presence-swept")) == 2)
    left = {sid[:6] for sid in await rows() if sid != mine.sid}
    assert left == {"late03", "live04"}
    assert await ask(Membership.objects.count) == 28
    assert await ask(Server.objects.count) == 3
    assert await realtime.of().acount() == 8


# A database that fails


async def test_an_outage_stops_nothing_else(
    interference: Interference, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    first = await connect(auth={"rooms": ["a"]})
    interference.error = OperationalError("the database is away")
    clients = [await connect(auth={"rooms": ["b"]}) for _ in range(20)]
    await clients[0].disconnect()
    await first.call("join", "c")
    assert await first.call("echo", 1) == 1
    await until(lambda: named(records, "presence-down"))
    down = named(records, "presence-down")
    assert "the database is away" in down[0]["error"]
    assert down[0]["hint"]
    assert list(await rows()) == [first.sid]
    interference.error = None
    await until(lambda: named(records, "presence-back"))
    assert await rows() == read_registry(hub)
    assert await realtime.of().acount() == 20
    assert len(named(records, "presence-down")) == 1


async def test_a_hub_that_starts_without_its_database(
    interference: Interference, hub: Hub, connect: Connect, records: list[Any]
) -> None:
    interference.error = OperationalError("the database is away")
    client = await connect(auth={"rooms": ["a"]})
    assert await rows() == {}
    interference.error = None
    await until(lambda: named(records, "presence-back"))
    assert await rows() == {client.sid: ("/", {"a"})}


async def test_a_database_that_hangs_is_waited_for_once(
    interference: Interference,
    hub: Hub,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
) -> None:
    await connect()
    monkeypatch.setattr(writer_module, "PATIENCE", 0.1)
    interference.gate.clear()
    start = hub.loop.time()
    for _ in range(20):
        await connect(auth={"rooms": ["a"]})
    assert 0.1 <= hub.loop.time() - start < 1.5
    (down,) = named(records, "presence-down")
    assert "no answer" in down["error"]
    interference.gate.set()
    await until(lambda: named(records, "presence-back"))
    assert await rows() == read_registry(hub)
    assert interference.registrations == 1  # nothing was lost, so nothing was written anew


@pytest.mark.parametrize("error", [IntegrityError("a row of a server that is gone"), Lost()])
async def test_one_refused_write_is_put_right_before_the_answer(
    error: Exception, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await connect(auth={"rooms": ["a"]})
    writer = writer_of(hub)
    write, errors = writer._store.write, [error]

    def refuse_once(changes: Any, beat: bool) -> None:
        if errors:
            raise errors.pop()
        write(changes, beat=beat)

    monkeypatch.setattr(writer._store, "write", refuse_once)
    second = await connect(auth={"rooms": ["b"]})
    assert not errors
    assert await rows() == {first.sid: ("/", {"a"}), second.sid: ("/", {"b"})}


async def test_a_broken_connection_is_opened_again(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    first = await connect()
    writer = writer_of(hub)
    write, errors = writer._store._write, [OperationalError("server closed the connection")]

    def break_once(changes: Any) -> None:
        if errors:
            raise errors.pop()
        write(changes)

    monkeypatch.setattr(writer._store, "_write", break_once)
    second = await connect()
    assert not errors
    assert set(await rows()) == {first.sid, second.sid}
    assert not named(records, "presence-")


async def test_more_sockets_than_one_batch_come_back(
    hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, interference: Interference
) -> None:
    clients = await asyncio.gather(*(connect(auth={"rooms": ["a", "b"]}) for _ in range(50)))
    monkeypatch.setattr(writer_module, "BATCH", 7)
    await ask(lambda: Server.objects.all().delete())
    await clients[0].call("join", "c")
    assert await rows() == read_registry(hub)
    assert max(interference.batches[-8:]) == 7


async def test_closing_while_the_database_hangs_takes_a_bounded_time(
    interference: Interference, hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr(writer_module, "PATIENCE", 0.1)
    async with Client():
        pass
    interference.gate.clear()
    await Client().connect()
    start = hub.loop.time()
    await hub.close(grace=0.5)
    assert hub.loop.time() - start < 2
    assert len(named(records, "presence-left-behind")) == 1


async def test_nothing_waits_where_nothing_changes(
    interference: Interference, connect: Connect
) -> None:
    client = await connect()
    written = len(interference.batches)
    interference.gate.clear()
    for number in range(50):
        assert await client.call("echo", number) == number
    interference.gate.set()
    assert len(interference.batches) == written


async def test_presence_that_is_off_writes_nothing(settings: Settings, connect: Connect) -> None:
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}
    client = await connect(auth={"rooms": ["a"]})
    assert ensure_hub().observers.all == [] or not any(
        isinstance(observer, writer_module.Writer) for observer in ensure_hub().observers.all
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
