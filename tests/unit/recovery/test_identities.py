"""Who comes back: the same user in the same login, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY, update_session_auth_hash
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends import cache, signed_cookies
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

import realtime
from realtime.identity.logins import Nobody
from realtime.recovery.identities import NOBODY, identify
from tests.unit.conftest import Connect, Serve
from tests.unit.recovery.test_recovery import RECOVERY, Rooms

ADA = User(pk=1, username="ada", password="a")
BOB = User(pk=2, username="bob", password="a")


class Stateless:
    """A user without a password, as of a token."""

    is_authenticated = True

    def __init__(self, pk: Any) -> None:
        self.pk = pk


def session(key: str | None) -> SessionBase:
    """Return a session of this key, of which nothing is looked up."""
    return cache.SessionStore(key)


def fail() -> Any:
    raise SynchronousOnlyOperation("not here")


@pytest.mark.parametrize(
    "make", [lambda: None, AnonymousUser, Nobody, lambda: SimpleLazyObject(AnonymousUser)]
)
def test_nobody_is_nobody_in_any_session(make: Callable[[], Any]) -> None:
    user = make()
    for scope in ({}, {"session": session("k" * 32)}, {"session": session(None)}, {"session": {}}):
        assert identify({"user": user, **scope}) == NOBODY
    assert identify({}) == NOBODY


@pytest.mark.parametrize(
    "make",
    [
        lambda: SimpleLazyObject(fail),
        lambda: User(username="new"),
        lambda: Stateless(None),
        lambda: SimpleNamespace(name="somebody"),
        lambda: "ada",
        lambda: {"pk": 1},
        object,
    ],
)
def test_who_cannot_be_told_is_not_even_who_it_was(make: Callable[[], Any]) -> None:
    user = make()
    assert identify({"user": user, "session": session("k" * 32)}) is None
    assert identify({"user": user}) is None


def test_users_and_their_logins_are_told_apart() -> None:
    changed = User(pk=1, username="ada", password="b")
    scopes: list[dict[str, Any]] = [
        {"user": ADA, "session": session("k" * 32)},
        {"user": ADA, "session": session("l" * 32)},
        {"user": BOB, "session": session("k" * 32)},
        {"user": ADA},
        {"user": BOB},
        {"user": changed},
        {"user": Stateless(1)},
        {"user": Stateless("x")},
        {},
    ]
    found = [identify(scope) for scope in scopes]
    assert None not in found
    assert len(set(found)) == len(scopes)
    again = [identify(scope) for scope in scopes]
    assert found == again


@pytest.mark.parametrize("scope", [{"session": None}, {"session": {}}, {"session": session(None)}])
def test_without_a_session_a_changed_password_is_seen(scope: dict[str, Any]) -> None:
    lazy = SimpleLazyObject(lambda: User(pk=1, username="renamed", password="a"))
    changed = User(pk=1, username="ada", password="b")
    assert identify({"user": ADA, **scope}) == identify({"user": lazy, **scope})
    assert identify({"user": ADA, **scope}) != identify({"user": changed, **scope})


def test_a_change_of_the_password_is_another_login() -> None:
    request = HttpRequest()
    request.session, request.user = session(None), ADA
    request.session.create()
    request.session[SESSION_KEY] = "1"
    before = identify({"user": ADA, "session": request.session})
    update_session_auth_hash(request, ADA)
    after = identify({"user": ADA, "session": request.session})
    assert before != after
    request.session.flush()
    assert identify({"user": ADA, "session": request.session}) not in (before, after, None)


def test_sessions_in_cookies_are_known_by_what_is_in_them() -> None:
    """One that a view has changed is another one: there is nothing else that it is known by."""
    store = signed_cookies.SessionStore()
    store[SESSION_KEY] = "1"
    store.save()
    same = signed_cookies.SessionStore(store.session_key)
    assert identify({"user": ADA, "session": store}) == identify({"user": ADA, "session": same})
    same["more"] = 1
    same.save()
    assert identify({"user": ADA, "session": store}) != identify({"user": ADA, "session": same})


def test_the_key_of_a_session_is_not_shown() -> None:
    assert "k" * 8 not in repr(identify({"user": ADA, "session": session("k" * 32)}))


async def test_who_cannot_be_told_never_comes_back(connect: Connect, serve: Serve) -> None:
    serve(Rooms, RECOVERY=RECOVERY)
    client = await connect(auth={"rooms": ["a"]}, user=SimpleLazyObject(fail))
    client.drop()
    realtime.to("a").emit("n", 1)
    await client.connect()
    state = await client.call("state")
    assert (state["recovered"], state["lost"]) == (False, True)


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_stolen_pid(connect: Connect, serve: Serve, noticed: bool) -> None:
    """It is of no use to who cannot be told, and does no harm."""
    serve(Rooms, RECOVERY=RECOVERY)
    client = await connect(user=SimpleLazyObject(lambda: ADA))
    sid = client.sid
    if noticed:
        client.drop()
    for other in (SimpleLazyObject(fail), BOB, AnonymousUser(), Stateless(1)):
        thief = await connect(auth={"pid": client._pid}, user=other)
        assert thief.sid != sid
        assert (await thief.call("state"))["lost"]
    if not noticed:
        assert await client.call("state")
        client.drop()
    await client.connect()
    assert (client.recovered, client.sid) == (True, sid)
