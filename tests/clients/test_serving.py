"""A process that starts to serve clients, and stops: its receivers are told of both, once."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.wire import Wire, open_socket
from tests.live import LOOP_KINDS, PLAIN_ASGI_KINDS, LiveServer
from tests.processes import CLEAN_EXITS, ROOT

APPLICATION = "tests.site.started:application"
ASGI = {"ASGI_APPLICATION": "tests.site.started.application"}
EVERYWHERE = (
    *LOOP_KINDS,
    "runserver",
    *PLAIN_ASGI_KINDS,
)

DEADLINE = 30.0


@pytest.fixture
def server(kind: str) -> Iterator[LiveServer]:
    """A server that nobody has sent a request to."""
    server = LiveServer(kind, application=APPLICATION, env={"DJANGO_OVERRIDES": json.dumps(ASGI)})
    server.launch()
    yield server
    server.close()


async def other_than(wire: Wire, frame: str) -> str:
    """Return the next frame that is another one."""
    while (other := str(await wire.receive())) == frame:
        pass
    return other


@pytest.mark.parametrize("kind", EVERYWHERE, indirect=True)
async def test_receivers_are_told_before_any_request_and_once(server: LiveServer) -> None:
    started = await server.logged(r"start in=loop sender=realtime server=(\S+)")
    await server.logged("start in=thread sockets=0")
    await server.logged("clock ticked in=site-clock")
    await server.logged("RuntimeError: a start that fails")
    await asyncio.to_thread(server.wait_ready)
    tick = '42/lab,["tick"]'
    async with open_socket(server) as (wire, sid):
        while str(await wire.receive()) != tick:
            pass
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, 20))
        assert await other_than(wire, tick) == '42/lab,["bye"]'  # clients are still there
        assert await stopping in CLEAN_EXITS, server.log
    assert sid.startswith(started[1])
    log = server.log
    assert log.index("stop in=loop") < log.index(f"lab left sid={sid}")
    lines = ("start in=loop", "start in=thread", "clock ticked")
    for line in (*lines, "clock stopped", "stop in=loop", "stop in=thread"):
        assert log.count(line) == 1, log
    assert "not running" not in log


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[LiveServer]:
    """Runserver with its reloader. Its settings are a file of the test's."""
    (tmp_path / "developed.py").write_text(
        f"from tests.site.settings import *\nASGI_APPLICATION = {ASGI['ASGI_APPLICATION']!r}\n"
    )
    env = {
        "DJANGO_SETTINGS_MODULE": "developed",
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))),
    }
    server = LiveServer("runserver", env=env)
    server._command.remove("--noreload")
    server.launch()
    yield server
    server.close()


async def test_a_reload_stops_one_process_and_starts_another(
    reloading: LiveServer, tmp_path: Path
) -> None:
    first = (await reloading.logged(r"start in=loop .*server=(\S+)"))[1]
    await reloading.logged("clock ticked in=site-clock")
    await reloading.logged("Watching for file changes")
    deadline, changed = time.monotonic() + DEADLINE, 0.0
    while reloading.log.count("start in=loop") < 2:
        assert time.monotonic() < deadline, reloading.log
        if time.monotonic() > changed + 2:  # the reloader may not have seen the file yet
            os.utime(tmp_path / "developed.py")
            changed = time.monotonic()
        await asyncio.sleep(0.05)
    log = reloading.log
    assert log.count(f"stop in=loop server={first}") == 1, log
    assert log.count("stop in=thread sockets=") == 1, log
    assert "Exception" not in log.replace("RuntimeError", "")
