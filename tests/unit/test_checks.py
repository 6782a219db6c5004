"""What `manage.py check` says of the settings."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import daphne
import pytest
from django.core.checks import INFO, CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from django.test import override_settings
from django.urls import path
from pytest_django import Settings

from realtime import NamespaceConsumer, event
from realtime.checks.installation import check_logins
from realtime.checks.layers import check_layer
from realtime.webservers import adapters

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
    ("dotted", "said"),
    [
        ("", "is not set"),
        ("nowhere.to.be.found", "nowhere"),
        ("tests.unit.routing.nothing", "nothing"),
        ("tests.unit.routing.OrderConsumer", "does not appear to have any patterns"),
    ],
)
def test_namespaces_that_cannot_be_loaded(settings: Settings, dotted: str, said: str) -> None:
    settings.REALTIME = {"NAMESPACES": dotted}
    (message,) = found()
    assert message.id == "realtime.E002"
    assert said in message.msg
    assert "NAMESPACES" in (message.hint or "")


def test_a_route_that_is_no_consumer(serve: Serve) -> None:
    serve(routes=[path("view/", lambda request: None), path("", NamespaceConsumer.as_asgi())])
    (message,) = found()
    assert message.id == "realtime.E002"
    assert "not a consumer" in message.msg


class Limited(NamespaceConsumer):
    rate_limits = {"mesage": "5/s", "*": "100/m"}

    @event
    async def message(self, text: str) -> None: ...


class LimitedTogether(Limited):
    async def receive(self, event: str, *args: Any) -> None: ...


def test_rate_limits_of_events_that_nobody_handles(serve: Serve) -> None:
    serve(Limited)
    (message,) = found()
    assert message.id == "realtime.W009"
    assert "'mesage'" in message.msg
    assert message.hint
    serve(LimitedTogether)
    assert found() == []
    serve(routes=[path("", Limited.as_asgi(rate_limits={"message": "5/s"}))])
    assert found() == []
    serve(routes=[path("", Limited.as_asgi(rate_limits={"other": "5/s"}))])
    assert "'other'" in found()[0].msg


@pytest.mark.parametrize(
    ("handler", "said", "hinted"),
    [
        ("@event\n    async def join(self, room): ...", "Chat.join", '@event("join")'),
        ("@event\n    async def connect(self, auth): ...", "Chat.connect", "without @event"),
        ("@event\n    async def hi(self, user: User): ...", "User is a model", "pk: int"),
        ("@event\n    async def hi(self, user: Usr): ...", "'Usr'", "TYPE_CHECKING"),
        ("rate_limits = {'*': 'often'}", "not 'often'", '"5/s"'),
        ("async def connect(self): ...", "Chat.connect", "connect(self, auth)"),
    ],
)
def test_a_consumer_that_cannot_work(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    handler: str,
    said: str,
    hinted: str,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrong_site.py").write_text(
        "from __future__ import annotations\n"
        "from django.contrib.auth.models import User\n"
        "from django.urls import path\n"
        "from realtime import NamespaceConsumer, event\n"
        f"class Chat(NamespaceConsumer):\n    {handler}\n"
        "namespaces = [path('', Chat.as_asgi())]\n"
    )
    importlib.invalidate_caches()
    sys.modules.pop("wrong_site", None)
    settings.REALTIME = {"NAMESPACES": "wrong_site.namespaces"}
    (message,) = [message for message in found() if message.id == "realtime.E006"]
    assert said in message.msg
    assert hinted in (message.hint or "")
    with pytest.raises(SystemCheckError, match=r"realtime\.E006"):
        call_command("check")


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


PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


@pytest.mark.parametrize(
    ("backend", "config", "why"),
    [
        (PUBSUB, {"hosts": ["redis://127.0.0.1:1"]}, ""),
        (PUBSUB, {"hosts": ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]}, "several hosts"),
        (REDIS, {"hosts": ["redis://127.0.0.1:1"], "capacity": 9000}, "RedisChannelLayer"),
        ("channels.layers.InMemoryChannelLayer", {}, "InMemoryChannelLayer"),
    ],
)
@pytest.mark.parametrize("log", ["auto", "memory", "redis"])
async def test_a_log_that_cannot_be_had(
    settings: Any, backend: str, config: dict[str, Any], why: str, log: str
) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": config}}
    settings.REALTIME = {"RECOVERY": {"SECONDS": 60, "LOG": log}}
    messages = [each for each in check_layer() if each.id == "realtime.E015"]
    if log == "redis" and why:
        (message,) = messages
        assert why in message.msg
        assert message.hint
    else:
        assert not messages


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
        ({"channel_capacity": {"specific.*": 10}}, ["realtime.W001"]),
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


def test_a_layer_that_is_made_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its limits are read from is its own, and no reason for the checks to fail."""
    monkeypatch.delattr("channels_redis.core.RedisChannelLayer.create_pool")
    settings.CHANNEL_LAYERS = redis(socket_timeout=5)
    assert found() == []


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
    monkeypatch.setattr("realtime.checks.servers.find_spec", lambda name: name in installed or None)
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "daphne"]
    assert ids(found()) == ["realtime.W008"] * warned


@pytest.mark.parametrize("prefix", ["app", "/app/", "app/", "/", "//app"])
def test_a_prefix_that_no_path_has(settings: Settings, prefix: str) -> None:
    settings.FORCE_SCRIPT_NAME = prefix
    assert ids(found()) == ["realtime.W015"]


@pytest.mark.parametrize("prefix", [None, "", "/app", "/a/b"])
@pytest.mark.parametrize("path", ["/socket.io/", "/application/", "/bapp/socket.io/"])
def test_a_prefix_as_it_should_be(settings: Settings, prefix: str | None, path: str) -> None:
    settings.FORCE_SCRIPT_NAME = prefix
    settings.REALTIME = {**settings.REALTIME, "PATH": path}
    assert ids(found()) == []


@pytest.mark.parametrize("name", ["PATH", "PLAIN_PATH"])
def test_a_path_that_has_the_prefix_itself(settings: Settings, name: str) -> None:
    settings.FORCE_SCRIPT_NAME = "/app"
    settings.REALTIME = {**settings.REALTIME, name: "/app/live/"}
    (warning,) = found()
    assert warning.id == "realtime.W015"
    assert warning.hint is not None
    assert '"/live/"' in warning.hint


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


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"ENGINE": "django.db.backends.dummy"}, "there is no database"),
        ({"NAME": ":memory:"}, "in memory"),
        ({"NAME": "file:memorydb_default?mode=memory&cache=shared"}, ""),
        ({"NAME": "db.sqlite3"}, ""),
    ],
)
def test_once_without_a_database(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, config: dict[str, str], problem: str
) -> None:
    for name, value in config.items():
        monkeypatch.setitem(connections["default"].settings_dict, name, value)
    assert found() == []  # nobody needs it

    class Shop(NamespaceConsumer):
        @event(once="key")
        async def pay(self, key: str) -> None: ...

        @event
        async def look(self, key: str) -> None: ...

    serve(Shop, routes=[path("again/", Shop.as_asgi())])
    messages = found()
    assert ids(messages) == ["realtime.E014"] * bool(problem)
    for message in messages:
        assert problem in message.msg
        assert "Shop.pay" in message.msg
        assert message.hint


CONTRIB = "django.contrib"
USERS = ["realtime", f"{CONTRIB}.contenttypes", f"{CONTRIB}.auth"]


@pytest.mark.parametrize(
    ("installed", "engine", "said"),
    [
        (["realtime"], "db", {"realtime.E008": "auth.User", "realtime.W010": f"{CONTRIB}.auth"}),
        (USERS, "db", {"realtime.W010": f"{CONTRIB}.sessions"}),
        (USERS, "cached_db", {"realtime.W010": f"{CONTRIB}.sessions"}),
        (USERS, "signed_cookies", {}),
        (USERS, "cache", {}),
        (USERS, "file", {}),
        (USERS, "nowhere", {"realtime.E007": "nowhere"}),
        ([*USERS, f"{CONTRIB}.sessions"], "db", {}),
    ],
)
def test_sites_that_do_not_know_their_clients(
    installed: list[str], engine: str, said: dict[str, str]
) -> None:
    engine = f"{CONTRIB}.sessions.backends.{engine}"
    with override_settings(INSTALLED_APPS=installed, SESSION_ENGINE=engine):
        messages = list(check_logins())
    assert sorted(ids(messages), key=str) == sorted(said)
    for message in messages:
        assert said[str(message.id)] in message.msg
        assert message.hint


@pytest.mark.parametrize(
    ("tenants", "where"),
    [
        ({"SHARED_APPS": ["realtime"], "TENANT_APPS": ["shop"]}, ""),
        ({"SHARED_APPS": [], "TENANT_APPS": ["shop", "realtime"]}, "TENANT_APPS"),
        ({"SHARED_APPS": ["realtime"], "TENANT_APPS": ["realtime"]}, "TENANT_APPS"),
        ({"TENANT_APPS": ["realtime.apps.RealtimeConfig"]}, "TENANT_APPS"),
        ({"TENANT_TYPES": {"public": {"APPS": ["realtime"]}, "shop": {"APPS": []}}}, ""),
        (
            {"TENANT_TYPES": {"public": {"APPS": []}, "shop": {"APPS": ["realtime"]}}},
            "TENANT_TYPES['shop']",
        ),
    ],
)
def test_tables_of_single_tenants(tenants: dict[str, Any], where: str) -> None:
    with override_settings(**tenants):
        messages = found()
    assert ids(messages) == ["realtime.E009"] * bool(where)
    for message in messages:
        assert where in message.msg
        assert "SHARED_APPS" in (message.hint or "")


# Functions that settings name


def two_arguments(request: Any, more: Any) -> None: ...


async def waits(error: Any) -> None: ...


def unsendable(error: Any) -> Any:
    return object()


def fails(error: Any) -> Any:
    raise KeyError(error.data)


@pytest.mark.parametrize("name", ["PERMISSION", "ERROR_ACK"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no.such.module", "cannot be loaded"),
        ("realtime.permissions.nobody", "cannot be loaded"),
        ("realtime.conf.TRANSPORTS", "is a tuple"),
        ("tests.unit.test_checks.two_arguments", "cannot be called with one argument"),
        ("tests.unit.test_checks.waits", "is an async function"),
    ],
)
def test_a_function_that_cannot_be_called(
    settings: Settings, name: str, path: str, problem: str
) -> None:
    settings.REALTIME = {**settings.REALTIME, name: path}
    (message,) = found()
    assert message.id == "realtime.E013"
    assert name in message.msg
    assert problem in message.msg
    assert "dotted path" in (message.hint or "")


@pytest.mark.parametrize(
    ("function", "problem"), [("unsendable", "object"), ("fails", "KeyError"), ("", "E001")]
)
def test_a_shape_of_errors_that_fails(settings: Settings, function: str, problem: str) -> None:
    path = f"tests.unit.test_checks.{function}" if function else ""
    settings.REALTIME = {**settings.REALTIME, "ERROR_ACK": path}
    (message,) = found()
    assert problem in f"{message.id} {message.msg}"


def test_functions_of_a_site_that_will_do(settings: Settings) -> None:
    settings.REALTIME = {
        **settings.REALTIME,
        "PERMISSION": "realtime.permissions.allow_any",
        "ERROR_ACK": "tests.site.errors.node_style",
    }
    assert found() == []


@pytest.mark.parametrize("package", ["daphne", "autobahn", "twisted", "uvicorn", "websockets"])
@pytest.mark.parametrize("given", ["0.1.0", "9999.0"], ids=["older", "newer"])
def test_a_server_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, package: str, given: str
) -> None:
    installed = adapters.version
    monkeypatch.setattr(
        adapters, "version", lambda name: given if name == package else installed(name)
    )
    adapters.find_unknown.cache_clear()
    (message,) = found()
    server = "uvicorn" if package in ("uvicorn", "websockets") else "daphne"
    assert (message.id, message.level) == ("realtime.I002", INFO)
    assert f"{package} {given} is not known" in message.msg
    assert server in message.msg
    assert "DIRECT_IO" in (message.hint or "")
    settings.REALTIME = {"NAMESPACES": NAMESPACES, "DIRECT_IO": False}
    assert found() == []


@pytest.mark.parametrize("package", ["daphne", "uvicorn", "websockets", "wsproto"])
def test_a_server_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    installed = adapters.version

    def version(name: str) -> str:
        if name == package:
            raise PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(adapters, "version", version)
    adapters.find_unknown.cache_clear()
    assert found() == []


@pytest.fixture(autouse=True)
def _versions_are_found_anew() -> Iterator[None]:
    yield
    adapters.find_unknown.cache_clear()
