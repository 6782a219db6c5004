"""The guide "Let clients come in with a token", executed: its site, and its two clients."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.javascript import FOLDER, require_client
from tests.clients.wire import DEADLINE, eventually
from tests.docs.blocks import blocks_of
from tests.packaging.guides import GUIDES, run, write_blocks
from tests.packaging.sites import ENVIRONMENT, KINDS, serve
from tests.ports import HOST
from tests.processes import LiveProcess

GUIDE = GUIDES / "let-clients-come-in-with-a-token.md"

# Three renewals are more than one token lasts.
LIFETIME, RENEWALS = 8, 3
SETTINGS = f"""
ALLOWED_HOSTS = ["{HOST}"]
SIMPLE_JWT = {{"ACCESS_TOKEN_LIFETIME": timedelta(seconds={LIFETIME})}}
LOGGING = {{
    "version": 1,
    "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
    "loggers": {{"realtime": {{"handlers": ["console"], "level": "INFO"}}}},
}}
"""
PASSWORD = "a long password"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the guide, with both clients, whose tokens last for seconds."""
    folder = tmp_path_factory.mktemp("tokens")
    run(sys.executable, "-m", "django", "startproject", "mysite", ".", cwd=folder)
    write_blocks(GUIDES / "add-to-an-existing-site.md", folder)
    assert write_blocks(GUIDE, folder) == 5
    (script,) = (block for block in blocks_of(GUIDE) if block.path == "app.mjs")
    (folder / "app.mjs").write_text(script.code)
    os.symlink(FOLDER / "node_modules", folder / "node_modules")
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    manage(folder, "migrate", "--verbosity", "0")
    create = ("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
    manage(folder, *create)
    return folder


def manage(folder: Path, *arguments: str) -> str:
    env = {**ENVIRONMENT, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    return run(sys.executable, "manage.py", *arguments, cwd=folder, env=env)


def test_nothing_is_wrong(site: Path) -> None:
    assert "no issues" in manage(site, "check", "--fail-level", "WARNING")


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[LiveProcess]:
    """The site on each server."""
    with serve(request.param, site) as server:
        yield server
    assert "Traceback" not in server.log, server.log


COMMANDS = {"javascript": ("node", "app.mjs"), "python": (sys.executable, "app.py")}


@pytest.mark.parametrize("language", COMMANDS)
async def test_clients_that_renew(
    server: LiveProcess, site: Path, tmp_path: Path, language: str
) -> None:
    """They are there after more time than their first token lasts, and also after a sleep."""
    require_client()
    output = tmp_path / "output"
    with output.open("w") as file:
        client = await asyncio.create_subprocess_exec(
            *(*COMMANDS[language], server.url, "ada", PASSWORD),
            cwd=site,
            env={**ENVIRONMENT, "no_proxy": "*"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        await eventually(
            lambda: (
                output.read_text().count("renewed\n") >= RENEWALS or client.returncode is not None
            ),
            timeout=DEADLINE + 5 * LIFETIME,
        )
        assert output.read_text().startswith("I am ada\n")
        assert client.returncode is None, output.read_text()
        # The device falls asleep until its token has ended, and wakes.
        count, sent_away = output.read_text().count("I am ada\n"), server.log.count("unauthorized")
        client.send_signal(signal.SIGSTOP)
        await eventually(
            lambda: server.log.count("unauthorized") > sent_away, timeout=DEADLINE + 2 * LIFETIME
        )
        client.send_signal(signal.SIGCONT)
        await eventually(
            lambda: output.read_text().count("I am ada\n") > count or client.returncode is not None,
            timeout=2 * DEADLINE,
        )
        assert client.returncode is None, output.read_text()
    finally:
        if client.returncode is None:
            client.kill()
        await client.wait()
