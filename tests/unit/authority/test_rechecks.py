"""What nobody tells, found all the same; and what follows for clients of each kind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import path

import realtime
from realtime import ClientRooms, NamespaceConsumer, event
from realtime.hub import deciding, outage_log, reasking
from realtime.hub.hub import Hub
from realtime.identity import fresh_logins
from realtime.identity.renewal import Found, Login
from realtime.outside.process import ensure_hub
from realtime.signals import room_left
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.logins import log_in
from tests.unit.probes import DEADLINE, Probe

from . import users
from .test_causes import Members, Telling, Viewers
from .users import VIEW

pytestmark = pytest.mark.usefixtures("transactional_db")


class Rooms(ClientRooms, Telling):
    """Clients may be in the rooms of their groups."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.join("lobby")

    def may_join(self, room: str) -> bool:
        return bool(self.user.groups.filter(name=room).exists())

    @event
    async def where(self) -> list[str]:
        return sorted(self.rooms)


@pytest.fixture(autouse=True)
def _served(serve: Serve) -> None:
    routes = [
        path("viewers/", Viewers.as_asgi()),
        path("rooms/", Rooms.as_asgi()),
        path("everybody/", Telling.as_asgi()),
    ]
    serve(Members, routes=routes, REAUTHORIZE_SECONDS=1)


async def new_user(*args: Any, **options: Any) -> User:
    """Return a new user, once all that was told of it has been followed."""
    hub = ensure_hub()
    user = await users.new_user(*args, **options)
    if (following := hub.reasking._task) is not None:
        await asyncio.wait({following})
    return user


def socket_of(client: Client) -> Any:
    """Return the socket of a client."""
    assert client._session is not None
    return client._session.sockets[client.namespace]


async def change(model: Any, user: User, **fields: Any) -> None:
    """Change the row of a user, of which Django tells nobody."""
    await model.objects.filter(pk=user.pk).aupdate(**fields)


@pytest.mark.parametrize("by_session", [True, False], ids=["session", "middleware"])
async def test_a_permission_that_is_taken_in_the_database(
    connect: Connect, by_session: bool
) -> None:
    user = await new_user("ann", VIEW, group="viewers")
    options: dict[str, Any] = {"user": user}
    if by_session:
        options = {"cookies": {"sessionid": (await log_in(user)).session_key}}
    client = await connect("/viewers", **options)
    await Group.permissions.through.objects.all().adelete()
    assert await client.receive() == ("goodbye", True)
    await client.closed(DEADLINE)


async def test_who_stays_has_the_user_of_now(connect: Connect, rechecked: asyncio.Event) -> None:
    user = await new_user("ann", VIEW, group="viewers")
    client = await connect("/everybody", user=user)
    assert socket_of(client).consumer.scope["user"] is user
    await passed(rechecked, 2)  # what the user may is known from now on
    await Group.permissions.through.objects.all().adelete()
    assert await client.receive() == ("changed", user.pk, user.pk)
    assert socket_of(client).user is not user
    assert socket_of(client).consumer.scope["user"] is socket_of(client).user
    assert client._session is not None
    assert client._session.scope["user"] is socket_of(client).user


@pytest.mark.parametrize("fields", [{"is_active": False}, {"password": "another one"}])
async def test_a_row_that_is_changed_in_the_database(
    connect: Connect, fields: dict[str, Any]
) -> None:
    user = await new_user("ann", VIEW)
    client = await connect(cookies={"sessionid": (await log_in(user)).session_key})
    await change(User, user, **fields)
    assert await client.receive() == ("goodbye", False)
    await client.closed(DEADLINE)


async def test_sessions_that_are_deleted_in_the_database(connect: Connect) -> None:
    user = await new_user("ann", VIEW)
    client = await connect(cookies={"sessionid": (await log_in(user)).session_key})
    sessions = Session.objects.all()
    await database_sync_to_async(sessions._raw_delete)(sessions.db)
    assert await client.receive() == ("goodbye", False)


@pytest.fixture
def rechecked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that happens whenever users have been looked up."""
    happened, find = asyncio.Event(), reasking.find_again

    async def noting(*args: Any) -> Any:
        found = await find(*args)
        happened.set()
        return found

    monkeypatch.setattr(reasking, "find_again", noting)
    return happened


async def passed(rechecked: asyncio.Event, times: int) -> None:
    """Wait until users have been looked up so many times."""
    for _ in range(times):
        rechecked.clear()
        async with asyncio.timeout(DEADLINE):
            await rechecked.wait()


async def test_who_is_unchanged_stays_the_same_object(
    connect: Connect, rechecked: asyncio.Event
) -> None:
    user = await new_user("ann", VIEW)
    client = await connect("/viewers", user=user)
    await passed(rechecked, 2)
    assert socket_of(client).user is user
    assert not client.pending()


async def test_rooms_that_are_lost(connect: Connect, probe: Probe) -> None:
    user = await new_user("ann", group="a")
    client = await connect("/rooms", user=user)
    assert await client.call("join", "a") == {"ok": True}

    def note(room: str, **kwargs: Any) -> None:
        probe.note(room)

    room_left.connect(note)
    try:
        await User.groups.through.objects.all().adelete()
        assert await probe.next() == "a"
    finally:
        room_left.disconnect(note)
    assert await client.call("where") == ["lobby"]
    realtime.of("/rooms").to("a").emit("secret")
    realtime.of("/rooms").to("lobby").emit("last")
    names = [(await client.receive())[0]]
    while names[-1] != "last":
        names.append((await client.receive())[0])
    assert "secret" not in names


# Hooks


async def test_hooks_of_the_sites_own_are_asked_each_time(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    allowed = {"ann"}

    class Own(Telling):
        def has_permission(self) -> bool:
            assert threading.current_thread() is not threading.main_thread()
            return "ann" in allowed

    serve(Own, REAUTHORIZE_SECONDS=1)
    client = await connect()
    allowed.clear()
    assert await client.receive() == ("goodbye", False)
    await client.closed(DEADLINE)


async def test_hooks_that_raise_or_hang(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime.sockets import standing

    monkeypatch.setattr(standing, "GOODBYE_TIME", 0.05)
    bad = {"has_permission": False, "unauthorized": True}

    class Broken(NamespaceConsumer):
        async def has_permission(self) -> bool:
            if bad["has_permission"]:
                raise LookupError("no answer")
            return True

        async def user_changed(self, old: Any) -> None:
            raise LookupError("broken")

    class Hanging(NamespaceConsumer):
        permission_required = VIEW

        def unauthorized(self) -> None:
            raise LookupError("broken")

    class Waiting(Hanging):
        async def unauthorized(self) -> None:
            self.emit("goodbye")
            await asyncio.Event().wait()

    serve(
        Broken,
        routes=[path("hanging/", Hanging.as_asgi()), path("waiting/", Waiting.as_asgi())],
    )
    user = await new_user("ann", VIEW)
    broken, hanging, waiting = [
        await connect(name, user=user) for name in ("/", "/hanging", "/waiting")
    ]
    bad["has_permission"] = True
    await user.user_permissions.aclear()
    assert await waiting.receive() == ("goodbye",)
    await waiting.closed(DEADLINE)
    await hanging.closed(DEADLINE)
    bad["has_permission"] = False
    realtime.of("/").reauthorize()
    assert not broken._closed.is_set()


async def test_a_handler_at_work_holds_nothing_up(serve: Serve, connect: Connect) -> None:
    gate = asyncio.Event()

    class Busy(Members):
        @event
        async def work(self) -> None:
            self.emit("begun")
            await gate.wait()

    serve(Busy)
    user = await new_user("ann", VIEW)
    client = await connect(user=user)
    client.emit("work")
    assert await client.receive() == ("begun",)
    await database_sync_to_async(user.delete)()
    assert await client.receive() == ("goodbye", False)
    await client.closed(DEADLINE)
    gate.set()


async def test_nothing_of_a_client_is_handled_while_it_is_told_goodbye(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Slow(NamespaceConsumer):
        login_required = True

        async def unauthorized(self) -> None:
            self.emit("goodbye")
            realtime.emit("to all")
            await asyncio.sleep(0.2)
            self.emit("last")

        @event
        async def work(self) -> None:
            probe.note("handled")

    serve(Slow)
    user = await new_user("ann", VIEW)
    client = await connect(user=user)
    await database_sync_to_async(user.delete)()
    assert await client.receive() == ("goodbye",)
    client.emit("work")
    assert await client.receive() == ("last",)
    await client.closed(DEADLINE)
    assert not client.pending()
    assert await probe.empty()


async def test_who_is_just_coming(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Slow(Members):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            await probe.gate.wait()

    serve(Slow)
    user = await new_user("ann", VIEW)
    client = Client(user=user)
    connecting = asyncio.create_task(client.connect())
    assert await probe.next() == "connecting"
    await User.objects.filter(pk=user.pk).adelete()
    async with asyncio.timeout(DEADLINE):
        while socket_of(client).user.pk is not None:
            await asyncio.sleep(0.01)
    probe.gate.set()
    with pytest.raises(realtime.ConnectionRefused) as caught:
        await connecting
    assert caught.value.data == {"code": 401}


# reauthorize()


@pytest.mark.parametrize("whom", ["everybody", "user", "room", "client"])
async def test_asked_by_the_site(serve: Serve, connect: Connect, whom: str) -> None:
    allowed = {"ann"}

    class Own(Telling):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("room")

        async def has_permission(self) -> bool:
            return bool(allowed)

    serve(Own, REAUTHORIZE_SECONDS=0)
    user = await new_user("ann", VIEW)
    client = await connect(user=user)
    meant: Any = {
        "everybody": realtime.of("/"),
        "user": realtime.to_user(user),
        "room": realtime.to("room"),
        "client": realtime.to_client(client.sid),
    }[whom]
    await meant.reauthorize()
    assert await client.receive() == ("changed", user.pk, user.pk)
    allowed.clear()
    await database_sync_to_async(lambda: meant.on_commit().reauthorize())()
    assert await client.receive() == ("goodbye", True)
    await client.closed(DEADLINE)


# Logins of their own


async def test_a_login_that_expires(connect: Connect, hub: Hub) -> None:
    user = await new_user("ann", VIEW)
    client = await connect(user=user)
    socket_of(client).log_in(Login(user, _now() + 0.2))
    assert await client.receive() == ("goodbye", False)
    await client.closed(DEADLINE)


async def test_a_login_that_is_prolonged(connect: Connect, probe: Probe) -> None:
    user = await new_user("ann", VIEW)
    client = await connect(user=user)
    ends = [_now() + 3600]

    async def find() -> Found | None:
        probe.note("asked")
        return Found(user, ends.pop()) if ends else None

    socket_of(client).log_in(Login(user, _now() + 0.05, find))
    assert await probe.next() == "asked"
    socket_of(client).log_in(Login(user, _now() + 0.05, find))
    assert await client.receive() == ("goodbye", False)


def _now() -> float:
    from time import time

    return time()


# Users of a site's own middleware


@pytest.mark.parametrize("is_plain", [True, False])
async def test_middleware_that_finds_its_users_itself(connect: Connect, is_plain: bool) -> None:
    """As where each tenant has users of its own, of which the same rows are others' here."""
    theirs, known = User(pk=7, username="theirs"), [User(pk=7, username="theirs", is_staff=True)]

    def find() -> User | None:
        return known[0] if known else None

    async def find_async() -> User | None:
        return find()

    scope = {"presence_user": None, "find_user": find if is_plain else find_async}
    client = await connect(user=theirs, scope=scope)
    assert await client.receive() == ("changed", 7, 7)
    assert socket_of(client).user.is_staff
    known.clear()
    assert await client.receive() == ("goodbye", False)


@pytest.mark.parametrize("is_saved", [True, False])
async def test_middleware_whose_users_are_no_rows_here(
    connect: Connect, rechecked: asyncio.Event, is_saved: bool
) -> None:
    """Those of a tenant, and those that are made of a token."""
    theirs = User(pk=7, username="theirs")
    theirs._state.adding = not is_saved
    client = await connect(user=theirs, scope={"presence_user": None} if is_saved else {})
    await passed(rechecked, 2)
    assert socket_of(client).user is theirs
    assert not client.pending()


# Clients that come back


@pytest.mark.parametrize("is_over", [True, False])
async def test_who_is_nobody_by_now_comes_back_to_nothing(
    serve: Serve, connect: Connect, is_over: bool
) -> None:
    serve(Telling, RECOVERY={"SECONDS": 60}, REAUTHORIZE_SECONDS=0)
    user = await new_user("ann", VIEW)
    client = await connect(cookies={"sessionid": (await log_in(user)).session_key})
    if is_over:
        await Session.objects.all().adelete()
        assert await client.receive() == ("changed", user.pk, None)
    else:
        await user.asave()
        assert await client.receive() == ("changed", user.pk, user.pk)
    client.drop()
    await client.connect()
    assert client.recovered is not is_over


# A database that is away


async def test_a_database_that_is_away(
    connect: Connect,
    hub: Hub,
    records: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outage_log, "MAX_PAUSE", 0.05)
    user = await new_user("ann", VIEW)
    client = await connect("/viewers", user=user)
    failed = threading.Semaphore(0)
    load = fresh_logins.load_users

    def fail(keys: Any) -> Any:
        list(keys)
        failed.release()
        raise OperationalError("gone")

    monkeypatch.setattr(fresh_logins, "load_users", fail)
    await user.user_permissions.aclear()
    for _ in range(3):
        assert await asyncio.to_thread(failed.acquire, timeout=DEADLINE)
    assert not client._closed.is_set()
    monkeypatch.setattr(fresh_logins, "load_users", load)
    assert await client.receive() == ("goodbye", True)
    told = [each.args[0] for each in records if each.args[0].startswith("reauthorize")]
    assert told == ["reauthorize-down", "reauthorize-back"]


# What it costs


async def test_many_clients_share_a_few_queries(connect: Connect, hub: Hub) -> None:
    def count(subjects: list[Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            found = fresh_logins.find_all(subjects)
        assert all(each.user.has_perm(VIEW) for each in found)
        return len(queries)

    members = [await new_user(f"user {number}", VIEW, group="viewers") for number in range(20)]
    sessions = [await log_in(user) for user in members]
    scopes = [
        {"user": user, "session": session} for user, session in zip(members, sessions, strict=True)
    ]
    subjects = [reasking.Subject(scope) for scope in scopes * 3]
    assert await database_sync_to_async(count)(subjects) <= 6


async def test_a_crowd_that_loses_a_permission(connect: Connect, hub: Hub) -> None:
    members = [await new_user(f"user {number}", VIEW, group="viewers") for number in range(10)]
    clients = [await connect("/viewers", user=user) for user in members for _ in range(3)]
    group = await Group.objects.aget(name="viewers")
    assert len(clients) < deciding.AT_ONCE
    await group.permissions.aclear()
    for client in clients:
        assert await client.receive() == ("goodbye", True)
        await client.closed(DEADLINE)
    assert ensure_hub().stats()["sockets"] == 0
