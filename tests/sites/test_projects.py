"""Well-known projects with Realtime in front: their pages, their logins, and its clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.clients.python import TRANSPORTS, connected
from tests.clients.wire import DEADLINE
from tests.packaging.guides import ENV, run
from tests.packaging.wheels import build_wheel, install
from tests.ports import HOST, free_port
from tests.processes import LiveProcess
from tests.sites.recipes import RECIPES, Recipe, add_realtime

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

NAME, EMAIL, PASSWORD = "ann", "ann@example.com", "a long password"


USER_MODEL = "from django.conf import settings; print(settings.AUTH_USER_MODEL)"


class Site(NamedTuple):
    """A project's site with Realtime: its recipe, its interpreter and its folder."""

    recipe: Recipe
    python: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of its commands and servers."""
        return {
            **ENV,
            "DJANGO_SETTINGS_MODULE": self.recipe.settings,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }

    def manage(self, *arguments: str) -> str:
        """Return what a command of manage.py printed."""
        return run(self.python, "manage.py", *arguments, cwd=self.folder, env=self.env)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", params=RECIPES, ids=lambda recipe: recipe.name)
def site(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """Each project's site, with Realtime added to it, and a user."""
    recipe = request.param
    folder = tmp_path_factory.mktemp(recipe.name)
    python = install(folder, *recipe.packages, f"{wheel}[daphne,uvicorn]")
    (folder / "site").mkdir()
    recipe.make(python, folder / "site")
    add_realtime(folder / "site", recipe.settings)
    site = Site(recipe, python, folder / "site")
    site.manage("migrate", "--verbosity", "0")
    # Its receivers send, and nobody is there yet who could be reached.
    site.manage("createsuperuser", "--noinput", "--username", NAME, "--email", EMAIL)
    return site


COMMANDS = {
    "daphne": ("-m", "daphne", "-b", HOST, "-p", "{port}", "mysite.asgi:application"),
    "uvicorn": ("-m", "uvicorn", "--host", HOST, "--port", "{port}", "mysite.asgi:application"),
    "runserver": ("manage.py", "runserver", "--noreload", HOST + ":{port}"),
}


@pytest.fixture(params=COMMANDS)
def server(request: pytest.FixtureRequest, site: Site) -> Iterator[LiveProcess]:
    port = free_port()
    words = [word.format(port=port) for word in COMMANDS[request.param]]
    command = [str(site.python), *words]
    with LiveProcess(request.param, command, port, site.env, site.folder) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-4000:]


def log_in(http: httpx.Client, recipe: Recipe) -> None:
    """Log in as people do, by the project's own form."""
    page = http.get(recipe.login)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None, page.text[:2000]
    name = EMAIL if recipe.name == "oscar" else NAME
    form = {
        recipe.user_field: name,
        recipe.password_field: PASSWORD,
        "csrfmiddlewaretoken": token[1],
        **recipe.extra_fields,
    }
    response = http.post(recipe.login, data=form, headers={"Referer": str(page.url)})
    assert response.status_code == 302, response.text[:2000]


def test_nothing_of_ours_is_wrong(site: Site) -> None:
    assert "realtime." not in site.manage("check", "--fail-level", "ERROR")
    assert "No changes" in site.manage("makemigrations", "--check", "--dry-run", "realtime")


def test_data_is_loaded_while_nobody_can_be_reached(site: Site) -> None:
    fixture = site.folder / "users.json"
    fixture.write_text(site.manage("dumpdata", site.manage("shell", "-c", USER_MODEL).split()[-1]))
    assert site.manage("loaddata", str(fixture)).startswith("Installed ")


async def test_pages_logins_and_clients(site: Site, server: LiveProcess) -> None:
    recipe = site.recipe
    with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE) as http:
        page = await asyncio.to_thread(http.get, recipe.page)
        assert page.status_code == 200
        async with connected(server, "upgrade") as nobody:
            assert await nobody.call("whoami") == ""
            await asyncio.to_thread(log_in, http, recipe)
            assert await nobody.got("came") == NAME
        cookies = {"Cookie": f"sessionid={http.cookies['sessionid']}"}
        for way in TRANSPORTS:
            async with connected(server, way, headers=cookies) as client:
                assert await client.call("whoami") == NAME
                assert await client.call("count users") >= 1
                for page in ("", "socket/", "room/", "server/", "socket/live/"):
                    answer = await asyncio.to_thread(http.get, f"{recipe.admin}realtime/{page}")
                    assert answer.status_code == 200, page
