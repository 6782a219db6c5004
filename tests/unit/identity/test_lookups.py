"""Who a session's user is: found by Django, in a few threads with few connections."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError, connection, connections
from django.db.backends.signals import connection_created
from pytest_django import Settings

from realtime.hub.hub import Hub
from realtime.identity import lookups
from realtime.identity.scopes import complete_scope

from ..execution.test_threads import until
from ..logins import find, log_in, new_session, no_free_thread, request
from ..probes import DEADLINE

pytestmark = pytest.mark.django_db(transaction=True)

ENGINES = ("db", "cache", "cached_db", "file", "signed_cookies")


class Trusting(ModelBackend):
    """A site's own backend, which reads a context variable and may fail."""

    fails: Exception | None = None
    seen: list[Any] = []

    def get_user(self, user_id: int) -> Any:
        self.seen.append(tenant.get())
        if self.fails is not None:
            raise self.fails
        return super().get_user(user_id)


tenant = ContextVar("tenant", default="none")


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The connections that lookups opened, each as often as it was."""
    opened: list[Any] = []

    def note(sender: Any, connection: Any, **kwargs: Any) -> None:
        if threading.current_thread().name == "realtime-lookup":
            opened.append(connection)

    connection_created.connect(note)
    yield opened
    connection_created.disconnect(note)


@pytest.fixture
def user() -> User:
    """A user."""
    return User.objects.create_user("ann", password="x")


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_session_engine(
    user: User, hub: Hub, settings: Settings, engine: str, tmp_path: Any
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    session = await log_in(user, cart="7")
    scope = await complete_scope(hub, request(session.session_key))
    assert scope["user"] == user
    assert scope["session"]["cart"] == "7", "read already"
    assert scope["cookies"] == {"other": "1", "sessionid": session.session_key}


async def test_who_is_not_looked_up(hub: Hub, opened: list[Any]) -> None:
    scope = await complete_scope(hub, request(None))
    assert scope["user"] == AnonymousUser()
    assert scope["session"].session_key is None
    completed = {**request("abc"), "user": "somebody"}
    assert await complete_scope(hub, completed) is completed
    assert not opened
    assert not hub.lookups.threads


async def test_a_session_that_middleware_gave(user: User, hub: Hub) -> None:
    given = await log_in(user)
    scope = await complete_scope(hub, {**request("of somebody else"), "session": given})
    assert scope["session"] is given
    assert scope["user"] == user
    scope = await complete_scope(hub, {**request(given.session_key), "session": new_session()})
    assert scope["user"] == AnonymousUser()


@pytest.mark.parametrize(
    "changed",
    [
        {SESSION_KEY: "999"},
        {BACKEND_SESSION_KEY: "nowhere.Backend"},
        {HASH_SESSION_KEY: ""},
        {HASH_SESSION_KEY: "forged"},
    ],
    ids=["user is gone", "unknown backend", "no hash", "wrong hash"],
)
async def test_a_session_that_is_no_login(user: User, hub: Hub, changed: dict[str, str]) -> None:
    session = await log_in(user, **changed)
    assert await find(hub, session) == AnonymousUser()
    left = await database_sync_to_async(session.exists)(session.session_key)
    assert left is (HASH_SESSION_KEY not in changed), "Django ends one with a wrong hash"


async def test_a_session_from_the_time_of_an_older_secret_key(
    user: User, hub: Hub, settings: Settings
) -> None:
    session = await log_in(user)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    assert await find(hub, session) == user
    again = new_session(session.session_key)
    assert await database_sync_to_async(again.get)(HASH_SESSION_KEY) == session[HASH_SESSION_KEY], (
        "the client knows no other key, and Django renews it with its next request"
    )
    settings.SECRET_KEY_FALLBACKS = []
    assert await find(hub, session) == AnonymousUser()


async def test_a_backend_runs_in_the_context_of_its_client(
    user: User, hub: Hub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"{__name__}.Trusting"
    settings.AUTHENTICATION_BACKENDS = [own]
    monkeypatch.setattr(Trusting, "seen", [])
    session = await log_in(user, **{BACKEND_SESSION_KEY: own})
    for name in ("one", "two"):
        tenant.set(name)
        assert await find(hub, session) == user
    assert Trusting.seen == ["one", "two"]


async def test_many_at_once_share_few_connections(
    user: User, hub: Hub, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.lookups.threads, "_grow_after", DEADLINE)  # however slow it is here
    monkeypatch.setattr(lookups, "KEEP", DEADLINE)
    session = await log_in(user)
    found = await asyncio.gather(*(find(hub, session) for _ in range(200)))
    assert found == [user] * 200
    assert len(hub.lookups.threads) <= lookups.SIZE
    assert 1 <= len(set(map(id, opened))) <= lookups.SIZE  # one that rested opens anew
    await until(lambda: all(each.connection is None for each in opened))  # CONN_MAX_AGE is 0


async def test_a_connection_is_not_kept_for_ever_by_lookups_without_a_pause(
    user: User, hub: Hub, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.lookups._gather = 0.0  # each is alone
    monkeypatch.setattr(lookups, "KEEP", 0.0)
    session = await log_in(user)
    for count in range(1, 4):
        await find(hub, session)
        assert len(opened) == count


async def test_conn_max_age(
    user: User, hub: Hub, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.lookups._gather = 0.0  # each is alone
    rested = threading.Event()

    def rest() -> None:
        lookups._rest()
        rested.set()

    monkeypatch.setattr(hub.lookups.threads, "_rest", rest)
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    session = await log_in(user)
    for _ in range(2):
        rested.clear()
        assert await find(hub, session) == user
        assert await asyncio.to_thread(rested.wait, DEADLINE)
    assert len(opened) == 1
    assert opened[0].connection is not None, "kept while there is nothing to do"


async def test_a_connection_that_cannot_be_asked_is_closed(
    user: User, hub: Hub, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.lookups._gather = 0.0  # each is alone
    rested = threading.Event()

    def rest() -> None:
        lookups._rest()
        rested.set()

    def fail() -> None:
        raise RuntimeError("the database may not be accessed")

    monkeypatch.setattr(hub.lookups.threads, "_rest", rest)
    monkeypatch.setattr(lookups, "close_old_connections", fail)
    session = await log_in(user)
    for count in range(1, 3):
        rested.clear()
        assert await find(hub, session) == user
        assert await asyncio.to_thread(rested.wait, DEADLINE)
        assert len(opened) == count, "the thread lives on, with new connections"
        assert opened[-1].connection is None


async def test_a_connection_that_broke_is_replaced(
    user: User, hub: Hub, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    session = await log_in(user)
    await find(hub, session)
    if connection.vendor == "sqlite":
        await hub.lookups.run(_break)
    else:
        await _terminate(await hub.lookups.run(_id_of_connection))
    assert await find(hub, session) == user
    assert len(opened) == 2


def _id_of_connection() -> int:
    """Return what the database's server calls this thread's connection."""
    if connection.vendor == "mysql":
        return int(connection.connection.thread_id())
    return int(connection.connection.info.backend_pid)


@database_sync_to_async
def _terminate(number: int) -> None:
    statement = "KILL %s" if connection.vendor == "mysql" else "SELECT pg_terminate_backend(%s)"
    with connection.cursor() as cursor:
        cursor.execute(statement, [number])


def _break() -> None:
    """Let SQLite fail as it does when its file cannot be read."""
    raw = connection.connection

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(raw, name)

        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

    connection.connection = Broken()


async def test_what_the_database_says_reaches_the_caller(
    user: User, hub: Hub, settings: Settings, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.lookups._gather = 0.0  # each is alone
    own = f"{__name__}.Trusting"
    settings.AUTHENTICATION_BACKENDS = [own]
    session = await log_in(user, **{BACKEND_SESSION_KEY: own})
    for error in (OperationalError("down"), ValueError("odd")):
        monkeypatch.setattr(Trusting, "seen", [])
        monkeypatch.setattr(Trusting, "fails", error)
        with pytest.raises(type(error), match=str(error)):
            await find(hub, session)
        assert len(Trusting.seen) == 1
        assert all(each.connection is None for each in opened), "none is kept after an error"
    monkeypatch.setattr(Trusting, "fails", None)
    assert await find(hub, session) == user


async def test_a_lookup_that_hangs_stops_nobody_else(
    user: User, hub: Hub, opened: list[Any]
) -> None:
    async with no_free_thread(hub):
        session = await log_in(user)
        assert await asyncio.wait_for(find(hub, session), DEADLINE) == user


async def test_closing_the_hub_closes_threads_and_connections(
    user: User, hub: Hub, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    session = await log_in(user)
    await asyncio.gather(*(find(hub, session) for _ in range(20)))
    assert any(each.connection is not None for each in opened)
    await hub.close()
    assert all(each.connection is None for each in opened)
    assert not hub.lookups.threads
    assert "realtime-lookup" not in {thread.name for thread in threading.enumerate()}


async def test_debug_keeps_no_queries(
    user: User, hub: Hub, settings: Settings, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.lookups._gather = 0.0  # each is alone
    settings.DEBUG = True
    monkeypatch.setattr(lookups, "KEEP", 0.0)
    session = await log_in(user)
    for _ in range(5):
        await find(hub, session)
    logged = await hub.lookups.run(lambda: len(connections["default"].queries_log))
    assert logged == 0
