"""Who is let into a namespace: what a class declares, asked before anything of the site runs."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError, connections
from django.urls import path
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings

from realtime import ConnectionRefused, NamespaceConsumer
from realtime.identity import outages
from realtime.identity.logins import Nobody
from realtime.testing import Client
from tests.unit.conftest import Serve
from tests.unit.probes import Probe

from .users import SEND, VIEW, new_user

LOG_IN = ("log in first", {"code": 401})
DENIED = ("permission denied", {"code": 403})
INACTIVE = ("this account is not active", {"code": 403})


class LoggedIn(NamespaceConsumer):
    login_required = True


class Viewers(NamespaceConsumer):
    permission_required = VIEW


class Both(NamespaceConsumer):
    login_required = True
    permission_required = [VIEW, SEND]


class Asking(NamespaceConsumer):
    def has_permission(self) -> bool:
        return self.query.get("key") == "open sesame"


async def enter(user: Any, namespace: str = "/", **options: Any) -> tuple[str, Any] | None:
    """Come as a user; return the refusal's message and data, or None."""
    client = Client(namespace, user=user, **options)
    try:
        async with client:
            return None
    except ConnectionRefused as refusal:
        return refusal.message, refusal.data


@pytest.mark.parametrize(
    ("consumer", "answers"),
    [
        # nobody, somebody, may view, may view and send, inactive and may, a superuser
        (NamespaceConsumer, [None, None, None, None, None, None]),
        (LoggedIn, [LOG_IN, None, None, None, INACTIVE, None]),
        (Viewers, [LOG_IN, DENIED, None, None, INACTIVE, None]),
        (Both, [LOG_IN, DENIED, DENIED, None, INACTIVE, None]),
        (Asking, [LOG_IN, DENIED, DENIED, DENIED, INACTIVE, DENIED]),
    ],
)
async def test_who_comes_in(
    transactional_db: None,
    serve: Serve,
    consumer: type[NamespaceConsumer],
    answers: list[tuple[str, Any] | None],
) -> None:
    serve(consumer)
    users = [
        AnonymousUser(),
        await new_user("ann"),
        await new_user("bob", VIEW),
        await new_user("cleo", VIEW, SEND, group="staff"),
        await new_user("dan", VIEW, SEND, is_active=False),
        await new_user("eve", is_superuser=True),
    ]
    assert [await enter(user) for user in users] == answers


async def test_who_is_nobody_may_have_a_permission(serve: Serve) -> None:
    """As in Django's views; and there it stays nobody who may not be refused by a login."""
    serve(Asking)
    scope = {"query_string": b"key=open%20sesame"}
    assert await enter(AnonymousUser(), scope=scope) is None
    assert await enter(AnonymousUser()) == LOG_IN


@pytest.mark.parametrize("consumer", [LoggedIn, Viewers, Both])
async def test_a_site_without_users(serve: Serve, consumer: type[NamespaceConsumer]) -> None:
    serve(consumer)
    assert await enter(Nobody()) == LOG_IN


class TokenUser:
    """Somebody whom middleware knows by a token, without the database."""

    is_authenticated = True
    pk = "7"


@pytest.mark.parametrize(("consumer", "answer"), [(LoggedIn, None), (Viewers, DENIED)])
async def test_a_user_who_is_none_of_djangos(
    serve: Serve, consumer: type[NamespaceConsumer], answer: Any
) -> None:
    serve(consumer)
    assert await enter(TokenUser()) == answer


async def test_a_lazy_user_is_looked_up_in_a_thread(transactional_db: None, serve: Serve) -> None:
    ann = await new_user("ann")
    serve(LoggedIn)

    def look_up() -> User:
        return User.objects.get(pk=ann.pk)

    assert await enter(SimpleLazyObject(look_up)) is None


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_has_permission_is_written_in_either_way(
    serve: Serve, probe: Probe, kind: str
) -> None:
    class Plain(NamespaceConsumer):
        def has_permission(self) -> bool:
            probe.note(threading.current_thread() is threading.main_thread())
            return self.kwargs["pk"] == 7

    class Async(NamespaceConsumer):
        async def has_permission(self) -> bool:
            probe.note(threading.current_thread() is threading.main_thread())
            return self.kwargs["pk"] == 7

    consumer = Plain if kind == "def" else Async
    serve(routes=[path("items/<int:pk>/", consumer.as_asgi())])
    user = User(username="ann", pk=1)
    assert await enter(user, "/items/7") is None
    assert await enter(user, "/items/8") == DENIED
    assert [await probe.next(), await probe.next()] == [kind == "async def"] * 2


async def test_has_permission_may_say_why(serve: Serve) -> None:
    class Closed(NamespaceConsumer):
        def has_permission(self) -> bool:
            raise ConnectionRefused("closed on Sundays", {"opens": "Monday"}, code="closed")

    serve(Closed)
    answer = ("closed on Sundays", {"opens": "Monday", "code": "closed"})
    assert await enter(User(username="ann", pk=1)) == answer


async def test_permissions_of_objects(
    transactional_db: None, serve: Serve, settings: Settings
) -> None:
    """`has_perm(permission, object)` is asked as anywhere in Django."""

    class Own(NamespaceConsumer):
        def has_permission(self) -> bool:
            whose = User.objects.get(pk=self.kwargs["pk"])
            return bool(self.user.has_perm("auth.change_user", whose))

    serve(routes=[path("people/<int:pk>/", Own.as_asgi())])
    ann, bob = await new_user("ann"), await new_user("bob")
    backend = "tests.unit.authority.backends.OwnersBackend"
    settings.AUTHENTICATION_BACKENDS = [backend]
    assert await enter(ann, f"/people/{ann.pk}") is None
    assert await enter(ann, f"/people/{bob.pk}") == DENIED


async def test_nothing_of_the_site_runs_before_it(serve: Serve, probe: Probe) -> None:
    class Guarded(LoggedIn):
        async def connect(self, auth: Any) -> None:
            probe.note("connect")

        async def disconnect(self, reason: str) -> None:
            probe.note("disconnect")

    serve(Guarded)
    assert await enter(AnonymousUser()) == LOG_IN
    assert await probe.empty()
    assert await enter(User(username="ann", pk=1)) is None
    assert [await probe.next(), await probe.next()] == ["connect", "disconnect"]


async def test_a_namespace_is_no_reason_for_another(serve: Serve, new_wire: Any) -> None:
    serve(LoggedIn, routes=[path("open/", NamespaceConsumer.as_asgi())])
    wire = new_wire()
    answer = await wire.connect()
    assert answer == '44{"message":"log in first","data":{"code":401}}'
    assert (await wire.connect("/open")).startswith("40/open,")


async def test_a_route_may_declare_more_than_the_class(serve: Serve) -> None:
    serve(routes=[path("", NamespaceConsumer.as_asgi(login_required=True))])
    assert await enter(AnonymousUser()) == LOG_IN
    assert await enter(User(username="ann", pk=1)) is None


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (OperationalError("away"), (outages.MESSAGE, outages.DATA)),
        (RuntimeError("secret"), ("server error", None)),
    ],
)
async def test_who_cannot_be_asked_for_is_refused(
    serve: Serve, error: Exception, answer: Any
) -> None:
    class Failing(NamespaceConsumer):
        def has_permission(self) -> bool:
            raise error

    serve(Failing)
    assert await enter(User(username="ann", pk=1)) == answer


async def test_the_threads_connections_are_closed(
    transactional_db: None, serve: Serve, probe: Probe
) -> None:
    class Noting(Viewers):
        def has_permission(self) -> Any:
            allowed = super().has_permission()
            probe.note(connections["default"])
            return allowed

    serve(Noting)
    assert await enter(await new_user("ann", VIEW)) is None
    assert (await probe.next()).connection is None
