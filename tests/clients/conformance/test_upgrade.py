"""Engine.IO: the upgrade from long-polling to WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.clients.conformance.conftest import SUITE, fails_to_open, greeted
from tests.clients.wire import DEADLINE, Polling, Wire, engine_path, http_client, open_wire, sid_of
from tests.conftest import ServerFactory
from tests.live import LiveServer

# How a WebSocket ends that a session has no use for.
POLICY_VIOLATION = 1008


def probe(server: LiveServer, polling: Polling) -> AbstractAsyncContextManager[Wire]:
    """Open the WebSocket of an upgrade."""
    return open_wire(server, sid=polling.sid)


async def probed(wire: Wire) -> None:
    """Send the probe and take its answer."""
    await wire.send("2probe")
    assert await wire.receive() == "3probe"


async def test_upgrade(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        response = await polling.get()
        assert (response.status_code, response.text) == (200, "6")
        await wire.send("5", "40")
        sid_of(await wire.receive())
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_upgrade_of_a_connected_session(calm: LiveServer, polling: Polling) -> None:
    await greeted(polling)
    waiting = asyncio.ensure_future(polling.get())
    async with probe(calm, polling) as wire:
        await probed(wire)
        async with asyncio.timeout(DEADLINE):
            assert (await waiting).text == "6"
        await wire.send("5", '421["message-with-ack","hello"]')
        assert await wire.receive() == '431["hello"]'


async def test_nothing_is_lost_or_doubled_by_an_upgrade(calm: LiveServer, polling: Polling) -> None:
    await greeted(polling)
    async with probe(calm, polling) as wire:
        await wire.send("2probe")
        await polling.send(*[f'42["message",{number}]' for number in range(20)])
        answers: list[Any] = []
        assert await wire.receive() == "3probe"
        while (response := await polling.get()).text != "6":
            answers += response.text.split("\x1e")
        await polling.send('42["message",20]')
        await wire.send("5", '42["message",21]')
        while len(answers) < 22:
            answers.append(await wire.receive())
        assert answers == [f'42["message-back",{number}]' for number in range(22)]


async def test_http_after_the_upgrade(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        await wire.send("5", "40")
        sid_of(await wire.receive())
        for response in (await polling.get(), await polling.post('42["message"]')):
            assert response.status_code == 400
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_websocket_after_the_upgrade(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        await wire.send("5", "40")
        sid_of(await wire.receive())
        async with probe(calm, polling) as late:
            assert await late.closed() == (calm.close_code(POLICY_VIOLATION), [])
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_websocket_beside_one_that_probes(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
        async with probe(calm, polling) as second:
            assert await second.closed() == (calm.close_code(POLICY_VIOLATION), [])
        await wire.send("5", "40")
        sid_of(await wire.receive())


async def test_two_websockets_before_either_probes(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire, probe(calm, polling) as second:
        await probed(wire)
        await wire.send("5", "40")
        sid_of(await wire.receive())
        await second.send("2probe", "5")
        assert await second.closed() == (calm.close_code(POLICY_VIOLATION), [])
        assert await wire.receive() == '42["auth",{}]'
        await wire.send('42["message","hello"]')
        assert await wire.receive() == '42["message-back","hello"]'


async def test_websocket_of_a_session_that_began_on_one(calm: LiveServer) -> None:
    async with open_wire(calm) as wire:
        async with open_wire(calm, sid=wire.handshake["sid"]) as second:
            assert await second.closed() == (calm.close_code(POLICY_VIOLATION), [])
        await wire.send("40")
        sid_of(await wire.receive())


async def test_websocket_with_an_unknown_sid(calm: LiveServer) -> None:
    await fails_to_open(calm, engine_path(sid="unknown"))


@pytest.mark.parametrize("frame", ["5", "2", "2other", "4message", "abc", b"bytes"])
async def test_bad_probe_leaves_the_session_alive(
    calm: LiveServer, polling: Polling, frame: str | bytes
) -> None:
    async with probe(calm, polling) as wire:
        await wire.send(frame)
        await wire.closed()
    await greeted(polling)


async def test_lost_probe_leaves_the_session_alive(calm: LiveServer, polling: Polling) -> None:
    async with probe(calm, polling) as wire:
        await probed(wire)
    await greeted(polling)


async def test_unfinished_upgrade_times_out(kind: str, shared_server: ServerFactory) -> None:
    server = shared_server(kind, NAMESPACES=SUITE["NAMESPACES"], UPGRADE_TIMEOUT=0.5)
    async with http_client(server) as http:
        polling = await Polling.open(http)
        async with probe(server, polling) as wire:
            await probed(wire)
            await wire.closed()
        await greeted(polling)
