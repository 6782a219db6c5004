"""The guides' pages in a real Chromium: with static files on every server, and below a path."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import socketio
from playwright.sync_api import Browser, Page, expect
from websockets.sync.client import connect

from tests.chromium import running_chromium
from tests.clients.javascript import FOLDER, require_client
from tests.nginx import Nginx
from tests.packaging.guides import ENV, GUIDES, fenced, run, write_blocks
from tests.ports import HOST, free_port
from tests.processes import ROOT, LiveProcess

EXISTING = GUIDES / "add-to-an-existing-site.md"
SUB_PATH = GUIDES / "serve-under-a-sub-path.md"

SERVERS = {
    "daphne": "-m daphne -b {host} -p {port} mysite.asgi:application",
    "uvicorn": "-m uvicorn --host {host} --port {port} mysite.asgi:application",
    "runserver": "manage.py runserver --noreload {host}:{port}",
}
DEADLINE = 20_000
PASSWORD = "a long password"
MISSING = "This page is not live: /static/realtime/realtime.js could not be loaded."

pytestmark = pytest.mark.timeout(300)

# What a site has of its own: a view that shows a template, with a policy where it is asked for.
URLS = """
from django.contrib import admin
from django.shortcuts import render
from django.urls import path

def page(request, name="page", nonce=""):
    response = render(request, f"{name}.html", {"csp_nonce": nonce})
    if nonce:
        policy = f"default-src 'self'; script-src 'nonce-{nonce}'"
        response["Content-Security-Policy"] = policy
    return response

urlpatterns = [
    path("page/", page),
    path("official/", page, {"name": "official"}),
    path("strict/", page, {"nonce": "r4nd0m"}),
    path("admin/", admin.site.urls),
]
"""
SETTINGS = """
TEMPLATES[0]["DIRS"] = [BASE_DIR / "pages"]
ALLOWED_HOSTS = ["127.0.0.1"]
"""


class Site:
    """A site that is as the guide says: a copy of one, or a new one with `build`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**ENV, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.env["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD

    def build(self, *guides: Path) -> None:
        """Make it as guides say, with a database and a superuser."""
        folder = self.folder
        run(sys.executable, "-m", "django", "startproject", "mysite", ".", cwd=folder)
        for guide in (EXISTING, *guides):
            assert write_blocks(guide, folder) > 0
        (folder / "mysite" / "urls.py").write_text(URLS)
        (folder / "pages").mkdir()
        self.add_settings(SETTINGS)
        self.write_page(fenced(EXISTING, "html")[0])
        assert "no issues" in self.manage("check", "--fail-level", "WARNING")
        self.manage("migrate", "--verbosity", "0")
        self.manage("createsuperuser", "--noinput", "--username", "root", "--email", "")

    def add_settings(self, code: str) -> None:
        """Add to the site's settings."""
        path = self.folder / "mysite" / "settings.py"
        path.write_text(f"{path.read_text()}\n{code}\n")

    def write_page(self, html: str, name: str = "page") -> None:
        """Make this a page; its own scripts have the nonce, where there is one."""
        html = html.replace("<script>", '<script nonce="{{ csp_nonce }}">')
        (self.folder / "pages" / f"{name}.html").write_text(f"<!doctype html>\n<body>\n{html}")

    def manage(self, *arguments: str) -> str:
        """Return what a command of manage.py printed."""
        return run(sys.executable, "manage.py", *arguments, cwd=self.folder, env=self.env)

    def serve(self, server: str, *options: str) -> LiveProcess:
        """Return a server of the site, to be started."""
        port = free_port()
        line = SERVERS[server].format(host=HOST, port=port)
        command = [sys.executable, *shlex.split(line), *options]
        return LiveProcess(server, command, port, self.env, self.folder)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """Each server in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def first_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site of the guide, to be copied."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.build()
    return site


@pytest.fixture
def site(first_site: Site, tmp_path: Path) -> Site:
    """The site of the guide."""
    return Site(shutil.copytree(first_site.folder, tmp_path / "site"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab; `said` and `failed` are what its scripts wrote and what was thrown in it."""
    with closing(browser.new_context()) as context:
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        page.said, page.failed = [], []  # type: ignore[attr-defined]
        page.on("console", lambda message: page.said.append(message.text))  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.failed.append(error.message))  # type: ignore[attr-defined]
        yield page


def greets(page: Page, url: str) -> None:
    """See that the guide's page at a URL does what the guide says."""
    page.said.clear()  # type: ignore[attr-defined]
    with page.expect_console_message(lambda message: message.text == "Hello, Ada"):
        page.goto(url)
    assert "I'm server" in page.said  # type: ignore[attr-defined]
    assert page.failed == []  # type: ignore[attr-defined]


# Static files


def test_debug(site: Site, server: str, page: Page) -> None:
    with site.serve(server) as live:
        greets(page, f"{live.url}/page/")
        greets(page, f"{live.url}/strict/")
        assert live.get("/static/realtime/none.js").status_code == 404
        assert "text/css" in live.get("/static/admin/css/base.css").headers["content-type"]


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_whitenoise(site: Site, server: str, page: Page) -> None:
    (whitenoise,) = (text for text in fenced(EXISTING, "python") if "whitenoise" in text)
    site.add_settings(f"DEBUG = False\n{whitenoise}")
    assert "no issues" in site.manage("check", "--fail-level", "WARNING")
    site.manage("collectstatic", "--noinput", "--verbosity", "0")
    with site.serve(server) as live:
        greets(page, f"{live.url}/page/")
        greets(page, f"{live.url}/strict/")
        script = re.search(r'src="(/static/realtime/realtime\.\w+\.js)"', page.content())
        assert script, "the name has a digest"
        assert live.get(script[1]).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["page", "strict"])
def test_a_page_without_the_client_says_so(site: Site, server: str, page: Page, path: str) -> None:
    site.add_settings("DEBUG = False")
    with site.serve(server) as live:
        page.goto(f"{live.url}/{path}/")
        expect(page.get_by_role("alert")).to_have_text(MISSING)
        assert page.failed == [MISSING]  # type: ignore[attr-defined]


def test_the_live_page_without_static_files_says_so(site: Site, page: Page) -> None:
    site.add_settings("DEBUG = False")
    with site.serve("daphne") as live:
        log_in(page, live.url)
        page.goto(f"{live.url}/admin/realtime/socket/live/")
        expect(page.locator(".live-unstyled")).to_be_visible()


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/admin/")
    page.locator("[name=username]").fill("root")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(f"{url}/admin/")


# Below a path


# What the page of the other guide does with its socket.
LISTEN = """
  socket.on("message", (text) => console.log(text));
  socket.emit("greet", "Ada", (answer) => console.log(answer));
</script>
"""
OFFICIAL = FOLDER / "node_modules" / "socket.io-client" / "dist" / "socket.io.min.js"


def test_the_guide_shows_the_file_that_is_tested() -> None:
    lines = {
        line.strip()
        for line in (GUIDES / "deploy" / "nginx-sub-path.conf").read_text().splitlines()
    }
    (shown,) = fenced(SUB_PATH, "nginx")
    assert {line.strip() for line in shown.splitlines()} <= lines


def commands() -> dict[str, str]:
    """Return the guide's command lines by their servers."""
    (text,) = fenced(SUB_PATH, "sh")
    lines = [line.strip() for line in text.splitlines()]
    return {server: line for server in SERVERS for line in lines if server in line}


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site below "/app", with a page for each snippet of the guide."""
    require_client()
    site = Site(tmp_path_factory.mktemp("below"))
    site.build(SUB_PATH)
    site.add_settings('STATIC_ROOT = BASE_DIR / "static"')
    site.manage("collectstatic", "--noinput", "--verbosity", "0")
    ours, official = (
        html.replace('"/orders/7"', '"/"').replace("</script>\n", LISTEN)
        for html in fenced(SUB_PATH, "html")
    )
    code = f"{{% verbatim %}}{OFFICIAL.read_text()}{{% endverbatim %}}"
    site.write_page(ours)
    site.write_page(f"<script>{code}</script>\n{official}", "official")
    return site


@contextmanager
def serving(site: Site, server: str) -> Iterator[tuple[LiveProcess, Nginx]]:
    """Run the guide's command, and the guide's nginx in front."""
    program, *arguments = shlex.split(commands()[server])
    port = free_port()
    if program != "python":
        arguments = ["-m", program, *arguments]
    arguments = [re.sub(r"\b8001\b", str(port), argument) for argument in arguments]
    if server == "runserver":
        arguments.append("--noreload")  # one process, which ends when it is told
    command = [sys.executable, *arguments]
    with (
        LiveProcess(server, command, port, site.env, site.folder) as live,
        Nginx(port, home=site.folder, mount="kept") as proxy,
    ):
        yield live, proxy


def test_programs_below_a_path(below: Site, server: str) -> None:
    with serving(below, server) as (live, proxy):
        for address in (live, proxy):
            for ways in (["polling"], ["websocket"], ["polling", "websocket"]):
                with socketio.SimpleClient(reconnection=False) as client:
                    client.connect(
                        address.url,
                        socketio_path="/app/socket.io",
                        transports=ways,
                        wait_timeout=20,
                    )
                    assert client.call("greet", "Ada", timeout=20) == "Hello, Ada"
            with connect(f"{address.ws_url}/app/ws/", proxy=None) as plain:
                assert "connected" in json.loads(plain.recv(timeout=20))


def test_pages_below_a_path(below: Site, server: str, page: Page) -> None:
    with serving(below, server) as (live, proxy):
        for address in (live, proxy):
            greets(page, f"{address.url}/app/page/")
            greets(page, f"{address.url}/app/official/")
            log_in(page, f"{address.url}/app")
            page.goto(f"{address.url}/app/admin/realtime/socket/live/")
            expect(page.locator("#live-state")).to_have_text("live · WebSocket")
            page.context.clear_cookies()


def test_a_proxy_that_takes_the_prefix_off(below: Site, page: Page) -> None:
    with (
        below.serve("uvicorn", "--root-path", "/app") as live,
        Nginx(live.port, home=below.folder, mount="stripped") as proxy,
    ):
        greets(page, f"{proxy.url}/app/page/")
        log_in(page, f"{proxy.url}/app")
        page.goto(f"{proxy.url}/app/admin/realtime/socket/live/")
        expect(page.locator("#live-state")).to_have_text("live · WebSocket")
