"""Texts and moments, which are the same in every database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from realtime.cluster.envelopes import group_name
from realtime.fields import DatabaseNow
from realtime.models import Membership, Room, Server, Socket

# Texts that some databases take for one another.
ALIKE = ["Room", "room", "Rööm", "Ro\u0308o\u0308m", "Room ", " Room"]
ALIKE += ["😀", "🎉", "ß", "ss", "ı", "i", ""]

pytestmark = pytest.mark.django_db


def add_server(name: str = "web", **fields: Any) -> Server:
    """Return a new server."""
    values = {"name": name, "host": name, "pid": 1, "started_at": timezone.now()} | fields
    return Server.objects.create(id=name, seen_at=DatabaseNow(), **values)


def add_socket(server: Server, sid: str, *rooms: str, namespace: str = "/") -> Socket:
    """Return a new socket in these rooms."""
    now = timezone.now()
    socket = Socket.objects.create(
        sid=sid, server=server, connection=sid[:12], namespace=namespace, connected_at=now
    )
    for room in rooms:
        key = group_name(namespace, room)
        Membership.objects.create(
            socket=socket, namespace=namespace, room=room, key=key, joined_at=now
        )
    return socket


# Texts


def test_rooms_that_look_alike_are_as_many() -> None:
    add_socket(add_server(), "a", *ALIKE)
    assert {room.name for room in Room.objects.all()} == set(ALIKE)
    for name in ALIKE:
        assert [room.name for room in Room.objects.filter(name=name)] == [name]
        assert Membership.objects.filter(room__in=[name]).count() == 1


def test_namespaces_that_look_alike_are_as_many() -> None:
    server = add_server()
    for number, name in enumerate(ALIKE):
        add_socket(server, f"sid {number}", namespace=f"/{name}")
    namespaces = Socket.objects.values_list("namespace", flat=True)
    assert sorted(namespaces.distinct()) == sorted(f"/{name}" for name in ALIKE)
    for name in ALIKE:
        assert Socket.objects.filter(namespace=f"/{name}").count() == 1
        assert Socket.objects.exclude(namespace=f"/{name}").count() == len(ALIKE) - 1


def test_ids_that_differ_by_case_alone() -> None:
    for name in ("aBc-_1", "AbC-_1"):
        server = add_server(name)
        add_socket(server, f"{name} the rest", "room")
    for name in ("aBc-_1", "AbC-_1"):
        server = Server.objects.get(pk=name)
        assert [socket.sid for socket in server.sockets.all()] == [f"{name} the rest"]
        socket = Socket.objects.get(pk=f"{name} the rest")
        assert socket.memberships.count() == 1
    Socket.objects.filter(pk="aBc-_1 the rest").delete()
    assert [socket.sid for socket in Socket.objects.all()] == ["AbC-_1 the rest"]


def test_a_search_can_ignore_case() -> None:
    add_socket(add_server(), "a", "Blue Room", "blue room", "BLUE ROOMS", "green")
    for lookup, text, number in (
        ("iexact", "BLUE room", 2),
        ("icontains", "E ROOM", 3),
        ("istartswith", "blue R", 3),
        ("iendswith", "S", 1),
    ):
        found = Membership.objects.filter(**{f"room__{lookup}": text})
        assert found.count() == number, lookup


def test_every_text_may_have_any_character() -> None:
    server = add_server(host="😀", software="🎉")
    socket = add_socket(server, "a")
    Socket.objects.update(user_agent="𝔘ser 🤖", address="💻")
    socket.refresh_from_db()
    assert (socket.user_agent, socket.address) == ("𝔘ser 🤖", "💻")
    assert Server.objects.get().host == "😀"


# Moments


@pytest.fixture(params=[(True, "UTC"), (True, "Asia/Kolkata"), (False, "America/New_York")])
def _zone(request: pytest.FixtureRequest, settings: Settings) -> None:
    """Let the site have time zones or none, and be somewhere."""
    settings.USE_TZ, settings.TIME_ZONE = request.param


@pytest.fixture
def _database_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the database keep moments in a zone of its own."""
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", "Asia/Tokyo")
    _forget_zone()
    yield
    monkeypatch.undo()
    _forget_zone()


def _forget_zone() -> None:
    for name in ("timezone", "timezone_name"):
        connection.__dict__.pop(name, None)
    connection.ensure_timezone()


def check_moments() -> None:
    """See that Python and the database agree on the time."""
    before = timezone.now() - timedelta(seconds=1)
    server = add_server()
    server.refresh_from_db()
    now = timezone.now() + timedelta(seconds=1)
    assert before < server.seen_at < now
    assert before < server.started_at < now
    assert before < Server.objects.annotate(now=DatabaseNow()).get().now < now
    # What Python writes and asks for is meant as it says.
    moment = timezone.now() - timedelta(seconds=30)
    Server.objects.update(seen_at=moment)
    server.refresh_from_db()
    assert server.seen_at == moment
    for seconds in (20, 40):
        ago = DatabaseNow() - timedelta(seconds=seconds)
        assert Server.objects.filter(seen_at__gt=ago).exists() is (seconds > 30)
        since = timezone.now() - timedelta(seconds=seconds)
        assert Server.objects.filter(seen_at__gt=since).exists() is (seconds > 30)


@pytest.mark.usefixtures("_zone")
def test_python_and_the_database_agree_on_the_time() -> None:
    check_moments()


@pytest.mark.usefixtures("_database_elsewhere")
def test_a_database_with_a_zone_of_its_own() -> None:
    check_moments()


@pytest.mark.usefixtures("_zone")
@pytest.mark.skipif(
    "connection.features.supports_timezones", reason="PostgreSQL keeps moments of no zone"
)
def test_heartbeats_are_kept_in_utc() -> None:
    """So that they make no jump when summer time begins or ends."""
    add_server()
    with connection.cursor() as cursor:
        cursor.execute("SELECT seen_at FROM realtime_server")
        (kept,) = cursor.fetchone()
    kept = datetime.fromisoformat(kept) if isinstance(kept, str) else kept
    assert abs(kept.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=5)
