"""Users of many clients who come at once: one query for sessions, and what Django says of each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from channels.db import database_sync_to_async
from channels.sessions import SessionMiddlewareStack
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import AnonymousUser, User, UserManager
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection, router
from django.db.backends.signals import connection_created
from django.db.models import QuerySet
from django.utils import timezone
from pytest_django import Settings

from realtime.hub.hub import Hub
from realtime.identity import lookups
from realtime.identity import users as users_module
from realtime.identity.lookups import LookupGivenUp, Lookups
from realtime.identity.scopes import complete_scope
from realtime.outside.process import ensure_hub

from ..logins import find, log_in, new_session, no_free_thread, request
from ..probes import DEADLINE

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 30

tenant = ContextVar("tenant", default="none")


class Queries:
    """What lookups ask of the database; `fail` is raised in place of the next answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fail: Exception | None = None

    def __call__(self, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql.startswith("SELECT"):
            self.asked.append(sql)
            if self.fail is not None:
                raise self.fail
        return execute(sql, *args)

    def clear(self) -> None:
        """Forget them."""
        self.asked.clear()

    def about(self, table: str) -> int:
        """Return how many have asked for rows of a table."""
        quote = connection.ops.quote_name
        return sum(f"FROM {quote(table)}" in sql for sql in self.asked)


@pytest.fixture
def queries() -> Iterator[Queries]:
    """The queries of all connections that are opened from now on."""
    queries = Queries()

    def watch(sender: Any, connection: Any, **kwargs: Any) -> None:
        connection.execute_wrappers[:] = [queries]

    connection_created.connect(watch)
    yield queries
    connection_created.disconnect(watch)


@pytest.fixture
async def hub() -> Hub:
    """A hub in which no more threads help, however slow it is, and nobody waits for company."""
    return with_gather(0.001)


def with_gather(seconds: float) -> Hub:
    """Return the test's hub, whose shared calls begin so many seconds after each other."""
    hub = ensure_hub()
    hub.lookups = Lookups(hub.spawn, hub.settings.SYNC_HANDLERS, gather=seconds)
    hub.lookups.threads._grow_after = DEADLINE
    return hub


async def at_once(hub: Hub, sessions: Iterable[Any]) -> list[asyncio.Task[dict[str, Any]]]:
    """Return requests with these sessions that have come while all threads were busy."""
    async with no_free_thread(hub):
        asked = [
            asyncio.create_task(complete_scope(hub, request(session.session_key)))
            for session in sessions
        ]
        await asyncio.sleep(0)  # all of them have asked
    return asked


async def users_of(hub: Hub, sessions: Iterable[Any]) -> list[Any]:
    """Return the users of requests that come at once."""
    return [scope["user"] for scope in await asyncio.gather(*await at_once(hub, sessions))]


@database_sync_to_async
def new_users(number: int) -> list[User]:
    """Return users of a site."""
    return [User.objects.create_user(f"user-{index}") for index in range(number)]


async def log_in_all(number: int = MANY) -> tuple[list[User], list[Any]]:
    """Return users who have logged in, and their sessions."""
    users = await new_users(number)
    return users, [await log_in(user, cart=user.username) for user in users]


async def test_they_share_the_query_for_their_sessions(hub: Hub, queries: Queries) -> None:
    users, sessions = await log_in_all()
    queries.clear()
    scopes = await asyncio.gather(*await at_once(hub, sessions))
    assert [scope["user"] for scope in scopes] == users
    assert [scope["session"]["cart"] for scope in scopes] == [user.username for user in users]
    assert queries.about("django_session") == 2, "one for the first, who was alone"
    assert queries.about("auth_user") == MANY, "each is Django's to find"


async def test_more_than_may_share_one_call(
    hub: Hub, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "TOGETHER", 7)
    users, sessions = await log_in_all()
    queries.clear()
    assert await users_of(hub, sessions) == users
    assert queries.about("django_session") == 1 + 5


async def test_one_user_in_many_tabs(hub: Hub) -> None:
    [user], [session] = await log_in_all(1)
    found = await users_of(hub, [session] * 3)
    assert found == [user] * 3
    found[0].username = "changed"
    assert found[1].username == user.username, "each has one of its own"


async def test_who_is_not_let_in_is_let_in_by_nobodys_company(hub: Hub, settings: Settings) -> None:
    users, sessions = await log_in_all(6)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new one"
    refused = [
        await log_in(users[2], **{HASH_SESSION_KEY: "forged"}),
        await log_in(users[3], **{HASH_SESSION_KEY: ""}),
        await log_in(users[4], **{BACKEND_SESSION_KEY: "nowhere.Backend"}),
        await log_in(users[5]),
        await log_in(User(pk=999_999)),
        await log_in(users[0]),
        await save(new_session(), cart="full"),
        new_session("a" * 32),
        new_session("Made up by a client"),
        new_session("'\\000'"),
    ]
    await change(users[5], is_active=False)
    await expire(refused[5])
    asked = [await log_in(users[0]), *refused, sessions[1]]
    assert await users_of(hub, asked) == [users[0], *[AnonymousUser()] * len(refused), users[1]]


@database_sync_to_async
def change(user: User, **fields: Any) -> None:
    """Change a user's fields."""
    User.objects.filter(pk=user.pk).update(**fields)


@database_sync_to_async
def save(session: Any, **data: Any) -> Any:
    """Save a session with this data, and return it."""
    session.update(data)
    session.save()
    return session


@database_sync_to_async
def expire(session: Any) -> None:
    """Let a session be over."""
    over = timezone.now() - timedelta(seconds=1)
    Session.objects.filter(session_key=session.session_key).update(expire_date=over)


async def test_a_session_without_a_login_is_read_with_the_others(
    hub: Hub, queries: Queries
) -> None:
    carts = [await save(new_session(), cart=number) for number in range(3)]
    queries.clear()
    scopes = await asyncio.gather(*await at_once(hub, carts))
    assert [scope["session"]["cart"] for scope in scopes] == [0, 1, 2]
    assert [scope["user"] for scope in scopes] == [AnonymousUser()] * 3
    assert queries.about("django_session") == 2, "one for the first, who was alone"
    assert queries.about("auth_user") == 0


async def test_an_outage_is_told_to_all_of_them_and_ends(hub: Hub, queries: Queries) -> None:
    users, sessions = await log_in_all(3)
    queries.fail = OperationalError("down")
    asked = await at_once(hub, sessions)
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(error) for error in found] == ["down"] * 3
    queries.fail = None
    assert await users_of(hub, sessions) == users


async def test_who_has_gone_is_not_looked_up(hub: Hub, queries: Queries) -> None:
    users, sessions = await log_in_all(2)
    queries.clear()
    gone, stays = await at_once(hub, sessions)
    gone.cancel()
    assert (await stays)["user"] == users[1]
    assert await users_of(hub, sessions) == users


async def test_nobody_waits_for_ever_when_the_hub_ends(hub: Hub) -> None:
    _, sessions = await log_in_all(3)
    async with no_free_thread(hub):
        asked = [asyncio.create_task(find(hub, session)) for session in sessions]
        await asyncio.sleep(0)
        asked[0].cancel()  # who was alone shares nothing, and has a bound of its own
        hub.tasks.cancel()
        found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), DEADLINE)
    assert [type(error) for error in found[1:]] == [LookupGivenUp] * 2


async def test_a_call_that_is_given_up_concerns_no_other_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "TOGETHER", 2)
    calls: list[asyncio.Task[None]] = []

    def spawn(work: Any) -> asyncio.Task[None]:
        calls.append(asyncio.create_task(work))
        return calls[-1]

    some = Lookups(spawn, 4)
    gate = threading.Event()

    done: list[int] = []

    def note(items: list[int]) -> None:
        assert gate.wait(DEADLINE)
        done.extend(items)

    await some.share(note, -1)  # who comes first is alone
    asked = [asyncio.create_task(some.share(note, number)) for number in range(6)]
    await asyncio.sleep(0)
    assert len(calls) == 3
    calls[1].cancel()
    gate.set()
    found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), DEADLINE)
    assert [found[0], found[1], found[4], found[5]] == [None] * 4
    assert [type(error) for error in found[2:4]] == [LookupGivenUp] * 2
    assert sorted(done) == [0, 1, 4, 5]
    await some.close()


@pytest.mark.parametrize("error", [ValueError("odd"), asyncio.CancelledError()])
async def test_what_a_shared_call_raises(error: BaseException) -> None:
    some = Lookups(asyncio.create_task, 4)  # type: ignore[arg-type]

    def fail(items: list[int]) -> None:
        raise error

    await some.share(fail, -1)
    asked = [some.share(fail, number) for number in range(3)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    is_end = isinstance(error, asyncio.CancelledError)
    assert [type(each) for each in found] == [LookupGivenUp if is_end else type(error)] * 3
    await some.close()


async def test_nobody_waits_for_company_who_comes_alone() -> None:
    hub = with_gather(2 * DEADLINE)
    [user], [session] = await log_in_all(1)
    assert await asyncio.wait_for(find(hub, session), DEADLINE) == user


async def test_those_who_come_while_many_do_wait_for_each_other(queries: Queries) -> None:
    hub = with_gather(0.5)
    users, sessions = await log_in_all(10)
    await find(hub, sessions[0])
    queries.clear()
    assert await asyncio.gather(*(find(hub, session) for session in sessions)) == users
    assert queries.about("django_session") == 1


class Tenants(UserManager[User]):
    """A site's manager, which shows only users whom the client may see."""

    seen: ClassVar[list[str]] = []

    def get_queryset(self) -> QuerySet[User]:
        self.seen.append(tenant.get())
        return super().get_queryset()


class SessionStore(db.SessionStore):
    """A site's session engine, which reads in its own way."""

    seen: ClassVar[list[str]] = []

    def load(self) -> Any:
        self.seen.append(tenant.get())
        return super().load()


class Router:
    """A site's router, which looks at the client."""

    seen: ClassVar[list[str]] = []

    def db_for_read(self, model: Any, **hints: Any) -> None:
        self.seen.append(tenant.get())


def _own_manager(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    manager = Tenants()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    return Tenants.seen


def _own_sessions(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    settings.SESSION_ENGINE = __name__
    return SessionStore.seen


def _own_routers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    settings.DATABASE_ROUTERS = [f"{__name__}.Router"]
    monkeypatch.setattr(router, "routers", [Router()])
    return Router.seen


async def test_a_django_that_reads_sessions_in_another_way(
    hub: Hub, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, sessions = await log_in_all(3)
    monkeypatch.setattr(users_module, "_READ", None)
    queries.clear()
    assert await users_of(hub, sessions) == users
    assert queries.about("django_session") == 3, "Django looks for each"


OWN = {"manager": _own_manager, "sessions": _own_sessions, "routers": _own_routers}


@pytest.mark.parametrize("own", ["manager", "sessions", "routers"])
async def test_what_a_site_does_in_its_own_way_is_done_for_each_client(
    hub: Hub, settings: Settings, queries: Queries, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    users, sessions = await log_in_all(3)
    seen = OWN[own](settings, monkeypatch)
    seen.clear()
    queries.clear()
    asked = []
    for name, session in zip("abc", sessions, strict=True):
        tenant.set(name)
        asked.append(asyncio.create_task(complete_scope(hub, request(session.session_key))))
    assert [scope["user"] for scope in await asyncio.gather(*asked)] == users
    assert set(seen) == {"a", "b", "c"}


async def test_a_session_that_middleware_has_opened_is_the_clients(hub: Hub) -> None:
    """What it is kept in, and under which name, is then the middleware's business."""
    user = await database_sync_to_async(User.objects.create_user)("ann")
    session = await log_in(user)

    async def look(scope: dict[str, Any], receive: Any, send: Any) -> None:
        opened = scope["session"]
        completed = await complete_scope(hub, scope)
        assert completed["session"] is opened
        assert completed["user"] == user

    await SessionMiddlewareStack(look)(request(session.session_key), None, None)
    other = new_session(session.session_key)
    completed = await complete_scope(hub, {**request(None), "session": other})
    assert (completed["session"], completed["user"]) == (other, user)
    nobody = await complete_scope(hub, {**request(session.session_key), "session": new_session()})
    assert nobody["user"].is_anonymous
