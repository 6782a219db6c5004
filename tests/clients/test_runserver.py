"""``manage.py runserver``, which reloads a site while it is developed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.wire import open_socket
from tests.live import LiveServer
from tests.processes import CLEAN_EXITS, ROOT

# What a handler is busy with: longer than a test waits.
BUSY = 60
DEADLINE = 60.0

STARTED = "Starting ASGI/Daphne"


@pytest.fixture(params=["reload", "noreload"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveServer]:
    """Runserver, with its reloader and without. Its settings are a file of the test's."""
    (tmp_path / "developed.py").write_text("from tests.site.settings import *\n")
    server = LiveServer(
        "runserver",
        env={
            "DJANGO_SETTINGS_MODULE": "developed",
            "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))),
        },
    )
    if request.param == "reload":
        server._command.remove("--noreload")
    server.start()
    yield server
    server.stop(timeout=5)


def started(server: LiveServer) -> int:
    return server.log.count(STARTED)


@pytest.mark.parametrize("server", ["reload"], indirect=True)
async def test_a_reload_answers_no_request_with_an_error(
    server: LiveServer, tmp_path: Path
) -> None:
    await server.logged("Watching for file changes")
    async with open_socket(server) as (wire, _), httpx.AsyncClient(trust_env=False) as http:
        await wire.send(f'42/lab,["block",{BUSY}]')
        await wire.join_namespace("/orders")
        statuses = set()
        deadline = time.monotonic() + DEADLINE
        changed = 0.0
        while started(server) < 2:
            assert time.monotonic() < deadline, server.log
            if time.monotonic() > changed + 2:  # the reloader may not have seen the file yet
                os.utime(tmp_path / "developed.py")
                changed = time.monotonic()
            statuses.add(await status(http, server.url))
        while await status(http, server.url) is None:
            assert time.monotonic() < deadline, server.log
        statuses.add(await status(http, server.url))
    assert statuses <= {200, None}
    assert "cannot schedule" not in server.log


async def status(http: httpx.AsyncClient, url: str) -> int | None:
    """Return what a page is answered with, or None where nobody listens."""
    try:
        return (await http.get(url, timeout=DEADLINE)).status_code
    except httpx.TransportError:
        await asyncio.sleep(0.02)
        return None


async def test_it_stops_while_a_handler_is_busy(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send(f'42/lab,["block",{BUSY}]')
        await wire.join_namespace("/orders")
        assert await asyncio.to_thread(server.stop, DEADLINE) in CLEAN_EXITS, server.log
