"""Presence where a router sends reads to another database than writes."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from tests.clients.wire import open_socket
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.processes import ROOT

SETTINGS = "tests.site.replica"
PASSWORD = "a long password"


def manage(server: LiveServer, *arguments: str) -> str:
    """Return what a command of manage.py printed, for the site of a server."""
    env = {**os.environ, "DATABASE_URL": server.database, "DJANGO_SETTINGS_MODULE": SETTINGS}
    env |= {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "django", *arguments]
    return subprocess.run(
        command, env=env, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def log_in(browser: httpx.Client, server: LiveServer) -> None:
    """Make a superuser, and log it in."""
    manage(server, "createsuperuser", "--noinput", "--username=root", "--email=root@example.com")
    browser.get("/admin/login/").raise_for_status()
    token = browser.cookies["csrftoken"]
    form = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token}
    browser.post("/admin/login/?next=/admin/", data=form).raise_for_status()
    assert "sessionid" in browser.cookies


def list_of(browser: httpx.Client, model: str) -> str:
    """Return the admin's list of a model."""
    return browser.get(f"/admin/realtime/{model}/").raise_for_status().text


@pytest.mark.parametrize(
    ("kind", "database"),
    [("daphne", "sqlite"), ("uvicorn", "postgresql"), ("daphne", "mariadb")],
)
async def test_reads_from_a_replica(
    kind: str, database: str, new_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    url = None if database == "sqlite" else request.getfixturevalue(database).new_database()
    server = new_server(kind, settings=SETTINGS, database=url)
    assert "no issues" in manage(server, "check")
    with httpx.Client(base_url=server.url, trust_env=False, follow_redirects=True) as browser:
        log_in(browser, server)
        async with open_socket(server, "/lab") as (wire, _):
            assert await wire.call("/lab", "join", "Room №1") == ["Room №1"]
            answer = server.get("/clients-count?namespace=/lab&room=Room №1")
            assert answer.json()["count"] == 1
            for model, shown in (("server", kind), ("socket", "/lab"), ("room", "Room №1")):
                assert shown in list_of(browser, model)
    assert "presence-" not in server.log
