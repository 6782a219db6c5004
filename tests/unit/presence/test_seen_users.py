"""Who is online and when users were last seen, asked of the users themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from realtime.exceptions import PresenceDisabled
from realtime.expressions import LastSeen, Online
from realtime.fields import DatabaseNow
from realtime.hub.hub import Hub
from realtime.models import SeenUser, Server, Socket
from realtime.outside.process import ensure_hub
from realtime.presence.changes import Changes
from realtime.presence.servers import Description
from realtime.presence.store import Store
from realtime.testing import Client

from ..conftest import Connect
from .conftest import add_server, add_socket, ask
from .wandering import Site, facts

User = get_user_model()


def now() -> datetime:
    """Return this moment by the database's clock."""
    user, _ = User.objects.get_or_create(username="clock")
    return User.objects.annotate(now=DatabaseNow()).get(pk=user.pk).now


def seen(*users: Any) -> list[tuple[bool, datetime | None]]:
    """Return whether these users are online, and when they were last seen."""
    found = User.objects.annotate(is_online=Online(), last_seen=LastSeen()).in_bulk(
        [user.pk for user in users]
    )
    return [(found[user.pk].is_online, found[user.pk].last_seen) for user in users]


async def leave(*clients: Client) -> None:
    """Disconnect clients, and wait until that is written."""
    for client in clients:
        await client.disconnect()
    await ensure_hub().flush_local()


async def make(*names: str) -> list[Any]:
    """Return new users with these names."""
    return [await User.objects.acreate(username=name) for name in names]


async def test_who_comes_and_goes(connect: Connect) -> None:
    ann, bob = await make("ann", "bob")
    assert await ask(lambda: seen(ann, bob)) == [(False, None), (False, None)]
    before = await ask(now)
    clients = [await connect(user=ann), await connect("/orders/7", user=ann)]
    for client in clients:
        ((online, last), nobody) = await ask(lambda: seen(ann, bob))
        assert online
        assert before <= last <= await ask(now)
        assert nobody == (False, None)
        before = last
        await leave(client)
    ((online, last),) = await ask(lambda: seen(ann))
    assert not online
    after = await ask(now)
    assert before <= last <= after
    assert await ask(lambda: seen(ann)) == [(False, last)]

    client = await connect(user=ann)
    ((online, again),) = await ask(lambda: seen(ann))
    assert online
    assert again >= after
    await leave(client)
    ((online, later),) = await ask(lambda: seen(ann))
    assert not online
    assert later >= again
    assert await ask(SeenUser.objects.count) == 1


async def test_who_is_nobody_is_not_noted(connect: Connect) -> None:
    for user in (AnonymousUser(), None):
        await leave(await connect(user=user))
    assert await ask(Socket.objects.count) == await ask(SeenUser.objects.count) == 0


async def test_filters_order_and_other_models(connect: Connect) -> None:
    ann, bob, cleo, dan = await make("ann", "bob", "cleo", "dan")
    await leave(await connect(user=bob))
    await connect(user=cleo)
    await leave(await connect(user=ann))
    half_an_hour_ago = await ask(now) - timedelta(minutes=30)

    def look() -> None:
        users = User.objects.annotate(last_seen=LastSeen()).exclude(username="clock")
        assert list(users.filter(Online())) == [cleo]
        assert set(users.exclude(Online())) == {ann, bob, dan}
        assert set(users.filter(Online() | Q(username="dan"))) == {cleo, dan}
        order = F("last_seen").desc(nulls_last=True)
        assert list(users.order_by(order, "pk")) == [cleo, ann, bob, dan]
        assert set(users.filter(last_seen__gt=half_an_hour_ago)) == {ann, bob, cleo}
        assert set(users.filter(last_seen=None)) == {dan}
        assert users.filter(last_seen__lt=half_an_hour_ago).count() == 0

        kind = ContentType.objects.get_for_model(User)
        for user in (bob, cleo, dan):
            LogEntry.objects.create(user=user, content_type=kind, action_flag=CHANGE)
        entries = LogEntry.objects.annotate(here=Online("user"), last_seen=LastSeen("user_id"))
        assert {entry.user_id: entry.here for entry in entries} == {
            bob.pk: False,
            cleo.pk: True,
            dan.pk: False,
        }
        assert {entry.user_id for entry in entries if entry.last_seen is None} == {dan.pk}
        groups = Q(here=True) & Q(last_seen__gt=half_an_hour_ago)
        assert entries.filter(groups).get().user_id == cleo.pk

    await ask(look)


async def test_who_is_away_is_online() -> None:
    (ann,) = await make("ann")
    site = Site()
    socket = site.open(user=ann, facts=facts(user=ann))
    site.drop(socket)
    await site.written()
    ((online, before),) = await ask(lambda: seen(ann))
    assert online
    site.close(socket)
    await site.written()
    ((online, last),) = await ask(lambda: seen(ann))
    assert not online
    assert before <= last <= await ask(now)
    await site.stop()


async def test_a_socket_that_becomes_another_users() -> None:
    ann, bob = await make("ann", "bob")
    site = Site()
    socket = site.open(user=ann, facts=facts(user=ann))
    await site.written()
    ((online, before),) = await ask(lambda: seen(ann))
    assert online
    socket.user, socket.facts = bob, facts(user=bob)
    site.hub.observers.user_changed(socket)  # type: ignore[arg-type]
    await site.written()
    ((online, last), (bobs, _)) = await ask(lambda: seen(ann, bob))
    assert (online, bobs) == (False, True)
    assert before <= last
    await site.stop()


@pytest.mark.parametrize("noted", [-60, 0, 60])
async def test_a_dead_server_was_there_until_its_last_heartbeat(noted: int) -> None:
    """Before its rows are removed and after it, unless the user was elsewhere after that."""
    ann, bob = await make("ann", "bob")

    def look() -> None:
        dead = add_server("dead__", 120)
        for number, user in enumerate((ann, ann, bob, None)):
            add_socket(dead, f"dead__-{number}", user=user)
        dead.refresh_from_db()
        SeenUser.objects.create(user=bob, seen_at=dead.seen_at + timedelta(seconds=noted))
        last = dead.seen_at + timedelta(seconds=max(noted, 0))
        assert seen(ann, bob) == [(False, dead.seen_at), (False, last)]
        store = Store(Description("other_"))
        store.register(complete=True, restored=False)
        while (swept := store.sweep()) is not None:
            assert swept.server == "dead__"
        assert not Socket.objects.exists()
        assert not Server.objects.filter(pk="dead__").exists()
        assert seen(ann, bob) == [(False, dead.seen_at), (False, last)]

    await ask(look)


async def test_a_process_that_stops(connect: Connect, hub: Hub) -> None:
    (ann,) = await make("ann")
    await connect(user=ann)
    before = await ask(now)
    await hub.close(grace=0.5)
    ((online, last),) = await ask(lambda: seen(ann))
    assert not online
    assert last >= before


async def test_a_thousand_who_go_at_once_take_a_few_statements() -> None:
    users = await ask(
        lambda: User.objects.bulk_create([User(username=f"user{n}") for n in range(1000)])
    )

    def look() -> int:
        store = Store(Description("server"))
        store.register(complete=True, restored=False)
        server = Server.objects.get(pk="server")
        sids = [f"server-{number}" for number in range(1000)]
        for sid, user in zip(sids, users, strict=True):
            add_socket(server, sid, user=user)
        changes = Changes()
        changes.closed.update(sids)
        with CaptureQueriesContext(connection) as queries:
            store.write(changes, beat=None)
        assert SeenUser.objects.count() == 1000
        assert not Socket.objects.exists()
        return sum("seenuser" in query["sql"] or "MAX(" in query["sql"] for query in queries)

    assert await ask(look) <= 3  # to find them, 500 at a time, and to note them


async def test_a_user_who_is_deleted(connect: Connect) -> None:
    (ann,) = await make("ann")
    client = await connect(user=ann)
    await leave(await connect(user=ann))
    assert await ask(SeenUser.objects.count) == 1
    await ann.adelete()
    assert await ask(SeenUser.objects.count) == 0
    await leave(client)
    assert await ask(SeenUser.objects.count) == 0


@pytest.mark.parametrize("missing", [Server, SeenUser])
async def test_a_table_that_is_not_there_yet(missing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {model._meta.db_table for model in (Server, SeenUser)} - {missing._meta.db_table}

    def explain() -> str:
        with monkeypatch.context() as patch:
            patch.setattr(connection.introspection, "table_names", lambda: list(tables))
            return Store(Description("server")).explain()

    assert await ask(explain) == "run manage.py migrate"


async def test_without_presence(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}
    for expression in (Online, LastSeen):
        with pytest.raises(PresenceDisabled):
            expression()
