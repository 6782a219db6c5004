"""The guide "Beside your own Channels consumers", executed with each of its asgi.py."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.python import TRANSPORTS, connected
from tests.clients.wire import DEADLINE, websocket
from tests.docs.blocks import blocks_of
from tests.live import KINDS, LiveServer
from tests.packaging.guides import ENV, GUIDES, run, write_blocks
from tests.processes import ROOT

GUIDE = GUIDES / "beside-channels.md"
APPLICATIONS = [block.code for block in blocks_of(GUIDE) if block.path == "mysite/asgi.py"]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=range(2), ids=["passed on", "own router"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the guide, with one of its applications."""
    site = tmp_path_factory.mktemp("beside")
    run(sys.executable, "-m", "django", "startproject", "mysite", ".", cwd=site)
    write_blocks(GUIDES / "add-to-an-existing-site.md", site)
    assert write_blocks(GUIDE, site) == 5
    (site / "mysite" / "asgi.py").write_text(APPLICATIONS[request.param])
    run(sys.executable, "manage.py", "migrate", "--verbosity", "0", cwd=site, env=environment(site))
    return site


def environment(site: Path) -> dict[str, str]:
    path = f"{site}:{ROOT}"
    return {**ENV, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "mysite.settings"}


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[LiveServer]:
    with LiveServer(
        request.param, env=environment(site), database="-", application="mysite.asgi:application"
    ) as server:
        yield server


def test_both_applications_are_tested() -> None:
    assert len(APPLICATIONS) == 2
    for code in APPLICATIONS:
        compile(code, "asgi.py", "exec")


def test_nothing_is_wrong(site: Path) -> None:
    command = (sys.executable, "manage.py", "check", "--fail-level", "WARNING")
    assert "no issues" in run(*command, cwd=site, env=environment(site))


async def test_both_reach_each_other(server: LiveServer) -> None:
    origin = {"Origin": server.url}
    async with (
        websocket(server, "/ws/lobby/", additional_headers=origin) as lobby,
        websocket(server, "/ws/") as plain,
        asyncio.timeout(DEADLINE),
    ):
        assert json.loads(await plain.recv()).keys() == {"connected"}
        await lobby.send('"hi"')
        assert json.loads(await lobby.recv()) == "hi"
        for way in TRANSPORTS:
            async with connected(server, way) as client:
                await client.io.emit("wave", f"from {way}")
                assert json.loads(await lobby.recv()) == f"from {way}"
