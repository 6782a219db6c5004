"""
The guide "Add Realtime to an existing site" and the tutorial, executed with the wheel in an empty
environment.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import socketio
from playwright.sync_api import Browser, Page, expect

from tests.chromium import running_chromium
from tests.docs.blocks import blocks_of
from tests.packaging.guides import ENV, GUIDES, run, write_blocks
from tests.packaging.wheels import build_wheel, install
from tests.ports import HOST, free_port
from tests.processes import ROOT

TUTORIAL = ROOT / "docs" / "tutorial" / "first-live-page.md"
DEADLINE = 60

pytestmark = pytest.mark.timeout(600)


@contextmanager
def serve(python: Path, *command: str, port: int, site: Path) -> Iterator[None]:
    """Run a server of the site while it accepts connections on the port."""
    log = site / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [python, *command], cwd=site, env=ENV, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + DEADLINE
        while not _accepts(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        try:
            server.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    assert "Traceback" not in log.read_text(), log.read_text()


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("packaging")
    return install(folder, f"{build_wheel(folder)}[daphne]")


@pytest.fixture(scope="module")
def site(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new Django site that has been changed as the guide says."""
    site = tmp_path_factory.mktemp("site")
    run(python, "-m", "django", "startproject", "mysite", ".", cwd=site)
    assert write_blocks(GUIDES / "add-to-an-existing-site.md", site) == 4
    return site


def test_site_passes_django_checks(python: Path, site: Path) -> None:
    output = run(python, "manage.py", "check", "--fail-level", "WARNING", cwd=site)
    assert "no issues" in output


def test_static_files_are_found(python: Path, site: Path) -> None:
    found = run(python, "manage.py", "findstatic", "realtime/realtime.js", cwd=site)
    assert "site-packages" in found


LOOK_AT_THE_ADMIN = """
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import override

browser = Client(SERVER_NAME="localhost")
browser.force_login(User.objects.create_superuser("root"))
for page in ("", "socket/", "room/", "server/", "socket/live/"):
    assert browser.get("/admin/realtime/" + page).status_code == 200, page
with override("ru"):
    assert "Сокеты" in browser.get("/admin/realtime/").content.decode()
"""


def test_admin_is_complete(python: Path, site: Path) -> None:
    run(python, "manage.py", "migrate", "--verbosity", "0", cwd=site)
    run(python, "manage.py", "shell", "--no-imports", "-c", LOOK_AT_THE_ADMIN, cwd=site)
    names = ("realtime/admin.css", "realtime/live.css", "realtime/live.js")
    found = run(python, "manage.py", "findstatic", "--first", *names, cwd=site)
    assert re.findall("Found '(.*)' here:\n.*site-packages", found) == list(names)


def test_client_connects(python: Path, site: Path) -> None:
    run(python, "manage.py", "migrate", "--verbosity", "0", cwd=site)
    port = free_port()
    command = ("-m", "daphne", "-b", HOST, "-p", str(port), "mysite.asgi:application")
    with (
        serve(python, *command, port=port, site=site),
        socketio.SimpleClient() as client,
    ):
        client.connect(f"http://{HOST}:{port}", wait_timeout=DEADLINE)
        assert client.receive(timeout=DEADLINE) == ["message", "I'm server"]
        assert client.call("greet", "Ada", timeout=DEADLINE) == "Hello, Ada"


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with running_chromium() as browser:
        yield browser


def test_tutorial_in_two_tabs(python: Path, tmp_path: Path, browser: Browser) -> None:
    run(python, "-m", "django", "startproject", "mysite", ".", cwd=tmp_path)
    run(python, "manage.py", "startapp", "chat", cwd=tmp_path)
    for block in blocks_of(TUTORIAL):
        if block.path is not None:
            target = tmp_path / block.path
            target.parent.mkdir(parents=True, exist_ok=True)
            old = target.read_text() if block.adds else ""
            target.write_text(old + "\n" + block.body)
    run(python, "manage.py", "check", "--fail-level", "WARNING", cwd=tmp_path)
    run(python, "manage.py", "migrate", "--verbosity", "0", cwd=tmp_path)

    port = free_port()
    command = ("manage.py", "runserver", "--noreload", f"{HOST}:{port}")
    with serve(python, *command, port=port, site=tmp_path):
        first, second = (open_tab(browser, f"http://{HOST}:{port}") for _ in range(2))
        expect(first.locator("li")).to_have_text(["somebody came in"])

        say(second, "hello, tabs")
        expect(first.locator("li")).to_have_text(["somebody came in", "hello, tabs"])
        expect(second.locator("li")).to_have_text(["hello, tabs"])

        say(second, " ")
        expect(second.locator("li")).to_have_text(["hello, tabs", "say something"])

        second.close()
        expect(first.locator("li").last).to_have_text("somebody left")


def open_tab(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.goto(url)
    expect(page.locator("#state")).to_have_text("connected")
    return page


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.get_by_role("button").click()
