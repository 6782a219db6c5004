"""Sites that do not know their clients: without users, without sessions, without their tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.python import TRANSPORTS, Client
from tests.clients.wire import DEADLINE, PATH, closed, engine_path, engine_query, http_client
from tests.clients.wire import websocket as open_websocket
from tests.conftest import ServerFactory
from tests.live import LiveServer, empty_database
from tests.processes import ROOT

SITE = "tests.site.bare"
USERS = "realtime django.contrib.contenttypes django.contrib.auth"
SESSIONS = f"{USERS} django.contrib.sessions"
COOKIE = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}
MANY = 10


def serve(new_server: ServerFactory, kind: str, **env: str) -> LiveServer:
    """Return a running server of a site with these settings, whose database has no tables."""
    return new_server(kind, settings=SITE, env=env, database=empty_database())


async def ask_who(server: LiveServer, way: str) -> list[object]:
    """Return whom the site takes a client with a session cookie for."""
    client = Client()
    try:
        headers = dict(COOKIE)  # the library takes cookies out of it
        await client.io.connect(
            server.url, headers=headers, transports=TRANSPORTS[way], wait_timeout=DEADLINE
        )
        who: list[object] = await client.io.call("whoami", timeout=DEADLINE)
    finally:
        await client.io.disconnect()
    return who


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"APPS": "realtime"}, "django.contrib.auth is not"),
        ({"APPS": "realtime django.contrib.sessions"}, "django.contrib.auth is not"),
        ({"APPS": USERS}, "django.contrib.sessions is not"),
        (
            {"APPS": USERS, "SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"},
            "django.contrib.sessions is not",
        ),
    ],
    ids=["nothing", "no-users", "no-sessions", "no-sessions-cached"],
)
async def test_clients_are_anonymous(
    new_server: ServerFactory, kind: str, env: dict[str, str], reason: str
) -> None:
    server = serve(new_server, kind, **env)
    for way in ("websocket", "polling"):
        assert await ask_who(server, way) == [False, None, "AnonymousUser"]
    await server.logged("all-anonymous")
    assert server.log.count("all-anonymous") == 1
    await server.logged(re.escape(reason))
    assert "Traceback" not in server.log


@pytest.mark.parametrize("engine", ["signed_cookies", "cache", "file"])
async def test_engines_without_a_table(new_server: ServerFactory, engine: str) -> None:
    engine = f"django.contrib.sessions.backends.{engine}"
    server = serve(new_server, "daphne", APPS=USERS, SESSION_ENGINE=engine)
    assert await ask_who(server, "websocket") == [False, None, "AnonymousUser"]
    assert "all-anonymous" not in server.log


async def test_who_cannot_be_looked_up_is_refused(new_server: ServerFactory, kind: str) -> None:
    server = serve(new_server, kind, APPS=SESSIONS)
    started = time.monotonic()
    async with http_client(server) as http:
        for _ in range(MANY):
            refused = await http.get(PATH, params=engine_query(), headers=COOKIE)
            assert refused.status_code == 503
            assert refused.json()["message"] == "try again later"
            assert refused.headers["retry-after"] == "5"
        assert (await http.get(PATH, params=engine_query())).status_code == 200, "with no session"
    with pytest.raises(InvalidStatus) as caught:
        async with open_websocket(server, engine_path(), additional_headers=COOKIE):
            pass
    response = caught.value.response
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    async with open_websocket(server, "/ws/", additional_headers=COOKIE) as connection:
        close, _ = await closed(connection)
    assert (close.code, close.reason) == (1013, "try again later")
    await server.logged("no such table: django_session")
    lines = server.log.count("lookup-failed")
    assert 1 <= lines <= time.monotonic() - started + 2, "one a second, for more requests"
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"APPS": "django.contrib.contenttypes"}, 'Add "realtime" to INSTALLED_APPS'),
        ({"APPS": USERS, "SESSION_ENGINE": "nowhere.db"}, "SESSION_ENGINE is 'nowhere.db'"),
        ({"APPS": USERS, "SESSION_ENGINE": "django.contrib.sessions"}, "no attribute"),
        ({"APPS": USERS, "NAMESPACES": "tests.site.bare.nothing"}, "nothing"),
        ({"APPS": USERS, "NAMESPACES": ""}, "is not set"),
    ],
)
def test_a_server_that_cannot_know_its_clients_does_not_start(
    env: dict[str, str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import project.asgi"],
        cwd=ROOT,
        env={
            **os.environ,
            **env,
            "DJANGO_SETTINGS_MODULE": SITE,
            "DATABASE_URL": empty_database(),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]
