"""Sessions in consumers: what views do with them meanwhile, and what consumers write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.asgi import ASGIHandler
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from pytest_django import Settings

from realtime import NamespaceConsumer, event
from realtime.asgi import Realtime
from realtime.hub.hub import Hub
from realtime.identity import sessions
from realtime.identity.sessions import find_new_key, note_moved, open_session
from realtime.testing import Client

from ..conftest import Serve
from ..logins import MODEL_BACKEND, log_in, new_session

pytestmark = pytest.mark.django_db(transaction=True)

ENGINES = ("db", "cache", "cached_db", "file")
COUNT, OTHER = "count", "other"


class Counting(NamespaceConsumer):
    """Counts in the session, in both kinds of code."""

    @event
    async def add(self, amount: int) -> int:
        count = await self.session.aget(COUNT, 0) + amount
        await self.session.aset(COUNT, count)
        await self.session.asave()
        return int(count)

    @event
    def add_in_thread(self, amount: int) -> int:
        self.session[COUNT] = self.session.get(COUNT, 0) + amount
        self.session.save()
        return int(self.session[COUNT])

    @event
    async def append(self, item: str) -> None:
        (await self.session.asetdefault("items", [])).append(item)
        await self.session.asave()

    @event
    def read(self) -> dict[str, Any]:
        return {name: value for name, value in self.session.items() if name[0] != "_"}

    @event
    async def forget(self, name: str) -> None:
        await self.session.apop(name, None)
        await self.session.asave()

    @event
    async def cycle(self) -> str:
        await self.session.acycle_key()
        return str(self.session.session_key)

    @event("flush")
    async def end(self) -> None:
        await self.session.aflush()

    @event
    async def touch(self) -> None:
        await self.session.asave()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, settings: Settings, tmp_path: Any) -> str:
    """Each engine that keeps sessions on the server."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return str(request.param)


@pytest.fixture(autouse=True)
def _counting(serve: Serve) -> None:
    serve(Counting, routes=[path("other/", Counting.as_asgi())])


@database_sync_to_async
def stored(key: str) -> dict[str, Any]:
    """Return what is stored under a key."""
    session = new_session(key)
    return {name: value for name, value in session.items() if name[0] != "_"}


@database_sync_to_async
def exists(key: str) -> bool:
    """Tell whether a session is there."""
    return bool(new_session(key).exists(key))


@database_sync_to_async
def store(key: str | None = None, **data: Any) -> str:
    """Store something in a session, as a view does; return its key."""
    session = new_session(key)
    session.update(data)
    session.save()
    return str(session.session_key)


def client_of(key: str, namespace: str = "/") -> Client:
    """Return a client with a session's cookie."""
    return Client(namespace, cookies={"sessionid": key})


@pytest.mark.parametrize("how", ["add", "add_in_thread"])
async def test_what_views_have_stored_meanwhile(engine: str, how: str) -> None:
    key = await store(count=1, cart="a")
    async with client_of(key) as client:
        assert await client.call(how, 1) == 2
        await store(key, count=5, cart="b")
        assert await client.call("read") == {"count": 5, "cart": "b"}
        assert await client.call(how, 1) == 6
        assert await stored(key) == {"count": 6, "cart": "b"}


async def test_only_what_changed_is_written(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await store(count=1, gone=1, items=["a"])
    async with client_of(key) as client:
        await client.call("append", "b")
        assert await stored(key) == {"count": 1, "gone": 1, "items": ["a", "b"]}
        await client.call("forget", "gone")
        assert await stored(key) == {"count": 1, "items": ["a", "b"]}
        await client.call("touch")
        assert await stored(key) == {"count": 1, "items": ["a", "b"]}


async def test_a_view_between_reading_and_writing(engine: str, hub: Hub) -> None:
    key = await store(count=1)
    session = open_session({"session": new_session(key), "user": None})
    await session.aset("mine", 1)
    await store(key, count=5, theirs=2)
    await session.asave()
    assert await stored(key) == {"count": 5, "mine": 1, "theirs": 2}
    assert await session.aget("count") == 5


@pytest.mark.parametrize("how", ["add", "add_in_thread"])
async def test_a_session_that_is_gone_is_not_revived(engine: str, how: str) -> None:
    key = await store(count=1)
    async with client_of(key) as client:
        assert await client.call(how, 1) == 2
        await database_sync_to_async(new_session(key).delete)(key)
        assert await client.call("read") == {}
        answer = await client.call(how, 1)
        assert answer["error"]["code"] == "no_session"
        answer = await client.call("cycle")
        assert answer["error"]["code"] == "no_session"
        assert not await exists(key)


async def test_one_that_goes_between_reading_and_writing(engine: str, hub: Hub) -> None:
    key = await store(count=1)
    session = open_session({"session": new_session(key), "user": None})
    await session.aset("mine", 1)
    await database_sync_to_async(new_session(key).delete)(key)
    with pytest.raises(Exception, match="over"):
        await session.asave()
    assert not await exists(key)


async def test_a_client_without_a_session(engine: str) -> None:
    async with Client() as client:
        assert await client.call("read") == {}
        answer = await client.call("add", 1)
        assert answer["error"]["code"] == "no_session", "no client would know its key"


async def test_all_sockets_of_a_client_follow_its_consumers(engine: str, new_wire: Any) -> None:
    key = await store(count=1)
    scope = {"session": new_session(key), "user": None}
    one, other = open_session(scope), open_session(scope)
    await one.acycle_key()
    assert one.session_key != key
    assert not await exists(key)
    assert await open_session(scope).aget(COUNT) == 1
    assert await other.aget(COUNT, "gone") == "gone", "it was opened for an event before that"
    cycled = one.session_key
    await one.aflush()
    assert await open_session(scope).aget(COUNT) is None
    assert not await exists(cycled)


async def test_a_consumer_that_cycles_and_flushes(engine: str) -> None:
    key = await store(count=1)
    async with client_of(key) as client:
        cycled = await client.call("cycle")
        assert cycled != key
        assert await client.call("add", 1) == 2
        assert await stored(cycled) == {"count": 2}
        await client.call("flush")
        assert await client.call("read") == {}
        assert not await exists(cycled)


async def test_sessions_in_cookies_are_read(settings: Settings) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    key = await store(count=3)
    async with client_of(key) as client:
        assert await client.call("read") == {"count": 3}
        answer = await client.call("add", 1)
        assert answer["error"]["code"] == "server_error"


async def test_an_async_handler_that_would_block(
    serve: Serve, engine: str, records: list[Any]
) -> None:
    class Blocking(NamespaceConsumer):
        @event
        async def read(self) -> Any:
            return self.session[COUNT]

    serve(Blocking)
    async with client_of(await store(count=1)) as client:
        assert (await client.call("read"))["error"]["code"] == "server_error"
    (error,) = [each.exc_info[1] for each in records if each.exc_info]
    assert isinstance(error, SynchronousOnlyOperation)
    assert "await self.session.aget" in str(error)


async def test_what_is_no_session_of_django(serve: Serve) -> None:
    given: dict[str, Any] = {"cart": 3}
    assert open_session({"session": given}) is given


# Views


def log_in_view(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username=request.GET["user"]), MODEL_BACKEND)
    return HttpResponse()


def log_out_view(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def change_password_view(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(pk=request.user.pk)
    user.set_password("another one")
    user.save()
    update_session_auth_hash(request, user)
    return HttpResponse()


def cycle_view(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse()


def count_view(request: HttpRequest) -> HttpResponse:
    request.session[COUNT] = request.session.get(COUNT, 0) + 1
    return HttpResponse()


urlpatterns = [
    path("login/", log_in_view),
    path("logout/", log_out_view),
    path("password/", change_password_view),
    path("cycle/", cycle_view),
    path("count/", count_view),
]


class Browser:
    """A page's requests to views, through Realtime, with the cookies that they set."""

    def __init__(self, key: str) -> None:
        self.key = key

    async def get(self, path: str) -> None:
        """Request a page."""
        cookie = f"sessionid={self.key}".encode()
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [(b"host", b"testserver"), (b"cookie", cookie)],
        }
        sent: list[dict[str, Any]] = []

        messages = [{"type": "http.request", "body": b""}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # the page stays
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await Realtime(ASGIHandler())(scope, receive, send)
        assert sent[0]["status"] == 200
        for name, value in sent[0]["headers"]:
            if name.lower() == b"set-cookie" and value.startswith(b"sessionid="):
                self.key = value.decode().split(";")[0].removeprefix("sessionid=").strip('"')


@pytest.fixture
def _views(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__


pytest_views = pytest.mark.usefixtures("_views")


async def user_and_key(name: str = "ann") -> tuple[User, str]:
    """Return a user who has logged in, and the key of the session."""
    user = await database_sync_to_async(User.objects.create_user)(name, password="x")
    return user, str((await log_in(user, count="0")).session_key)


@pytest_views
@pytest.mark.parametrize("rotate", ["/password/", "/cycle/"])
async def test_a_session_of_the_same_user_is_followed(engine: str, rotate: str) -> None:
    _, key = await user_and_key()
    await store(key, count=1)
    browser = Browser(key)
    async with client_of(key) as client, client_of(key, "/other") as other:
        await browser.get("/count/")
        assert browser.key == key
        assert await client.call("add", 1) == 3
        await browser.get(rotate)
        assert browser.key != key
        assert await client.call("add", 1) == 4
        await browser.get(rotate)
        await browser.get(rotate)
        await browser.get("/count/")
        assert await other.call("add", 1) == 6, "through all of them"
        assert (await client.call("read"))[COUNT] == 6
        assert (await stored(browser.key))[COUNT] == 6
        assert not await exists(key)


@pytest_views
async def test_nobody_follows_a_login(engine: str) -> None:
    """Whoever knew a key before a login, and has planted it, must not come in with the user."""
    await user_and_key()
    key = await store(count=1)
    browser = Browser(key)
    async with client_of(key) as client:
        await browser.get("/login/?user=ann")
        assert browser.key != key
        assert await client.call("read") == {}
        assert (await client.call("add", 1))["error"]["code"] == "no_session"
        assert await stored(browser.key) == {"count": 1}


@pytest_views
async def test_nobody_follows_to_another_user(engine: str) -> None:
    _, key = await user_and_key()
    await user_and_key("bob")
    browser = Browser(key)
    async with client_of(key) as client:
        await browser.get("/login/?user=bob")
        assert browser.key != key
        await browser.get("/count/")
        assert await client.call("read") == {}
        assert (await client.call("add", 1))["error"]["code"] == "no_session"


@pytest_views
async def test_a_logout_is_the_end(engine: str) -> None:
    _, key = await user_and_key()
    browser = Browser(key)
    async with client_of(key) as client:
        await browser.get("/logout/")
        assert await client.call("read") == {}
        assert (await client.call("add_in_thread", 1))["error"]["code"] == "no_session"
        assert not await exists(key)


@pytest_views
async def test_an_anonymous_session_with_another_key(engine: str) -> None:
    key = await store(count=1)
    browser = Browser(key)
    async with client_of(key) as client:
        await browser.get("/cycle/")
        assert await client.call("add", 1) == 2
        assert await stored(browser.key) == {"count": 2}


@pytest_views
async def test_a_response_waits_for_nothing_that_fails(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    _, key = await user_and_key()
    browser = Browser(key)

    def fail(*args: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(sessions, "note_moved", fail)
    await browser.get("/cycle/")
    assert browser.key != key
    (line,) = [each for each in records if each.args[0] == "session-not-followed"]
    assert "away" in line.realtime["error"]


async def test_keys_that_lead_in_circles(hub: Hub) -> None:
    keys = ["a" * 32, "b" * 32]
    store_class = type(new_session())
    for key, moved in (keys, keys[::-1]):
        await database_sync_to_async(note_moved)(store_class, key, moved)
    session = open_session({"session": new_session(keys[0]), "user": None})
    assert await session.aget(COUNT) is None


async def test_a_note_is_no_session(hub: Hub) -> None:
    await database_sync_to_async(note_moved)(type(new_session()), "a" * 32, "b" * 32)
    row = await Session.objects.aget()
    assert row.session_key not in ("a" * 32, "b" * 32)


@pytest.mark.parametrize(
    ("cookie", "set_cookie", "found"),
    [
        (b"sessionid=old", b"sessionid=new; Path=/", ("old", "new")),
        (b"a=b; sessionid=old", b'sessionid="new"; Path=/', ("old", "new")),
        (b"sessionid=old", b"sessionid=old; Path=/", None),
        (b"sessionid=old", b'sessionid=""; Max-Age=0', None),
        (b"a=b", b"sessionid=new", None),
        (b"sessionid=old", b"csrftoken=new", None),
        (b"sessionid=old", b"sessionid2=new", None),
    ],
)
def test_new_keys_in_responses(
    cookie: bytes, set_cookie: bytes, found: tuple[str, str] | None
) -> None:
    scope = {"headers": [(b"cookie", cookie)]}
    assert find_new_key(scope, [(b"Set-Cookie", set_cookie)]) == found
