"""Who is connected, as QuerySets: in the whole cluster, and only at living servers."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import SynchronousOnlyOperation
from django.core.paginator import Paginator
from django.db import OperationalError
from django.db.models import Count
from django.db.models.sql.compiler import SQLCompiler
from pytest_django import Settings

import realtime
from realtime import ConnectionRefused, NamespaceConsumer
from realtime.exceptions import PresenceDisabled, PresenceUnavailable
from realtime.models import Membership, Room, Server, Socket
from realtime.testing import Client

from ..conftest import Connect
from ..hub.test_observers import Serve
from ..probes import Probe, Wire
from .conftest import add_server, add_socket, ask

Crowd = dict[str, Client]


def names(crowd: Crowd, sids: Any) -> set[str]:
    """Return the names of clients, and the sids of those that have none."""
    known = {client.sid: name for name, client in crowd.items()}
    return {known.get(sid, sid) for sid in sids}


@pytest.fixture
async def cluster(crowd: Crowd, connect: Connect) -> Crowd:
    """The crowd, eve in "/users" and its room a, and clients of a living and of a dead server."""
    crowd["eve"] = await connect("/users", auth={"rooms": ["a"]})

    def add() -> None:
        user = get_user_model().objects.create(username="fay")
        living, dead = add_server("living", 8), add_server("dead__", 16)
        add_socket(living, "living-fay", "a", "b", "c", user=user)
        add_socket(living, "living-gus", connection="living-fay")
        add_socket(dead, "dead__-hal", "a", "c", "dead", user=user)

    await ask(add)
    return crowd


@pytest.mark.parametrize(
    ("rooms", "excluded", "found"),
    [
        ((), (), {"ann", "bob", "cleo", "dan", "living-fay", "living-gus"}),
        (("a",), (), {"ann", "cleo", "living-fay"}),
        (("a", "b"), (), {"ann", "bob", "cleo", "living-fay"}),
        (("a", "b", "nobody"), ("b",), {"cleo"}),
        ((), ("a",), {"bob", "dan", "living-gus"}),
        (("dead",), (), set()),
        (("a",), ("a",), set()),
    ],
)
async def test_sockets_of_rooms(
    cluster: Crowd, rooms: tuple[str, ...], excluded: tuple[str, ...], found: set[str]
) -> None:
    target = realtime.of().to(*rooms).excluding(*excluded)
    sids = [socket.sid async for socket in target.sockets()]
    assert len(sids) == len(found)
    assert names(cluster, sids) == found
    assert await target.acount() == await ask(target.count) == len(found)


async def test_a_sid_stands_for_its_socket(cluster: Crowd) -> None:
    dan, bob, eve = (cluster[name].sid for name in ("dan", "bob", "eve"))
    assert await realtime.to(dan).acount() == 1
    assert await realtime.to(dan, bob, "b").excluding(bob).acount() == 3
    assert await realtime.to("b").excluding(dan).acount() == 3
    assert await realtime.to(eve).acount() == 0
    assert await realtime.of("/users").to(eve).acount() == 1
    assert await realtime.to("x" * 26).acount() == 0


async def test_namespaces_are_apart(cluster: Crowd) -> None:
    assert await realtime.of("/users").acount() == 1
    assert await realtime.of("/users").to("a").acount() == 1
    assert await realtime.of("/orders/7").acount() == 0


async def test_clients_are_counted_once_each(cluster: Crowd) -> None:
    assert await ask(realtime.count_clients) == 6  # fay and gus are one
    assert await realtime.acount_clients() == 6


async def test_they_are_querysets(cluster: Crowd) -> None:
    sockets = realtime.to("a").sockets()
    assert await sockets.filter(user__username="fay").acount() == 1
    assert await sockets.filter(memberships__room="c").acount() == 1
    assert [s async for s in sockets.filter(server="living").values("sid", "user__username")] == [
        {"sid": "living-fay", "user__username": "fay"}
    ]
    assert await sockets.exclude(user=None).aexists()
    assert await sockets.order_by("sid")[:2].acount() == 2
    per_server = sockets.values("server").annotate(n=Count("pk")).order_by("n")
    assert [row["n"] async for row in per_server] == [1, 2]


async def test_rooms_have_counts(cluster: Crowd) -> None:
    def count(rooms: Any) -> dict[str, int]:
        return {room.name: room.sockets for room in rooms}

    assert await ask(lambda: count(realtime.of().rooms())) == {"a": 3, "b": 3, "c": 1}
    assert await ask(lambda: count(realtime.of("/users").rooms())) == {"a": 1}
    assert await ask(lambda: count(realtime.to("b").rooms())) == {"a": 2, "b": 3, "c": 1}
    assert await ask(lambda: count(realtime.of().excluding("c").rooms())) == {"a": 2, "b": 2}
    assert await realtime.of().rooms().acount() == 3


async def test_users_who_are_online(cluster: Crowd) -> None:
    users = get_user_model().objects
    assert await users.filter(realtime_sockets__namespace="/").acount() == 2
    online = Socket.objects.online()
    found = users.filter(realtime_sockets__in=online.filter(namespace="/")).distinct()
    assert await found.acount() == 1
    await ask(lambda: Server.objects.filter(pk="living").delete())
    assert await found.acount() == 0
    assert await users.filter(realtime_sockets__namespace="/").acount() == 1


async def test_only_who_is_accepted_is_counted(serve: Serve, probe: Probe, new_wire: Any) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note(await self.everyone.acount())
            await probe.gate.wait()
            raise ConnectionRefused

    serve(Main)
    wire: Wire = new_wire()
    wire.feed("40")
    assert await probe.next() == 0
    probe.gate.set()
    await wire.next()
    assert await realtime.of().acount() == 0


async def test_hooks_and_handlers_count(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> Any:
            self.join("a")
            return await self.everyone.acount(), await self.broadcast.acount()

    serve(Main)
    client, _ = await connect(), await connect()
    assert await client.call("anything") == (2, 1)


async def test_a_blocking_count_says_so_on_the_event_loop() -> None:
    with pytest.raises(SynchronousOnlyOperation):
        realtime.of().count()


# Where nobody can say


QUESTIONS: dict[str, Callable[[], Any]] = {
    "sockets": lambda: realtime.of().sockets(),
    "rooms": lambda: realtime.of().rooms(),
    "count": lambda: realtime.to("a").count(),
    "clients": realtime.count_clients,
    "online": Socket.objects.online,
    "online rooms": Room.objects.online,
    "counted rooms": Room.objects.with_counts,
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_presence_is_off(question: Callable[[], Any], settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}
    with pytest.raises(PresenceDisabled, match=r'REALTIME\["PRESENCE"\]'):
        await ask(question)
    with pytest.raises(PresenceDisabled):
        await realtime.of().acount()


EVALUATIONS: dict[str, Callable[[], Any]] = {
    "list": lambda: list(realtime.to("a").sockets()),
    "rooms": lambda: list(realtime.of().rooms()),
    "filtered": lambda: list(realtime.of().sockets().filter(transport="plain").order_by("sid")),
    "values": lambda: list(realtime.of().sockets().values_list("user", flat=True)),
    "length": lambda: len(realtime.of().rooms()),
    "truth": lambda: bool(realtime.of().sockets()),
    "first": lambda: realtime.of().sockets().first(),
    "slice": lambda: list(realtime.of().sockets()[:3]),
    "count": lambda: realtime.of().sockets().exclude(user=None).count(),
    "exists": lambda: realtime.of().sockets().exists(),
    "aggregate": lambda: realtime.of().sockets().aggregate(Count("user")),
    "in bulk": lambda: realtime.of().sockets().in_bulk(),
    "iterator": lambda: list(realtime.of().sockets().iterator(10)),
    "either": lambda: list(realtime.to("a").sockets() | realtime.to("b").sockets()),
    "explain": lambda: realtime.of().sockets().explain(),
}


async def _all(rows: AsyncIterable[Any]) -> list[Any]:
    return [row async for row in rows]


ASYNC_EVALUATIONS: dict[str, Callable[[], Awaitable[Any]]] = {
    "acount": lambda: realtime.of().acount(),
    "clients": realtime.acount_clients,
    "rows": lambda: _all(realtime.of().sockets()),
    "aexists": lambda: realtime.of().rooms().aexists(),
    "afirst": lambda: realtime.of().sockets().afirst(),
    "aiterator": lambda: _all(realtime.of().sockets().aiterator()),
}


async def test_the_database_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(SQLCompiler, "execute_sql", fail)
        for question in (QUESTIONS["count"], QUESTIONS["clients"], *EVALUATIONS.values()):
            with pytest.raises(PresenceUnavailable) as caught:
                await ask(question)
            assert isinstance(caught.value.__cause__, OperationalError)
        for evaluate in ASYNC_EVALUATIONS.values():
            with pytest.raises(PresenceUnavailable):
                await evaluate()
    for question in EVALUATIONS.values():
        await ask(question)
    for evaluate in ASYNC_EVALUATIONS.values():
        await evaluate()


# The models


def fill_rooms() -> None:
    living, dead = add_server("living", 1), add_server("dead__", 20)
    for number in range(5):
        rooms = [f"room {index}" for index in range(number + 1)]
        add_socket(living, f"living-{number}", *rooms)
        add_socket(dead, f"dead__-{number}", *rooms, "haunted", namespace="/users")


async def test_each_room_is_one_row() -> None:
    await ask(fill_rooms)

    def look() -> None:
        rooms = Room.objects.all()
        assert rooms.count() == 11
        assert Room.objects.online().count() == 5
        ordered = Room.objects.with_counts().order_by("namespace", "name")
        assert [(room.name, room.sockets) for room in ordered] == [
            (f"room {index}", 5 - index) for index in range(5)
        ]
        first, second = ordered[:2]
        assert Room.objects.get(pk=first.pk) == first
        assert str(first) == "room 0"
        assert ordered.get(pk=second.pk).sockets == 4
        assert set(Room.objects.filter(pk__in=[first.pk, second.pk])) == {first, second}
        assert Room.objects.in_bulk([first.pk]) == {first.pk: first}
        assert ordered.filter(sockets__gte=4).count() == 2
        assert ordered.filter(name__contains="4").exists()
        assert next(room.name for room in ordered.order_by("-sockets", "name")) == "room 0"
        pages = Paginator(ordered, 2)
        assert (pages.count, pages.num_pages) == (5, 3)
        assert [room.name for room in pages.page(3)] == ["room 4"]
        first.refresh_from_db()
        assert Room.objects.values_list("namespace", flat=True).distinct().count() == 2

    await ask(look)


@pytest.mark.parametrize("heartbeat", [60, 3600])  # a busy machine loses seconds
async def test_a_server_lives_for_three_heartbeats(settings: Settings, heartbeat: float) -> None:
    settings.REALTIME = {**settings.REALTIME, "SERVER_HEARTBEAT": heartbeat}

    def look() -> None:
        for name, age in (("now000", 0), ("young0", 2.7), ("old000", 3.1), ("older0", 4000)):
            add_server(name, age * heartbeat)
        assert set(Server.objects.living().values_list("pk", flat=True)) == {"now000", "young0"}

    await ask(look)


async def test_the_clock_of_this_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(lambda: add_server("living", 1))
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert await ask(lambda: Server.objects.living().count()) == 1


async def test_a_server_that_goes_takes_its_rows_along() -> None:
    await ask(fill_rooms)
    await ask(lambda: Server.objects.filter(pk="dead__").delete())
    assert await ask(Socket.objects.count) == 5
    assert await ask(lambda: Membership.objects.filter(namespace="/users").count()) == 0


async def test_names_read_well() -> None:
    await ask(fill_rooms)
    assert await ask(lambda: str(Server.objects.get(pk="living"))) == "living"
    assert await ask(lambda: str(Socket.objects.first())) == "dead__-0"
    assert await ask(lambda: str(Membership.objects.filter(namespace="/").first())) == "/ room 0"
