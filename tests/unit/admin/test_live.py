"""The namespace of the live page, and what hubs tell for it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import AsyncClient
from django.urls import path
from pytest_django import Settings

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, routing
from realtime.admin import activity_feed as news
from realtime.admin import live
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub
from realtime.sockets import socket as sockets
from realtime.testing import Client

from ..conftest import Connect, Serve
from ..probes import DEADLINE

STAFF_ONLY = "Only staff may see this. Log in to the admin."
NO_PERMISSION = "You have no permission to view sockets."


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT", 0.01)


async def make_user(*codenames: str, **fields: Any) -> Any:
    """Return a new staff member with these permissions."""
    user = await get_user_model().objects.acreate(
        **{"username": "ann", "is_staff": True, "password": "!", **fields}
    )
    async for permission in Permission.objects.filter(codename__in=codenames):
        await user.user_permissions.aadd(permission)
    return user


async def watch(user: Any, **options: Any) -> Client:
    """Return a client of the live page's namespace."""
    client = Client(live.NAMESPACE, user=user, **options)
    await client.connect()
    return client


async def next_state(client: Client) -> dict[str, Any]:
    """Return what the page is told next."""
    name, state = await client.receive()
    assert name == "state"
    return dict(state)


async def refusal(client: Client) -> str:
    """Return why a client is dropped, when it is."""
    await client.closed(DEADLINE)
    *states, last = [await client.receive() for _ in range(client.pending())]
    assert all(name == "state" for name, _ in states)
    assert last[0] == "refused"
    return str(last[1])


@pytest.mark.parametrize(
    ("codenames", "fields", "reason"),
    [
        ([], {}, NO_PERMISSION),
        (["view_server", "view_room"], {}, NO_PERMISSION),
        (["view_socket"], {"is_staff": False}, STAFF_ONLY),
        (["view_socket"], {"is_active": False}, "this account is not active"),
        ([], {"is_staff": False, "is_superuser": True}, STAFF_ONLY),
    ],
)
async def test_who_is_refused(codenames: list[str], fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConnectionRefused) as caught:
        await watch(await make_user(*codenames, **fields))
    assert (caught.value.message, caught.value.data) == (reason, {"code": 403})


async def test_nobody_is_refused() -> None:
    with pytest.raises(ConnectionRefused, match=STAFF_ONLY):
        await watch(AnonymousUser())


@pytest.mark.parametrize("fields", [{}, {"is_superuser": True}])
async def test_who_is_let_in(fields: dict[str, Any], hub: Hub) -> None:
    client = await watch(await make_user(*([] if fields else ["view_socket"]), **fields))
    for _ in range(3):
        (server,) = (await next_state(client))["servers"]
        assert server["id"] == hub.server_id
    await client.disconnect()


async def test_who_comes_back_has_missed_nothing(settings: Settings) -> None:
    """No state is kept for anybody: the next one says all."""
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 60}}
    recovery = ensure_hub().recovery
    assert recovery is not None
    users = [await make_user("view_socket", username=name) for name in ("ann", "bob")]
    clients = [await watch(user) for user in users]
    for client in clients:
        for _ in range(3):
            await next_state(client)
    clients[0].drop()
    for _ in range(3):
        await next_state(clients[1])
    assert recovery.log.number == recovery.log.bytes == 0
    await clients[0].connect()
    assert clients[0].recovered
    for client in clients:
        await next_state(client)
        await client.disconnect()


async def lose_permission(user: Any) -> None:
    await user.user_permissions.aclear()


async def lose_staff(user: Any) -> None:
    user.is_staff = False
    await user.asave()


async def lose_account(user: Any) -> None:
    await user.adelete()


@pytest.mark.parametrize(
    ("lose", "reasons"),
    [
        (lose_permission, [NO_PERMISSION]),
        (lose_staff, [STAFF_ONLY]),
        # The permissions go with the account, and it may be looked at in between.
        (lose_account, [STAFF_ONLY, NO_PERMISSION]),
    ],
)
async def test_who_loses_the_right_is_dropped(lose: Any, reasons: list[str]) -> None:
    user = await make_user("view_socket")
    client = await watch(user)
    await next_state(client)
    await lose(user)
    assert await refusal(client) in reasons


async def open_session(user: Any) -> SessionStore:
    """Return the session of a browser that the user has logged in with, as a request has it."""
    browser = AsyncClient()
    await browser.aforce_login(user)
    key = browser.cookies["sessionid"].value
    session = SessionStore(key)
    await session.aload()
    await session.aget("any")
    return session


async def test_who_logs_out_is_dropped() -> None:
    user = await make_user("view_socket")
    session = await open_session(user)
    client = await watch(user, scope={"session": session})
    await next_state(client)
    await SessionStore(session.session_key).aflush()
    assert await refusal(client) == STAFF_ONLY


async def test_who_changes_the_password_elsewhere_is_dropped() -> None:
    user = await make_user("view_socket")
    client = await watch(user, scope={"session": await open_session(user)})
    await next_state(client)
    await next_state(client)
    user.set_password("another")
    await user.asave()
    assert await refusal(client) == STAFF_ONLY


async def test_reasons_are_translated() -> None:
    reasons = set()
    for language in ("ru", "en", "nonsense", None, 7):
        with pytest.raises(ConnectionRefused) as caught:
            await watch(AnonymousUser(), auth={"language": language})
        reasons.add(caught.value.message)
    assert reasons == {
        STAFF_ONLY,
        "Это видят только сотрудники. Войдите в административный раздел.",
    }


async def test_a_database_that_is_away_takes_nobody_s_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = await watch(await make_user("view_socket"))
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail(consumer: live.LiveConsumer) -> Any:
        loop.call_soon_threadsafe(asked.set)
        raise OperationalError("gone")

    monkeypatch.setattr(live.LiveConsumer, "_check", fail)
    realtime.of(live.NAMESPACE).reauthorize()
    async with asyncio.timeout(DEADLINE):
        await asked.wait()
    for _ in range(client.pending() + 2):
        await next_state(client)
    await client.disconnect()


async def test_what_is_counted(connect: Connect, hub: Hub) -> None:
    client = await watch(await make_user("view_socket"))
    first = (await next_state(client))["servers"][0]
    other = await connect(auth={"rooms": ["a", "b"]})
    await other.call("echo", 1)
    await other.call("echo", 2)
    while (server := (await next_state(client))["servers"][0])["events_in"] < 2:
        pass
    assert (server["connections"], server["sockets"]) == (2, 2)
    assert server["rooms"] == 2
    assert server["events_out"] > first["events_out"]
    assert server["uptime"] > first["uptime"]
    assert server["pid"] > 0
    assert server["host"]
    await client.disconnect()


async def test_newest_connects_and_disconnects(connect: Connect, hub: Hub) -> None:
    user = await make_user("view_socket")
    client = await watch(user)
    other = await connect("/users", scope={"client": ["10.1.2.3", 999]})
    await other.disconnect()
    while len(found := (await next_state(client))["servers"][0]["news"]) < 3:
        pass
    assert [(item["number"], item["kind"]) for item in found] == [
        (1, "connect"),
        (2, "connect"),
        (3, "disconnect"),
    ]
    assert found[0]["user"] == "ann"
    assert (found[1]["sid"], found[1]["namespace"]) == (other.sid, "/users")
    assert (found[1]["address"], found[1]["transport"]) == ("10.1.2.3", "websocket")
    assert (found[1]["user"], found[1]["reason"]) == ("", "")
    assert found[2]["reason"] == "transport close"
    await client.disconnect()


async def test_news_are_bounded_and_grow_old(
    connect: Connect, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(15):
        await (await connect()).disconnect()
    told = hub.describe()["news"]
    assert [item["number"] for item in told] == list(range(11, 31))
    monkeypatch.setattr(news, "TOLD_FOR", 0)
    assert hub.describe()["news"] == []


# The route


async def test_a_site_s_own_route_wins(serve: Serve, connect: Connect) -> None:
    class Own(NamespaceConsumer):
        pass

    serve(routes=[path("<path:rest>/", Own.as_asgi())])
    client = await connect(live.NAMESPACE)
    assert client.sid


def test_the_route_is_there_only_with_the_admin(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def included(**installed: bool) -> list[str]:
        monkeypatch.setattr(routing, "_included", [])
        monkeypatch.setattr(apps, "is_installed", lambda name: installed["admin"])
        apps.get_app_config("realtime").ready()
        routing._clear_caches()
        return routing._included

    assert included(admin=True) == ["realtime.admin.live.namespaces"]
    assert routing.resolve(live.NAMESPACE).consumer_class is live.LiveConsumer
    assert included(admin=False) == []
    with pytest.raises(routing.UnknownNamespace):
        routing.resolve(live.NAMESPACE)


async def test_pages_that_are_loaded_again_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    """On a database that takes longer than the last hook waits for handlers."""
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", 0.02)
    check, reached, gate = live.LiveConsumer._check, threading.Semaphore(0), threading.Event()
    checks: list[int] = []
    clients: list[Client] = []

    def wait(consumer: live.LiveConsumer) -> str | None:
        checks.append(1)
        reached.release()
        assert gate.wait(DEADLINE)
        return check(consumer)

    monkeypatch.setattr(live.LiveConsumer, "_check", wait)
    user = await make_user("view_socket")
    for _ in range(3):
        client = Client(live.NAMESPACE, user=user)
        connecting = asyncio.create_task(client.connect())
        assert await asyncio.to_thread(reached.acquire, timeout=DEADLINE)
        connecting.cancel()
        await asyncio.wait({connecting})
        clients.append(client)
    await asyncio.sleep(0.05)  # longer than the last hooks' patience
    gate.set()
    for client in clients:
        await client.disconnect()
    async with asyncio.timeout(DEADLINE):
        while len(hub.tasks):
            await asyncio.sleep(0.01)
    assert len(checks) == 3
    assert hub.stats()["sockets"] == 0
