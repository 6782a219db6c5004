"""Rows as the servers write them, and staff who look at them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from realtime.cluster.envelopes import group_name
from realtime.cluster.sids import new_server_id, new_sid
from realtime.models import Membership, Server, Socket

VERSIONS = {"realtime": "0.1.0", "python": "3.12.1"}

LogIn = Callable[..., Client]


@pytest.fixture(autouse=True)
def _database(presence: None) -> None:
    """All of these tests use it, also from the threads of handlers."""


def make_server(name: str = "web1", *, seen: float = 0, **fields: Any) -> Server:
    """Return a server that was seen `seen` seconds ago."""
    now = timezone.now()
    return Server.objects.create(
        **{
            "id": new_server_id(),
            "name": name,
            "host": name,
            "pid": 4100,
            "software": "daphne 4.2.3",
            "versions": VERSIONS,
            "started_at": now - timedelta(hours=3),
            "seen_at": now - timedelta(seconds=seen),
            **fields,
        }
    )


def new_socket(server: Server, namespace: str = "/", age: float = 0, **fields: Any) -> Socket:
    """Return a socket that connected `age` seconds ago, and is not in the database yet."""
    sid = new_sid(server.id)
    return Socket(
        **{
            "sid": sid,
            "server": server,
            "connection": sid[:12],
            "namespace": namespace,
            "address": "127.0.0.1",
            "user_agent": "tests",
            "transport": "websocket",
            "connected_at": timezone.now() - timedelta(seconds=age),
            **fields,
        }
    )


def new_membership(socket: Socket, room: str) -> Membership:
    """Return a socket's place in a room, which is not in the database yet."""
    return Membership(
        socket=socket,
        namespace=socket.namespace,
        room=room,
        key=group_name(socket.namespace, room),
        joined_at=socket.connected_at,
    )


def make_socket(server: Server, *rooms: str, **fields: Any) -> Socket:
    """Return a socket in these rooms."""
    socket = new_socket(server, **fields)
    socket.save(force_insert=True)
    for room in rooms:
        new_membership(socket, room).save()
    return socket


@pytest.fixture
def log_in() -> LogIn:
    """A function that returns a browser of a new staff member with these permissions."""

    def log_in(*codenames: str, name: str = "staff", **fields: Any) -> Client:
        user = get_user_model().objects.create(username=name, **{"is_staff": True, **fields})
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def browser(log_in: LogIn) -> Client:
    """A superuser's browser."""
    return log_in(name="root", is_superuser=True)
