"""What may change of what a client may, each as Django or the site does it, and what follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import SESSION_KEY, update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.urls import path

from realtime import NamespaceConsumer
from realtime.identity.sessions import note_moved
from realtime.testing import Client
from tests.site.causes import (
    ENDS,
    TAKEN,
    Site,
    clear_groups,
    deactivate,
    expire,
    log_out,
)
from tests.unit.conftest import Connect, Serve
from tests.unit.probes import DEADLINE

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
        site = await database_sync_to_async(Site.new)(by)
        client = await connect(namespace, cookies={"sessionid": site.key})
        return site, client

    return start


@pytest.mark.parametrize("cause", ENDS, ids=lambda cause: cause.__name__)
@pytest.mark.parametrize("namespace", ["/", "/viewers"])
async def test_a_login_that_is_over(
    start: Start, cause: Callable[[Site], None], namespace: str
) -> None:
    site, client = await start(namespace)
    await database_sync_to_async(cause)(site)
    assert await client.receive() == ("goodbye", False)
    await client.closed(DEADLINE)
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
    await client.closed(DEADLINE)


@pytest.mark.parametrize(("by", "cause"), TAKEN, ids=lambda each: getattr(each, "__name__", each))
async def test_a_permission_that_is_taken_away(
    start: Start, connect: Connect, by: str, cause: Callable[[Site], None]
) -> None:
    site, client = await start("/viewers", by)
    stays = await connect(cookies={"sessionid": site.key})
    await database_sync_to_async(cause)(site)
    assert await client.receive() == ("goodbye", True)
    await client.closed(DEADLINE)
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
