"""What handlers of many clients, or of one, wait for at once."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack

import pytest

from tests.clients.wire import open_socket
from tests.conftest import ServerFactory
from tests.live import LOOP_KINDS, LiveServer

CLIENTS = 50


@pytest.fixture(params=LOOP_KINDS)
def server(request: pytest.FixtureRequest, shared_server: ServerFactory) -> LiveServer:
    """A running server of each kind, on each event loop."""
    return shared_server(request.param)


async def test_many_clients_wait_for_one_task(server: LiveServer) -> None:
    key = uuid.uuid4().hex
    async with AsyncExitStack() as stack:
        wires = [(await stack.enter_async_context(open_socket(server)))[0] for _ in range(CLIENTS)]
        for _ in range(2):  # while it runs, and when it is done
            answers = [wire.call("/lab", "single flight", key) for wire in wires]
            assert set(await asyncio.gather(*answers)) == {key.upper()}


async def test_one_client_asks_many_times_for_one_task(server: LiveServer) -> None:
    key = uuid.uuid4().hex
    async with open_socket(server) as (wire, _):
        for _ in range(5):
            assert await wire.call("/lab", "single flight", key) == key.upper()


async def test_a_handler_waits_for_the_next_event(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send('42/lab,1["wait for the next"]')
        assert await wire.receive() == '42/lab,["waiting"]'
        await wire.send('42/lab,2["said","it"]')
        assert {await wire.receive() for _ in range(2)} == {"43/lab,2[]", '43/lab,1["it"]'}


async def test_a_spawned_task_ends_with_its_client(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        await wire.send('42/lab,["spawn"]')
        assert await wire.receive() == '42/lab,["spawned"]'
    await server.logged(f"lab task ended sid={sid}")
    await server.logged(f"lab left sid={sid}")
