"""What `manage.py check` says of the settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import daphne
import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from pytest_django import Settings

from realtime import NamespaceConsumer

from .conftest import NAMESPACES, Serve

REDIS = "channels_redis.core.RedisChannelLayer"
IN_MEMORY = "channels.layers.InMemoryChannelLayer"


def found(deploy: bool = False) -> list[CheckMessage]:
    """Return what the checks of the app say, with those of ``--deploy`` or without."""
    messages = run_checks(include_deployment_checks=deploy, databases=[])
    return [message for message in messages if (message.id or "").startswith("realtime.")]


def ids(messages: Iterable[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_nothing_is_wrong() -> None:
    assert found() == []


def test_wrong_settings_are_errors_with_hints(settings: Settings) -> None:
    settings.REALTIME = {"NAMESPACES": NAMESPACES, "PING_INTERVAL": -1, "CORS": []}
    messages = found()
    assert ids(messages) == ["realtime.E001", "realtime.E001"]
    assert "'PING_INTERVAL'" in messages[0].msg
    assert "seconds" in (messages[0].hint or "")
    assert "'CORS'" in messages[1].msg
    assert "CORS_ORIGINS" in (messages[1].hint or "")


@pytest.mark.django_db  # the command looks at it
def test_check_fails_on_them(settings: Settings) -> None:
    settings.REALTIME = {"PATH": "socket.io"}
    with pytest.raises(SystemCheckError, match=r"realtime\.E001"):
        call_command("check")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "is not set"),
        ("nowhere.to.be.found", "nowhere"),
        ("tests.unit.routing.nothing", "nothing"),
        ("tests.unit.routing.OrderConsumer", "does not appear to have any patterns"),
    ],
)
def test_namespaces_that_cannot_be_loaded(settings: Settings, path: str, said: str) -> None:
    settings.REALTIME = {"NAMESPACES": path}
    (message,) = found()
    assert message.id == "realtime.E002"
    assert said in message.msg
    assert "NAMESPACES" in (message.hint or "")


def test_a_route_that_is_no_consumer(serve: Serve) -> None:
    from django.urls import path

    serve(routes=[path("view/", lambda request: None), path("", NamespaceConsumer.as_asgi())])
    (message,) = found()
    assert message.id == "realtime.E002"
    assert "not a consumer" in message.msg


def test_a_layer_that_is_not_there(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"other": redis()["default"]}
    (message,) = found()
    assert message.id == "realtime.E003"
    assert "'default'" in message.msg
    settings.REALTIME = {"NAMESPACES": NAMESPACES, "CHANNEL_LAYER": "other"}
    assert found() == []


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"BACKEND": "nowhere.Layer"}, "nowhere"),
        ({"BACKEND": REDIS, "CONFIG": {"hosts": "redis://127.0.0.1"}}, "list of Redis hosts"),
        ({"BACKEND": REDIS, "CONFIG": {"capacty": 1}}, "capacty"),
    ],
)
def test_a_layer_that_cannot_be_made(settings: Settings, layer: dict[str, Any], said: str) -> None:
    settings.CHANNEL_LAYERS = {"default": layer}
    (message,) = found()
    assert message.id == "realtime.E005"
    assert said in message.msg


def redis(socket_timeout: int | None = 15, **config: Any) -> dict[str, Any]:
    """Return CHANNEL_LAYERS with a layer that loses nothing, but for these settings."""
    host = {"address": "redis://127.0.0.1:1", "socket_timeout": socket_timeout}
    return {"default": {"BACKEND": REDIS, "CONFIG": {"hosts": [host], "capacity": 9000, **config}}}


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        ({}, []),
        ({"capacity": 1000, "expiry": 30, "group_expiry": 60, "socket_timeout": 6}, []),
        ({"capacity": 999}, ["realtime.W001"]),
        ({"channel_capacity": {"realtime.*": 10}}, ["realtime.W001"]),
        ({"channel_capacity": {"other.*": 10}}, []),
        ({"expiry": 29}, ["realtime.W004"]),
        ({"group_expiry": 59}, ["realtime.W005"]),
        ({"socket_timeout": 5}, ["realtime.W006"]),
        ({"socket_timeout": None}, []),
        ({"hosts": ["redis://127.0.0.1:1?socket_timeout=1"]}, ["realtime.W006"]),
    ],
)
def test_a_layer_that_loses_messages(
    settings: Settings, config: dict[str, Any], warned: list[str]
) -> None:
    settings.CHANNEL_LAYERS = redis(**config)
    messages = found()
    assert ids(messages) == warned
    assert all(message.hint for message in messages)


def test_other_layers_have_no_such_limits(settings: Settings) -> None:
    pubsub = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": pubsub}
    assert found() == []


@pytest.mark.parametrize("layers", [{}, {"default": {"BACKEND": IN_MEMORY}}])
def test_a_layer_in_memory_is_not_for_deployment(
    settings: Settings, layers: dict[str, Any]
) -> None:
    settings.CHANNEL_LAYERS = layers
    assert found() == []
    assert ids(found(deploy=True)) == ["realtime.W007"]


def test_presence_of_several_machines_in_a_file(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = redis()
    settings.REALTIME = {"NAMESPACES": NAMESPACES, "PRESENCE": True}
    assert ids(found(deploy=True)) == ["realtime.I001"]
    settings.REALTIME = {"NAMESPACES": NAMESPACES, "PRESENCE": False}
    assert found(deploy=True) == []


@pytest.mark.parametrize(
    ("installed", "warned"),
    [
        ({"uvicorn"}, True),
        ({"uvicorn", "websockets"}, False),
        ({"uvicorn", "wsproto"}, False),
        ({"uvicorn", "daphne"}, False),
        (set(), False),
    ],
)
def test_a_uvicorn_without_websockets(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, installed: set[str], warned: bool
) -> None:
    monkeypatch.setattr("realtime.checks.find_spec", lambda name: name in installed or None)
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "daphne"]
    assert ids(found()) == ["realtime.W008"] * warned


def test_daphne_behind_staticfiles(settings: Settings) -> None:
    apps = [app for app in settings.INSTALLED_APPS if app != "daphne"]
    settings.INSTALLED_APPS = [*apps, "daphne"]
    (message,) = found()
    assert message.id == "realtime.E004"
    settings.INSTALLED_APPS = apps
    assert found() == []


@pytest.mark.parametrize(
    ("version", "warned"),
    [("4.2.1", True), ("3.0.2", True), ("4.2.2", False), ("4.10", False), ("5.0.0b1", False)],
)
def test_a_daphne_with_known_holes(
    monkeypatch: pytest.MonkeyPatch, version: str, warned: bool
) -> None:
    monkeypatch.setattr(daphne, "__version__", version)
    assert ("realtime.W002" in ids(found())) == warned


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"ENGINE": "django.db.backends.dummy"}, "there is no database"),
        ({"NAME": ":memory:"}, "in memory"),
        ({"NAME": "file:x?mode=memory&cache=shared"}, "in memory"),
        ({"NAME": "db.sqlite3"}, ""),
    ],
)
def test_presence_without_a_database(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, config: dict[str, str], problem: str
) -> None:
    for name, value in config.items():
        monkeypatch.setitem(connections["default"].settings_dict, name, value)
    assert found() == []  # it is off
    settings.REALTIME = {"NAMESPACES": NAMESPACES}
    messages = found()
    assert [message.id for message in messages] == ["realtime.W003"] * bool(problem)
    assert all(problem in message.msg and message.hint for message in messages)
