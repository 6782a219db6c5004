"""A cluster with staff, and a browser."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import socketio
from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import DEADLINE, running_chromium
from tests.cluster.conftest import KINDS
from tests.clusters import LiveCluster
from tests.live import LiveServer
from tests.processes import ROOT
from tests.valkey import Valkey

Join = Callable[..., socketio.SimpleClient]
Open = Callable[..., Page]

CREATE = """
import django
django.setup()
from django.contrib.auth.models import Permission, User
from django.test import Client
root = User.objects.create_superuser("root")
staff = User.objects.create_user("staff", is_staff=True)
staff.user_permissions.add(Permission.objects.get(codename="view_socket"))
for user in (root, staff):
    client = Client()
    client.force_login(user)
    print(user.username, client.cookies["sessionid"].value)
"""


@pytest.fixture(scope="module")
def cluster(valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn."""
    with LiveCluster(KINDS, valkey) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sessions(cluster: LiveCluster) -> dict[str, str]:
    """The keys of sessions of a superuser, "root", and of "staff" who may view sockets."""
    env = {**os.environ, **cluster.env, "DATABASE_URL": cluster.database}
    env |= {"DJANGO_SETTINGS_MODULE": "tests.site.settings", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CREATE]
    done = subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    name, key, other, others = done.stdout.split()
    return {name: key, other: others}


@contextmanager
def database(cluster: LiveCluster) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the cluster's database; changes are committed."""
    path = Path(cluster.database.removeprefix("sqlite:///"))
    connection = sqlite3.connect(path, timeout=20)
    with connection:
        yield connection
    connection.close()


@pytest.fixture(scope="module")
def wsgi(cluster: LiveCluster) -> Iterator[LiveServer]:
    """A WSGI server of the same site, which has no clients of its own."""
    with LiveServer(
        "gunicorn",
        env=cluster.env,
        database=cluster.database,
        application="tests.site.wsgi:application",
    ) as server:
        yield server


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, cluster: LiveCluster) -> LiveServer:
    """The server whose admin is used: one without the clients, of each kind in turn."""
    if request.param == "asgi":
        return cluster[0]
    server: LiveServer = request.getfixturevalue("wsgi")
    return server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def log_in(browser: Browser, sessions: dict[str, str]) -> Iterator[Open]:
    """A function that returns a tab of a user who has logged in to a server's admin."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def log_in(server: LiveServer, user: str = "root", script: str = "") -> Page:
        context = browser.new_context()
        contexts.append(context)
        cookie = {"name": "sessionid", "value": sessions[user], "url": server.url}
        context.add_cookies([cookie])  # type: ignore[list-item]
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if script:
            page.add_init_script(script)
        return page

    yield log_in
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def join() -> Iterator[Join]:
    """A function ``(server, *rooms)`` that returns a new client of "/cluster" in the rooms."""
    with ExitStack() as stack:

        def join(server: LiveServer, *rooms: str) -> socketio.SimpleClient:
            client = stack.enter_context(socketio.SimpleClient(reconnection=False))
            client.connect(
                server.url,
                namespace="/cluster",
                auth={"rooms": list(rooms)},
                transports=["websocket"],
                wait_timeout=20,
            )
            return client

        yield join


@pytest.fixture
def room() -> str:
    """A room that no other test knows."""
    return f"Зал {uuid4().hex[:8]}"
