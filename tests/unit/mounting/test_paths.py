"""Where a site is mounted: the part of a path that is the site's own."""

from __future__ import annotations

from typing import Any

import django
import pytest
from django.core.handlers.asgi import ASGIRequest
from django.urls import get_script_prefix, set_script_prefix
from pytest_django import Settings

from realtime.asgi import Realtime, get_application
from realtime.mounting.paths import client_path, path_info

from ..conftest import Serve
from ..test_asgi import CLOSE, CONNECT, HANDSHAKE, Site, ask, request, websocket

PATHS = [
    "/",
    "",
    "/app",
    "/app/",
    "/app/socket.io/",
    "/app/app/socket.io/",
    "/socket.io/",
    "/application/socket.io/",
    "/apple",
    "/x/app/socket.io/",
    "/app//socket.io/",
    "/Приложение/socket.io/",
]
PREFIXES = [None, "", "/app", "/Приложение", "/x/app", "/socket.io", "/other"]

# Before 6.1 Django counted "/app" as a prefix of "/apple", and took the last slash of one away.
TIDY = django.VERSION >= (6, 1)


@pytest.mark.parametrize("forced", [*PREFIXES, *(["/app/", "/"] if TIDY else [])])
@pytest.mark.parametrize("root_path", [*PREFIXES, *(["/app/", "/"] if TIDY else [])])
def test_the_rule_is_djangos(settings: Settings, forced: str | None, root_path: str | None) -> None:
    settings.FORCE_SCRIPT_NAME = forced
    prefix = forced or root_path
    for path in PATHS:
        if not TIDY and prefix and path.startswith(prefix) and path[len(prefix) :][:1] not in "/":
            continue
        scope = request(path, root_path=root_path)
        assert path_info(scope) == ASGIRequest(scope, None).path_info, (path, prefix)


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/application/socket.io/", "/app", "/application/socket.io/"),
        ("/socket.io/", "/socket", "/socket.io/"),
        ("/app/socket.io/", "/app/", "/socket.io/"),
        ("/app//socket.io/", "/app/", "//socket.io/"),
        ("/app", "/app/", ""),
        ("/socket.io/", "/", "/socket.io/"),
    ],
)
def test_prefixes_are_whole_words(
    settings: Settings, path: str, prefix: str, expected: str
) -> None:
    assert path_info(request(path, root_path=prefix)) == expected
    settings.FORCE_SCRIPT_NAME = prefix
    assert path_info(request(path, root_path="/elsewhere")) == expected


def test_a_scope_need_not_name_a_prefix() -> None:
    assert path_info({"type": "http", "path": "/socket.io/"}) == "/socket.io/"


# What is served


MOUNTS = [
    ("/app", "", "/app"),  # the proxy keeps the prefix
    ("/app", "", ""),  # it takes it off
    ("/app", "/app", "/app"),  # uvicorn --root-path, runserver
    (None, "/app", "/app"),
    (None, "/app", ""),
    ("/app", "/elsewhere", "/app"),  # the setting counts
    (None, None, ""),
]


@pytest.mark.parametrize(("forced", "root_path", "prefix"), MOUNTS)
async def test_socketio_is_found(
    settings: Settings, forced: str | None, root_path: str | None, prefix: str
) -> None:
    settings.FORCE_SCRIPT_NAME = forced
    site = Site()
    for path in (f"{prefix}/socket.io/", f"{prefix}/socket.io"):
        scope = request(path, HANDSHAKE, root_path=root_path)
        start, _ = await ask(Realtime(site), scope)
        assert start["status"] == 200
    assert site.scopes == []
    other = request(f"{prefix}/application/socket.io/", HANDSHAKE, root_path=root_path)
    await ask(Realtime(site), other)
    assert site.scopes == [other]


@pytest.mark.parametrize(("forced", "root_path", "prefix"), MOUNTS)
async def test_plain_websockets_are_found(
    settings: Settings, serve: Serve, forced: str | None, root_path: str | None, prefix: str
) -> None:
    settings.FORCE_SCRIPT_NAME = forced
    scope = websocket(f"{prefix}/ws/nowhere/", root_path=root_path)
    accepted, closed = await ask(Realtime(Site()), scope, CONNECT)
    assert accepted["type"] == "websocket.accept"
    assert closed["reason"] == "Invalid namespace"
    other = websocket(f"{prefix}/wsx/", root_path=root_path)
    assert await ask(Realtime(Site()), other, CONNECT) == [CLOSE]


# What pages are told


@pytest.fixture
def _prefix_is_put_back() -> Any:
    before = get_script_prefix()
    yield
    set_script_prefix(before)


@pytest.mark.usefixtures("_prefix_is_put_back")
@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/", "/socket.io/", "/socket.io/"),
        ("/app", "/socket.io/", "/app/socket.io/"),
        ("/app/", "/io/v2/", "/app/io/v2/"),
        ("/Сайт", "/socket.io/", "/%D0%A1%D0%B0%D0%B9%D1%82/socket.io/"),
    ],
)
def test_path_for_clients(serve: Serve, prefix: str, path: str, expected: str) -> None:
    serve(PATH=path)
    set_script_prefix(prefix)
    assert client_path() == expected


# Static files while a site is developed


STATIC = ["realtime/realtime.js", "realtime/live.css"]


async def status(app: Any, path: str, **more: Any) -> int:
    start, *_ = await ask(app, request(path, **more), {"type": "http.request", "body": b""})
    return int(start["status"])


@pytest.mark.usefixtures("_prefix_is_put_back")
@pytest.mark.parametrize(("forced", "root_path", "prefix"), MOUNTS)
@pytest.mark.parametrize("url", ["static/", "/assets/"])
async def test_static_files_with_debug(
    settings: Settings, forced: str | None, root_path: str | None, prefix: str, url: str
) -> None:
    settings.DEBUG = True
    settings.FORCE_SCRIPT_NAME = forced
    set_script_prefix(forced or "/")  # as django.setup() does
    settings.STATIC_URL = url
    app = get_application()
    for name in STATIC:
        assert await status(app, f"{prefix}/{url.strip('/')}/{name}", root_path=root_path) == 200
    missing = f"{prefix}/{url.strip('/')}/realtime/none.js"
    assert await status(app, missing, root_path=root_path) == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", False),
        ("STATIC_URL", None),
        ("STATIC_URL", "https://cdn.example.com/static/"),
        ("INSTALLED_APPS", ["realtime", "django.contrib.auth", "django.contrib.contenttypes"]),
    ],
)
async def test_static_files_are_left_to_others(settings: Settings, name: str, value: Any) -> None:
    settings.DEBUG = True
    setattr(settings, name, value)
    settings.ROOT_URLCONF = "realtime.urls"
    assert await status(get_application(), "/static/realtime/realtime.js") == 404
