"""A user who logs out, or changes the password: nobody comes back to what it had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends import cache
from django.core.cache import cache as stored
from django.db import transaction
from django.http import HttpRequest

import realtime
from realtime.hub.hub import Hub
from realtime.outside.process import ensure_hub
from realtime.recovery.recovery import Recovery
from realtime.signals import socket_disconnected
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.probes import DEADLINE
from tests.unit.recovery.test_recovery import Rooms, coming_back

ADA = User(pk=1, username="ada", password="a")
BOB = User(pk=1_000_000, username="bob", password="a")

Login = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    serve(Rooms, RECOVERY={"SECONDS": 60, "PRESENCE_SECONDS": 60})


@pytest.fixture
def login_of() -> Iterator[Login]:
    """A function that returns what a client brings that has logged in; `key` tells logins apart."""
    yield lambda user, key: {"user": user, "scope": {"session": cache.SessionStore(key)}}
    stored.clear()


def log_out(user: Any, key: str | None) -> None:
    """Do what Django's view does, in the order in which it does it."""
    request = HttpRequest()
    request.user, request.session = user, cache.SessionStore(key)
    logout(request)


def recovery() -> Recovery:
    """Return what lets clients come back to this process."""
    found = ensure_hub().recovery
    assert found is not None
    return found


async def lost(client: Client) -> bool:
    """Let a client come back, and tell whether it is told that it is a new one."""
    await client.connect()
    state = await client.call("state")
    assert state["lost"] is not client.recovered
    return bool(state["lost"])


async def test_who_is_away_is_gone_at_once(hub: Hub, connect: Connect, login_of: Login) -> None:
    client = await connect(auth={"rooms": ["a"]}, **login_of(ADA, "k" * 32))
    gone = asyncio.Event()

    def note(**kwargs: Any) -> None:
        assert kwargs["sid"] == sid
        hub.run(gone.set)

    sid = client.sid
    socket_disconnected.connect(note)
    try:
        client.drop()
        assert hub.stats()["away"] == 1
        assert ("/", "a") in recovery().holds
        log_out(ADA, "k" * 32)
        assert hub.stats()["away"] == 0
        assert ("/", "a") not in recovery().holds
        async with asyncio.timeout(DEADLINE):
            await gone.wait()
    finally:
        socket_disconnected.disconnect(note)
    assert await lost(client)


async def test_who_drops_later_is_not_kept(hub: Hub, connect: Connect, login_of: Login) -> None:
    """A page that has logged out is left after that."""
    client = await connect(auth={"rooms": ["a"]}, **login_of(ADA, "k" * 32))
    log_out(ADA, "k" * 32)
    assert (await client.call("state"))["rooms"] == ["a"]  # until it ends, or is closed
    client.drop()
    assert hub.stats()["away"] == 0
    assert ("/", "a") not in recovery().holds
    assert await lost(client)


@pytest.mark.parametrize("away", [True, False])
async def test_all_others_stay(connect: Connect, login_of: Login, away: bool) -> None:
    others = [
        await connect(**login_of(ADA, "l" * 32)),
        await connect(**login_of(BOB, "k" * 32)),
        await connect(),
    ]
    if away:
        for other in others:
            other.drop()
    log_out(ADA, "k" * 32)
    log_out(None, None)
    user_logged_out.send(User, request=None, user=None)
    if not away:
        for other in others:
            other.drop()
    for number, other in enumerate(others):
        realtime.emit("n", number)
        assert not await lost(other)
        assert (await other.receive())[1] == 0


async def test_all_of_its_namespaces_and_tabs(hub: Hub, connect: Connect, login_of: Login) -> None:
    tabs = [await connect(**login_of(ADA, "k" * 32)) for _ in range(3)]
    tabs[0].drop()
    tabs[1].drop()
    log_out(ADA, "k" * 32)
    assert hub.stats()["away"] == 0
    for tab in tabs:
        assert await lost(tab)


async def test_a_user_of_middleware_without_a_session(connect: Connect, hub: Hub) -> None:
    """Its login is known by the password alone."""
    client = await connect(user=ADA)
    client.drop()
    user_logged_out.send(User, request=SimpleNamespace(), user=ADA)
    assert hub.stats()["away"] == 0
    assert await lost(client)


async def test_who_is_about_to_come_back(
    hub: Hub, connect: Connect, login_of: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was let in with the login that is over: it has to come once more."""
    client = await connect(**login_of(ADA, "k" * 32))
    client.drop()
    async with coming_back(client, monkeypatch):
        log_out(ADA, "k" * 32)
    assert await lost(client)


# Passwords


async def ada() -> User:
    """Return a user who is in the database."""
    user: User = await User.objects.acreate_user("ada", password="a")
    return user


async def fetch(user: User) -> User:
    """Return a user as another process has it."""
    found: User = await User.objects.aget(pk=user.pk)
    return found


def set_password(user: User) -> None:
    user.set_password("b")
    user.save()


def set_password_alone(user: User) -> None:
    user.set_password("b")
    user.save(update_fields=["password"])


def close_account(user: User) -> None:
    user.is_active = False
    user.save()


@pytest.mark.parametrize("change", [set_password, set_password_alone, close_account])
async def test_a_new_password_ends_all_logins(
    transactional_db: None,
    hub: Hub,
    connect: Connect,
    login_of: Login,
    change: Callable[[User], None],
) -> None:
    user = await ada()
    clients = [await connect(**login_of(user, key * 32)) for key in "kl"]
    other = await connect(**login_of(BOB, "b" * 32))
    clients[0].drop()
    other.drop()
    await sync_to_async(change)(await fetch(user))
    assert hub.stats()["away"] == 1
    clients[1].drop()
    assert hub.stats()["away"] == 1
    for client in clients:
        assert await lost(client)
    assert not await lost(other)


async def test_it_counts_when_it_is_committed(
    transactional_db: None, hub: Hub, connect: Connect, login_of: Login
) -> None:
    user = await ada()
    client = await connect(**login_of(user, "k" * 32))
    client.drop()

    @sync_to_async
    def change(*, commit: bool) -> None:
        with transaction.atomic():
            set_password(User.objects.get(pk=user.pk))
            transaction.set_rollback(not commit)

    await change(commit=False)
    assert hub.stats()["away"] == 1
    await change(commit=True)
    assert hub.stats()["away"] == 0
    assert await lost(client)


async def test_other_changes_end_nothing(
    transactional_db: None, hub: Hub, connect: Connect, login_of: Login
) -> None:
    user = await ada()
    client = await connect(**login_of(user, "k" * 32))
    client.drop()

    @sync_to_async
    def change() -> None:
        found = User.objects.get(pk=user.pk)
        found.first_name = "Ada"
        found.save()
        found.set_password("not saved")
        found.save(update_fields=["first_name"])
        request = HttpRequest()
        request.user, request.session = found, cache.SessionStore()
        login(request, found, backend="django.contrib.auth.backends.ModelBackend")

    await change()
    assert hub.stats()["away"] == 1
    assert not await lost(client)


# Where it cannot be told


def test_it_keeps_nobody_from_logging_out(
    serve: Serve, settings: Any, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_out(ADA, "k" * 32)  # in a process that serves nobody, and reaches nobody
    assert not records

    def fail() -> Any:
        raise ConnectionError("no way")

    monkeypatch.setattr("realtime.sending.logouts.get_gateway", fail)
    log_out(ADA, "k" * 32)
    assert [record.args[0] for record in records] == ["unsent"]
    serve(Rooms, RECOVERY=None)
    log_out(ADA, "k" * 32)
    assert len(records) == 1
