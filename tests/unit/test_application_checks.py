"""What `manage.py check` says of the ASGI application."""

from __future__ import annotations

from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator
from django.core.asgi import get_asgi_application
from django.core.checks import CheckMessage
from django.urls import path, re_path
from pytest_django import Settings

from realtime import NamespaceConsumer
from realtime.asgi import get_application

from .conftest import Serve
from .test_checks import found, ids

application: Any = None


class Main(NamespaceConsumer):
    """A consumer that lets everybody in."""


class Token:
    """A site's middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def token(app: Any) -> Any:
    async def authenticate(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return authenticate


async def own(scope: Any, receive: Any, send: Any) -> None:
    """A site's own consumer."""


@pytest.fixture(autouse=True)
def _asgi_application(settings: Settings) -> None:
    settings.ASGI_APPLICATION = f"{__name__}.application"


def check(monkeypatch: pytest.MonkeyPatch, made: Any) -> list[CheckMessage]:
    """Return what is said of an application."""
    monkeypatch.setattr(f"{__name__}.application", made)
    return found()


def by_type(http: Any, websocket: Any) -> ProtocolTypeRouter:
    return ProtocolTypeRouter({"http": http, "websocket": websocket})


def test_good_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    realtime = get_application()
    routes = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("own/", own)])))
    for made in (
        realtime,
        Token(realtime),
        token(realtime),
        by_type(realtime, realtime),
        by_type(realtime, AuthMiddlewareStack(realtime)),
        by_type(Token(realtime), Token(realtime)),
        by_type(token(realtime), token(realtime)),
        Token(by_type(realtime, realtime)),
        get_application(websocket=routes),
        by_type(realtime, URLRouter([path("ws/own/", own), re_path("", realtime)])),
        OriginValidator(realtime, ["*"]),
        own,  # nobody knows what is in it
    ):
        assert check(monkeypatch, made) == []


@pytest.mark.parametrize("around", [lambda app: app, Token, token], ids=["bare", "class", "def"])
def test_djangos_own(monkeypatch: pytest.MonkeyPatch, around: Any) -> None:
    for made in (get_asgi_application(), by_type(get_asgi_application(), own)):
        (message,) = check(monkeypatch, around(made))
        assert message.id == "realtime.W011"
        assert f"{__name__}.application" in message.msg
        assert "get_application()" in (message.hint or "")


def test_one_way_alone(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    realtime = get_application()
    (message,) = check(monkeypatch, by_type(get_asgi_application(), realtime))
    assert message.id == "realtime.E012"
    assert "'polling'" in message.msg
    for websocket in (own, URLRouter([path("own/", own)])):
        (message,) = check(monkeypatch, by_type(realtime, websocket))
        assert message.id == "realtime.E012"
        assert "'websocket'" in message.msg
    (message,) = check(monkeypatch, ProtocolTypeRouter({"http": realtime}))
    assert message.id == "realtime.E012"
    serve(Main, TRANSPORTS=["websocket"])
    assert check(monkeypatch, by_type(get_asgi_application(), realtime)) == []
    serve(Main, TRANSPORTS=["polling"])
    assert check(monkeypatch, by_type(realtime, own)) == []


def test_middleware_around_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    realtime = get_application()
    for made, name, kind in (
        (by_type(realtime, Token(realtime)), "Token", "'websocket' alone"),
        (by_type(realtime, AuthMiddlewareStack(Token(realtime))), "Token", "'websocket' alone"),
        (by_type(realtime, token(realtime)), "token.<locals>", "'websocket' alone"),
        (by_type(Token(realtime), realtime), "Token", "'http' alone"),
        (
            by_type(realtime, URLRouter([path("own/", own), re_path("", Token(realtime))])),
            "Token",
            "'websocket' alone",
        ),
    ):
        (message,) = check(monkeypatch, made)
        assert message.id == "realtime.W012"
        assert name in message.msg
        assert kind in message.msg
        assert "both" in (message.hint or "")


def test_a_validator_of_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    realtime = get_application()
    for websocket in (
        AllowedHostsOriginValidator(realtime),
        AllowedHostsOriginValidator(AuthMiddlewareStack(realtime)),
        OriginValidator(realtime, ["https://example.com"]),
    ):
        (message,) = check(monkeypatch, by_type(realtime, websocket))
        assert message.id == "realtime.W013"
        assert "CORS_ORIGINS" in (message.hint or "")


@pytest.mark.parametrize(
    ("route", "namespace", "claimed"),
    [
        (path("ws/chat/", own), "chat/", True),
        (path("ws/<str:room>/", own), "chat/", True),
        (re_path(r"^ws/(?P<room>\w+)/$", own), "chat/", True),
        (re_path(r"", own), "chat/", True),
        (path("ws/orders/7/", own), "orders/<int:pk>/", True),
        (path("ws/orders/<uuid:pk>/", own), "orders/<uuid:pk>/", True),
        (path("ws/", own), "", True),
        (path("ws/", URLRouter([path("chat/", own)])), "chat/", True),
        (path("ws/chat/<str:room>/", own), "chat/", False),
        (path("ws/orders/x/", own), "orders/<int:pk>/", False),
        (path("chat/", own), "chat/", False),
        (path("ws/chat", own), "other/", False),
        (re_path(r"^ws/(a|b)/$", own), "chat/", False),
    ],
    ids=str,
)
def test_paths_that_both_claim(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, route: Any, namespace: str, claimed: bool
) -> None:
    serve(routes=[path(namespace, Main.as_asgi())])
    application = get_application(websocket=AuthMiddlewareStack(URLRouter([route])))
    messages = check(monkeypatch, application)
    assert ids(messages) == (["realtime.W014"] if claimed else [])
    if claimed:
        assert "/ws/" in messages[0].msg
        assert "PLAIN_PATH" in (messages[0].hint or "")
    serve(routes=[path(namespace, Main.as_asgi())], PLAIN_PATH=None)
    assert check(monkeypatch, application) == []


def test_many_paths_are_counted(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    # With the one of the live page they are ten.
    serve(routes=[path(f"n{number}/", Main.as_asgi()) for number in range(9)])
    (message,) = check(monkeypatch, get_application(websocket=URLRouter([re_path("", own)])))
    assert message.id == "realtime.W014"
    assert message.msg.endswith("/ws/n2/ (/n2), and 7 more.")


@pytest.mark.parametrize("name", ["nowhere.application", f"{__name__}.nothing", "application", 5])
def test_what_cannot_be_loaded(settings: Settings, name: Any) -> None:
    settings.ASGI_APPLICATION = name
    (message,) = found()
    assert message.id == "realtime.E011"
    assert repr(name) in message.msg


def test_no_application(settings: Settings) -> None:
    for name in (None, ""):
        settings.ASGI_APPLICATION = name
        assert found() == []


def test_namespaces_that_cannot_be_loaded_are_named_once(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    made = get_application(websocket=URLRouter([path("ws/chat/", own)]))
    settings.REALTIME = {"NAMESPACES": "nowhere.namespaces"}
    assert ids(check(monkeypatch, made)) == ["realtime.E002"]


def test_one_path_for_both_wire_formats(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "PLAIN_PATH": "/socket.io/"}
    (message,) = found()
    assert message.id == "realtime.E001"
    assert "None" in (message.hint or "")
