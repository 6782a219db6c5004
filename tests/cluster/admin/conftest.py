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
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.chromium import DEADLINE, running_chromium
from tests.cluster.conftest import KINDS
from tests.clusters import LiveCluster
from tests.live import LiveServer
from tests.processes import ROOT
from tests.valkey import Valkey

PASSWORD = "a long password"

Join = Callable[..., socketio.SimpleClient]
Open = Callable[..., Page]

CREATE = """
import django, sys
django.setup()
from django.contrib.auth.models import Permission, User
root = User.objects.create_superuser("root", password=sys.argv[1])
staff = User(username="staff", is_staff=True, password=root.password)
staff.save()
staff.user_permissions.add(Permission.objects.get(codename="view_socket"))
"""


@pytest.fixture(scope="module")
def cluster(valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn, with a superuser "root", and "staff" who may view sockets."""
    with LiveCluster(KINDS, valkey) as cluster:
        env = {**os.environ, **cluster.env, "DATABASE_URL": cluster.database}
        env |= {"DJANGO_SETTINGS_MODULE": "tests.site.settings", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", CREATE, PASSWORD]
        subprocess.run(command, env=env, cwd=ROOT, check=True)
        yield cluster


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
def log_in(browser: Browser) -> Iterator[Open]:
    """A function that returns a tab of a user who has logged in to a server's admin."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def log_in(server: LiveServer, user: str = "root", script: str = "") -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(f"{server.url}/admin/login/?next=/admin/")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
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
