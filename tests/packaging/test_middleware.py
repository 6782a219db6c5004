"""The guide "Put middleware around the application", executed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.packaging.guides import GUIDES, run, write_blocks
from tests.packaging.sites import ENVIRONMENT, KINDS, Visitor, serve
from tests.ports import HOST
from tests.processes import LiveProcess

GUIDE = GUIDES / "put-middleware-around.md"

TOKENS = """
from django.contrib.auth.models import User
from mysite.middleware import make_token
print(make_token(User.objects.create_user("ada")))
print(make_token(User(pk=77)))
"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the guide."""
    folder = tmp_path_factory.mktemp("middleware")
    run(sys.executable, "-m", "django", "startproject", "mysite", ".", cwd=folder)
    write_blocks(GUIDES / "add-to-an-existing-site.md", folder)
    assert write_blocks(GUIDE, folder) == 4
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(f"ALLOWED_HOSTS = ['{HOST}']\n")
    manage(folder, "migrate", "--verbosity", "0")
    return folder


def manage(folder: Path, *arguments: str) -> str:
    return run(sys.executable, "manage.py", *arguments, cwd=folder, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def tokens(site: Path) -> list[str]:
    """A user's token, and one of a user who is gone."""
    return manage(site, "shell", "--verbosity", "0", "-c", TOKENS).split()


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[LiveProcess]:
    """The site on each server."""
    with serve(request.param, site) as server:
        yield server
    assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize("way", ["polling", "websocket", "upgrade"])
async def test_a_user_by_token(server: LiveProcess, tokens: list[str], way: str) -> None:
    headers = {"Authorization": f"Bearer {tokens[0]}"}
    async with Visitor(server, way, headers=headers).connected() as client:
        assert await client.call("whoami") == "ada"
        assert await client.call("whoami") == "ada"  # by a later POST, which finds nobody anew


@pytest.mark.parametrize("way", ["polling", "websocket"])
@pytest.mark.parametrize("token", ["none", "wrong", "of nobody"])
async def test_nobody(server: LiveProcess, tokens: list[str], way: str, token: str) -> None:
    value = {"none": "", "wrong": f"Bearer {tokens[0]}x"}.get(token, f"Bearer {tokens[1]}")
    headers = {"Authorization": value} if value else {}
    assert await Visitor(server, way, headers=headers).refusal() == "log in first"


def test_pages_and_polls_that_make_themselves_look_later(
    server: LiveProcess, tokens: list[str]
) -> None:
    headers = {"Authorization": f"Bearer {tokens[0]}"}
    with httpx.Client(base_url=server.url, trust_env=False, headers=headers) as http:
        assert http.get("/admin/login/").status_code == 200
        # The middleware takes it for a poll, and so it is nobody's.
        opened = http.get("/socket.io/?EIO=4&transport=polling&sid=")
        sid = opened.text.partition('"sid":"')[2].partition('"')[0]
        url = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        assert http.post(url, content="40").text == "ok"
        assert "log in first" in http.get(url).text
