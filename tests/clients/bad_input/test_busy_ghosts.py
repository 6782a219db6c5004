"""Clients that go away while their handlers are busy for minutes, and nobody reads from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.clients.bad_input.conftest import witnessed
from tests.clients.bad_input.test_ghosts import ENDS, ENGINE, PATHS, alone, event, leave
from tests.clients.wire import DeafClient, Polling, eventually, http_client
from tests.conftest import ServerFactory
from tests.live import LOOP_KINDS, LiveServer

PING_INTERVAL, PING_TIMEOUT = 0.5, 2.0

# Longer than a test waits.
BUSY = 60.0

# More than the inbox holds, so that reading is paused.
EVENTS = 600


@pytest.fixture(params=LOOP_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn, on each event loop."""
    return str(request.param)


@pytest.fixture
async def quick(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, quick heartbeats and small inboxes."""
    times = {"PING_INTERVAL": PING_INTERVAL, "PING_TIMEOUT": PING_TIMEOUT}
    async with witnessed(shared_server(kind, INBOX_EVENTS=100, **times)) as server:
        yield server


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_leaves_a_busy_handler_is_gone(
    quick: LiveServer, path: str, end: str
) -> None:
    since = len(quick.log)
    events = event(path, "sleep", BUSY) + event(path, "nothing") * EVENTS
    await asyncio.gather(*(leave(quick, path, events, end) for _ in range(5)))
    await alone(quick)
    if end != "RST":  # which throws away what the server has not read yet: some never came
        await eventually(lambda: quick.log[since:].count("disconnect namespace=/lab") >= 5)


async def test_a_client_that_leaves_after_a_while_is_gone(quick: LiveServer) -> None:
    """Its socket is read from no more by then."""
    client = await DeafClient.open(quick, ENGINE)
    sid = await client.join_namespace("/lab")
    client.write(event(ENGINE, "sleep", BUSY) + event(ENGINE, "nothing") * EVENTS)
    until = time.monotonic() + 2 * (PING_INTERVAL + PING_TIMEOUT)
    while time.monotonic() < until:
        assert await client.read_frame() == "2", "it is asked again and again, and kept"
    assert f"disconnect namespace=/lab sid={sid}" not in quick.log
    client.writer.close()
    await quick.logged(rf"disconnect .*{sid}")


def busy_payload() -> list[str]:
    """Return what a POST brings that keeps a handler busy."""
    return [f'42/lab,["sleep",{BUSY}]', *['42/lab,["nothing"]'] * EVENTS]


async def test_a_polling_client_that_leaves_a_busy_handler_is_gone(quick: LiveServer) -> None:
    async with http_client(quick) as http:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/lab")
        posting = asyncio.create_task(polling.send(*busy_payload()))
        await quick.logged(rf'disconnect .*{sid}.*reason="ping timeout"')
        posting.cancel()


async def test_a_polling_client_that_waits_for_a_busy_handler_stays(quick: LiveServer) -> None:
    """It cannot answer pings while its POST is under way, but it polls."""
    async with http_client(quick) as http:
        polling = await Polling.open(http)
        sid = await polling.join_namespace("/lab")
        sleep, *others = busy_payload()
        sleep = sleep.replace(str(BUSY), str(3 * PING_TIMEOUT))
        posting = asyncio.create_task(polling.send(sleep, *others, '42/lab,1["echo","at last"]'))
        packets: list[str] = []
        while '43/lab,1["at last"]' not in packets:
            packets += (await polling.get()).text.split("\x1e")
        await posting
        assert packets.count("2") >= 2
        assert f"disconnect namespace=/lab sid={sid}" not in quick.log
