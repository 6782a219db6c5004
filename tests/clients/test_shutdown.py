"""SIGTERM with clients on the line: they are told, their consumers are told, the server goes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.clients.wire import Polling, closed, http_client, open_socket, websocket
from tests.conftest import ServerFactory
from tests.live import EVERY_KIND, LiveServer
from tests.processes import CLEAN_EXITS

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)

# How long a server may take to end, however busy the machine is; and what keeps a handler busy, or
# lets a client be silent, is longer.
DEADLINE = 25.0
BUSY = 60
REASON = 'reason="server shutting down"'


@pytest.fixture
def server(kind: str, new_server: ServerFactory) -> LiveServer:
    """A server that a test may stop."""
    return new_server(kind)


async def stop(server: LiveServer) -> None:
    """Stop the server, as its system would, and see that it ends by itself."""
    code = await asyncio.to_thread(server.stop, DEADLINE)
    assert code in CLEAN_EXITS, server.log


async def was_told(server: LiveServer, sid: str) -> None:
    """Assert that the consumer of a socket in the lab ran its last hook."""
    await server.logged(rf"disconnect .*{sid}.*{REASON}")
    await server.logged(rf"lab left sid={sid} {REASON}")


async def test_without_clients(server: LiveServer) -> None:
    await stop(server)
    assert "Traceback" not in server.log


async def test_with_clients_of_every_transport(server: LiveServer) -> None:
    async with (
        open_socket(server) as (wire, sid),
        open_socket(server, "/orders") as (other, other_sid),
        websocket(server, "/ws/lab/") as plain,
        http_client(server) as http,
    ):
        polling = await Polling.open(http)
        polling_sid = await polling.join_namespace("/lab")
        idle = await Polling.open(http)
        idle_sid = await idle.join_namespace("/lab")
        waiting = asyncio.create_task(polling.get())
        await plain.recv()
        await polling.send("3")
        assert await wire.call("/lab", "echo", "ready") == "ready"

        await stop(server)
        for each in (sid, polling_sid, idle_sid):
            await was_told(server, each)
        await server.logged(rf"disconnect .*{other_sid}.*{REASON}")
        await server.logged(rf"disconnect namespace=/lab .*transport=plain.*{REASON}")
        assert server.log.count("lab left") == 4
        for connection in (wire.connection, other.connection, plain):
            close, _ = await closed(connection)
            assert close.code in (server.close_code(1001), 1012), close
        # Not with CLOSE: after that, python-socketio's client does not come back.
        response = await waiting
        assert response.text != "1"
    assert "Traceback" not in server.log


async def test_with_handlers_at_work(server: LiveServer) -> None:
    async with AsyncExitStack() as stack:
        sids = []
        for work in (f'["sleep",{BUSY}]', '["block",2]', '["ask"]'):
            wire, sid = await stack.enter_async_context(open_socket(server))
            await wire.send(f"42/lab,{work}", "40/orders,")
            while not str(await wire.receive()).startswith("40/orders,"):
                pass
            sids.append(sid)
        await stop(server)
        for sid in sids:
            await was_told(server, sid)


async def test_nobody_waits_for_what_is_busy_in_a_thread(server: LiveServer) -> None:
    async with (
        open_socket(server) as (plain, sid),
        open_socket(server) as (asynchronous, _),
        open_socket(server) as (called, _),
    ):
        await plain.send(f'42/lab,["block",{BUSY}]')
        await asynchronous.send(f'42/lab,["block in a thread",{BUSY}]')
        await called.send(f'42/lab,["block in a callback",{BUSY}]')
        assert str(await called.receive()).startswith("42/lab,0")
        await called.send("43/lab,0[]")
        assert await called.receive() == '42/lab,["blocked"]'
        # The others have begun: their clients' namespaces are asked for behind them.
        for wire in (plain, asynchronous):
            await wire.join_namespace("/orders")
        await stop(server)
        await was_told(server, sid)


async def test_with_many_clients(server: LiveServer) -> None:
    async with asyncio.TaskGroup() as group:
        sids: list[str] = []
        all_here = asyncio.Event()

        async def client() -> None:
            async with open_socket(server) as (wire, sid):
                sids.append(sid)
                if len(sids) == 200:
                    all_here.set()
                await wire.closed(timeout=2 * DEADLINE)

        for _ in range(200):
            group.create_task(client())
        async with asyncio.timeout(DEADLINE):
            await all_here.wait()
        await stop(server)
    for sid in sids:
        await was_told(server, sid)


async def test_clients_get_in_again_after_a_restart(server: LiveServer) -> None:
    for _ in range(2):
        async with open_socket(server) as (wire, sid):
            assert await wire.call("/lab", "echo", sid) == sid
            await stop(server)
            await wire.closed()
        await asyncio.to_thread(server.start)
    async with open_socket(server) as (wire, sid):
        assert await wire.call("/lab", "echo", sid) == sid
