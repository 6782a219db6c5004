"""What may change of what a client may, each as Django or the site does it, and what follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import SESSION_KEY, login, logout, update_session_auth_hash
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.urls import path
from django.utils import timezone

from realtime import NamespaceConsumer
from realtime.identity.sessions import note_moved
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve

from .users import VIEW

pytestmark = pytest.mark.usefixtures("transactional_db")


class Telling(NamespaceConsumer):
    """Tells its client what happens to it."""

    async def unauthorized(self) -> None:
        self.emit("goodbye", self.user.is_authenticated)

    async def user_changed(self, old: Any) -> None:
        self.emit("changed", old.pk, self.user.pk)


class Members(Telling):
    login_required = True


class Viewers(Telling):
    permission_required = VIEW


class Everybody(Telling):
    pass


class Site:
    """A user with a session, who may view sockets as a member of a group, and another user."""

    def __init__(self, by: str) -> None:
        self.permission = Permission.objects.get(codename="view_socket")
        self.group = Group.objects.create(name="viewers")
        self.user = User.objects.create_user("ann", password="x")
        self.other = User.objects.create_user("bob", password="x")
        if by == "group":
            self.group.permissions.add(self.permission)
            self.user.groups.add(self.group)
        elif by == "user":
            self.user.user_permissions.add(self.permission)
        elif by == "superuser":
            User.objects.filter(pk=self.user.pk).update(is_superuser=True)
        self.key = self.log_in(self.user)

    @staticmethod
    def log_in(user: User) -> str:
        request = request_of(None)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        request.session.save()
        assert request.session.session_key is not None
        return request.session.session_key

    @property
    def fresh(self) -> User:
        """The user as a view has it."""
        return User.objects.get(pk=self.user.pk)

    def request(self) -> HttpRequest:
        """A request of the user."""
        request = request_of(self.key)
        request.user = self.fresh
        return request


def request_of(key: str | None) -> HttpRequest:
    request = HttpRequest()
    request.session = SessionStore(key)
    return request


async def serving(serve: Serve) -> None:
    """Serve a class that wants a login, one that wants a permission, and one that wants nothing."""
    serve(
        Members,
        routes=[path("viewers/", Viewers.as_asgi()), path("everybody/", Everybody.as_asgi())],
    )


Start = Callable[..., Awaitable[tuple[Site, Client]]]


@pytest.fixture
async def start(serve: Serve, connect: Connect) -> Start:
    """A function that makes a site and returns it, with a client of its user."""
    await serving(serve)

    async def start(namespace: str, by: str = "group") -> tuple[Site, Client]:
        site = await database_sync_to_async(Site)(by)
        client = await connect(namespace, cookies={"sessionid": site.key})
        return site, client

    return start


# Logins that end


def log_out(site: Site) -> None:
    logout(site.request())


def log_out_everywhere(site: Site) -> None:
    for session in Session.objects.all():
        if session.get_decoded().get(SESSION_KEY) == str(site.user.pk):
            session.delete()


def delete_sessions(site: Site) -> None:
    Session.objects.filter(session_key=site.key).delete()


def flush(site: Site) -> None:
    SessionStore(site.key).flush()


def change_password(site: Site) -> None:
    user = site.fresh
    user.set_password("another one")
    user.save()


def change_password_alone(site: Site) -> None:
    user = site.fresh
    user.set_password("another one")
    user.save(update_fields=["password"])


def deactivate(site: Site) -> None:
    user = site.fresh
    user.is_active = False
    user.save()


def delete_user(site: Site) -> None:
    site.fresh.delete()


def delete_users(site: Site) -> None:
    User.objects.filter(pk=site.user.pk).delete()


def expire(site: Site) -> None:
    """Let a session end soon, as one does that has lasted for as long as it may."""
    end = timezone.now() + timedelta(seconds=0.2)
    Session.objects.filter(session_key=site.key).update(expire_date=end)


def forget_user(site: Site) -> None:
    session = SessionStore(site.key)
    del session[SESSION_KEY]
    session.save()


ENDS = [
    log_out,
    log_out_everywhere,
    delete_sessions,
    flush,
    change_password,
    change_password_alone,
    deactivate,
    delete_user,
    delete_users,
    forget_user,
]


@pytest.mark.parametrize("cause", ENDS, ids=lambda cause: cause.__name__)
@pytest.mark.parametrize("namespace", ["/", "/viewers"])
async def test_a_login_that_is_over(
    start: Start, cause: Callable[[Site], None], namespace: str
) -> None:
    site, client = await start(namespace)
    await database_sync_to_async(cause)(site)
    assert await client.receive() == ("goodbye", False)
    await client.closed()
    assert not client.pending()


@pytest.mark.parametrize("cause", ENDS, ids=lambda cause: cause.__name__)
async def test_who_needs_no_login_stays_as_nobody(
    start: Start, cause: Callable[[Site], None]
) -> None:
    site, client = await start("/everybody")
    await database_sync_to_async(cause)(site)
    assert await client.receive() == ("changed", site.user.pk, None)
    assert not client._closed.is_set()


async def test_a_session_that_ends_by_time(start: Start, connect: Connect) -> None:
    site, _ = await start("/everybody")
    await database_sync_to_async(expire)(site)
    client = await connect(cookies={"sessionid": site.key})
    assert await client.receive() == ("goodbye", False)
    await client.closed()


# Permissions that are taken away


def set_none(site: Site) -> None:
    site.group.permissions.set([])


def take_from_group(site: Site) -> None:
    site.group.permissions.remove(site.permission)


def clear_group(site: Site) -> None:
    site.group.permissions.clear()


def take_group_from_permission(site: Site) -> None:
    site.permission.group_set.remove(site.group)


def clear_permission(site: Site) -> None:
    site.permission.group_set.clear()


def leave_group(site: Site) -> None:
    site.user.groups.remove(site.group)


def clear_groups(site: Site) -> None:
    site.user.groups.clear()


def set_no_groups(site: Site) -> None:
    site.user.groups.set([site.other.groups.create(name="others")])


def take_member(site: Site) -> None:
    site.group.user_set.remove(site.user)


def clear_members(site: Site) -> None:
    site.group.user_set.clear()


def delete_group(site: Site) -> None:
    site.group.delete()


def delete_permission(site: Site) -> None:
    site.permission.delete()


def rename_permission(site: Site) -> None:
    site.permission.codename = "see_socket"
    site.permission.save()


def take_from_user(site: Site) -> None:
    site.user.user_permissions.remove(site.permission)


def clear_user(site: Site) -> None:
    site.user.user_permissions.clear()


def set_user(site: Site) -> None:
    site.user.user_permissions.set([])


def take_user_from_permission(site: Site) -> None:
    site.permission.user_set.remove(site.user)


def clear_users_of_permission(site: Site) -> None:
    site.permission.user_set.clear()


def demote(site: Site) -> None:
    user = site.fresh
    user.is_superuser = False
    user.save(update_fields=["is_superuser"])


TAKEN = [
    *(("group", cause) for cause in (set_none, take_from_group, clear_group)),
    *(("group", cause) for cause in (take_group_from_permission, clear_permission)),
    *(("group", cause) for cause in (leave_group, clear_groups, set_no_groups)),
    *(("group", cause) for cause in (take_member, clear_members, delete_group)),
    *(("group", cause) for cause in (delete_permission, rename_permission)),
    *(("user", cause) for cause in (take_from_user, clear_user, set_user)),
    *(("user", cause) for cause in (take_user_from_permission, clear_users_of_permission)),
    ("superuser", demote),
]


@pytest.mark.parametrize(("by", "cause"), TAKEN, ids=lambda each: getattr(each, "__name__", each))
async def test_a_permission_that_is_taken_away(
    start: Start, connect: Connect, by: str, cause: Callable[[Site], None]
) -> None:
    site, client = await start("/viewers", by)
    stays = await connect(cookies={"sessionid": site.key})
    await database_sync_to_async(cause)(site)
    assert await client.receive() == ("goodbye", True)
    await client.closed()
    assert await stays.receive() == ("changed", site.user.pk, site.user.pk)
    assert not stays._closed.is_set()


# Who is not concerned, and what is not committed


def roll_back(site: Site) -> None:
    with transaction.atomic():
        clear_groups(site)
        deactivate(site)
        log_out(site)
        transaction.set_rollback(True)


def roll_back_a_part(site: Site) -> None:
    with transaction.atomic():
        try:
            with transaction.atomic():
                clear_groups(site)
                raise LookupError
        except LookupError:
            pass


def of_another_one(site: Site) -> None:
    site.other.groups.add(site.group)
    site.other.is_active = False
    site.other.save()


def just_log_in(site: Site) -> None:
    site.log_in(site.fresh)


async def settled(client: Client) -> None:
    """Wait until all that was told so far has been followed."""
    assert client._session is not None
    hub = client._session.hub
    reasking: Any = hub.reasking
    reasking.ask(next(iter(client._session.sockets.values())))
    assert (await client.receive())[0] == "changed"


@pytest.mark.parametrize("cause", [roll_back, roll_back_a_part, of_another_one, just_log_in])
async def test_nothing_has_changed(start: Start, cause: Callable[[Site], None]) -> None:
    site, client = await start("/viewers")
    await database_sync_to_async(cause)(site)
    await settled(client)
    assert not client.pending()
    assert not client._closed.is_set()


def change_ones_own_password(site: Site) -> None:
    """Do what Django's view does, and what follows its response."""
    request = site.request()
    user = request.user
    assert isinstance(user, User)
    user.set_password("another one")
    user.save()
    update_session_auth_hash(request, user)
    request.session.save()
    assert request.session.session_key not in (None, site.key)
    note_moved(SessionStore, site.key, str(request.session.session_key))


async def test_who_changes_ones_own_password_stays(start: Start, connect: Connect) -> None:
    site, client = await start("/")
    elsewhere = await connect(
        cookies={"sessionid": await database_sync_to_async(site.log_in)(site.user)}
    )
    await database_sync_to_async(change_ones_own_password)(site)
    assert await elsewhere.receive() == ("goodbye", False)
    assert await client.receive() == ("changed", site.user.pk, site.user.pk)
    assert not client._closed.is_set()


def impersonate(site: Site) -> None:
    """Let the session be another user's, as sites do by hand."""
    session = SessionStore(site.key)
    session[SESSION_KEY] = str(site.other.pk)
    session["_auth_user_hash"] = site.other.get_session_auth_hash()
    session.save()


def impersonate_no_more(site: Site) -> None:
    session = SessionStore(site.key)
    session[SESSION_KEY] = str(site.user.pk)
    session["_auth_user_hash"] = site.fresh.get_session_auth_hash()
    session.save()


async def test_a_session_that_is_another_users(start: Start) -> None:
    site, client = await start("/")
    await database_sync_to_async(impersonate)(site)
    assert await client.receive() == ("changed", site.user.pk, site.other.pk)
    await database_sync_to_async(impersonate_no_more)(site)
    assert await client.receive() == ("changed", site.other.pk, site.user.pk)
