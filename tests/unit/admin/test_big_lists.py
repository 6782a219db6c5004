"""That the lists read well with 100,000 sockets: few queries, and none that counts all."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import AutoField, Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from realtime.cluster.envelopes import group_name
from realtime.cluster.sids import new_sid
from realtime.models import Membership, Socket

from .conftest import make_server, new_membership, new_socket

SOCKETS = 100_000

# What Django itself asks: for the session, the user, and (not for superusers) the permissions.
OF_DJANGO = 2


def fill() -> tuple[str, str]:
    """Write the sockets of three servers, all in one room and some in another; return one's ids."""
    servers = [make_server(f"web{number}", seen=-600) for number in range(3)]
    make_server("dead", seen=100)
    user = get_user_model().objects.create(username="ann")
    now = timezone.now()
    sockets, memberships = [], []
    for number in range(SOCKETS):
        server = servers[number % 3].pk
        sid = new_sid(server)
        namespace = f"/orders/{number % 50}" if number % 2 else "/"
        address = f"10.0.{number // 250}.{number % 250}"
        owner = user.pk if number % 4 else None
        since = connection.ops.adapt_datetimefield_value(now - timedelta(seconds=number))
        away = None if number % 1000 else since
        client = (address, "tests", "websocket", "{}", since, away)
        sockets.append((sid, server, sid[:12], namespace, owner, *client))
        for room in ["all"] if number % 10 else ["all", f"room {number}"]:
            memberships.append((sid, namespace, room, group_name(namespace, room), since))
    insert(Socket, sockets)
    insert(Membership, memberships)
    return sid, server


def insert(model: type[Model], rows: list[tuple[Any, ...]]) -> None:
    """Write rows, each with all columns of its table but an automatic key: without instances."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    assert len(fields) == len(rows[0])
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    values = ", ".join(["%s"] * len(fields))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({values})", rows
        )


def check(queries: list[dict[str, Any]], most: int) -> None:
    """See that a page took few queries, and that each count of sockets or rooms has a bound."""
    statements = [query["sql"] for query in queries]
    assert len(statements) <= OF_DJANGO + most, "\n".join(statements)
    for statement in statements:
        # MariaDB would begin with the few servers, and sort all sockets.
        assert not re.search("JOIN .realtime_server", statement), statement
        if "COUNT(" in statement and "realtime_" in statement:
            assert re.search(r"COUNT\(\*\) FROM \(SELECT .* LIMIT \d+", statement), statement
        elif "realtime_socket" in statement or "realtime_membership" in statement:
            assert "LIMIT" in statement or '"key" IN' in statement, statement


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lists_of_100_000_sockets(browser: Client, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 120}}
    sid, server = fill()
    room = group_name("/", "all")
    assert Socket.objects.count() == SOCKETS
    # Sockets: the dead servers, the namespaces, the servers, the count, the page, its servers.
    for query, most in {
        "": 6,
        "?p=100": 6,
        "?namespace=/": 6,
        "?q=10.0.7": 6,
        "?q=ann": 6,
        f"?q={sid}": 6,
        "?transport__exact=websocket": 6,
        f"?server={server}": 6,
        "?away=1": 6,
        f"?room_key={room}": 7,  # and the room's name
        "?room=all": 7,  # and the room's keys
        "?room=all&namespace=/": 7,
    }.items():
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(f"/admin/realtime/socket/{query}")
        assert response.status_code == 200
        check(queries.captured_queries, most)
    # Rooms: the namespaces, the count, the page, the dead servers, the numbers of members.
    for query in ("", "?p=8", "?namespace=/", "?q=room+77"):
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(f"/admin/realtime/room/{query}")
        assert response.status_code == 200
        check(queries.captured_queries, 5)
    text = browser.get("/admin/realtime/room/").content.decode()
    assert f'room_key={room}">10,000+</a>' in text
    with CaptureQueriesContext(connection) as queries:
        text = browser.get("/admin/realtime/server/").content.decode()
    check(queries.captured_queries, 3)
    assert ">33,334</a>" in text
    for page, away in {f"server/{quote(server)}": "34", f"room/{quote(room)}": "100"}.items():
        with CaptureQueriesContext(connection) as queries:
            text = browser.get(f"/admin/realtime/{page}/change/").content.decode()
        check(queries.captured_queries, 6)
        assert f'away=1">{away}</a>' in text
    text = browser.get("/admin/realtime/socket/").content.decode()
    assert "10,000+ sockets" in text
    assert "Only the first are listed" in text


def test_queries_do_not_grow_with_the_rows(browser: Client) -> None:
    server = make_server()
    for number in range(30):
        user = get_user_model().objects.create(username=f"user {number}")
        socket = new_socket(server, user=user)
        socket.save(force_insert=True)
        new_membership(socket, f"room {number}").save()
    pages = [f"{model}/" for model in ("socket", "room", "server")]
    pages += [f"socket/{quote(socket.sid)}/change/", f"server/{quote(server.pk)}/change/"]
    for page in pages:
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(f"/admin/realtime/{page}").status_code == 200
        check(queries.captured_queries, 6)
