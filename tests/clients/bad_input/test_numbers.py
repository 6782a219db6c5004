"""Ten thousand of what one is harmless."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import httpx
from websockets.exceptions import ConnectionClosed

from tests.clients.wire import Polling, open_socket, open_wire
from tests.live import LiveServer

# What CONNECT_RATE lets one client ask for at once, beside the namespace "/" that it is in.
ALLOWED = 199
PER_SECOND = 200 / 10


def refusal(name: str, message: str) -> str:
    """Return the CONNECT_ERROR of a namespace."""
    return f'44{name},{{"message":"{message}"}}'


async def test_connect_to_10000_unknown_namespaces(server: LiveServer) -> None:
    started = time.monotonic()
    async with open_socket(server) as (wire, _):
        names = [f"/unknown-{number}" for number in range(10_000)]
        sending = asyncio.create_task(wire.send(*[f"40{name}," for name in names]))
        answers = await wire.receive_many(len(names))
        found = list(zip(answers, names, strict=True))
        looked_for = [answer == refusal(name, "Invalid namespace") for answer, name in found]
        assert all(looked_for[:ALLOWED])
        # What comes beyond that is looked for as time goes by, and else not at all.
        assert sum(looked_for) <= ALLOWED + 1 + (time.monotonic() - started) * PER_SECOND
        for (answer, name), was_looked_for in zip(found, looked_for, strict=True):
            assert was_looked_for or answer == refusal(name, "Too many connects")
        assert not all(looked_for)
        await sending
        assert await wire.call("/lab", "echo", "alive") == "alive"


async def test_connect_to_10000_known_namespaces(server: LiveServer) -> None:
    async with open_wire(server) as wire:
        sending = asyncio.create_task(wire.send(*[f"40/typed/{n}," for n in range(10_000)]))
        accepted = refused = 0
        with suppress(ConnectionClosed):
            while accepted + refused < 10_000:
                frame = str(await wire.receive())
                accepted += frame.startswith("40")
                refused += frame.startswith("44")
        assert accepted <= 100
        with suppress(ConnectionClosed):
            await sending


async def test_10000_events_at_once_over_websocket(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        events = [f'42/lab,{number}["echo",{number}]' for number in range(10_000)]
        sending = asyncio.create_task(wire.send(*events))
        answers = await wire.receive_many(len(events))
        assert answers == [f"43/lab,{number}[{number}]" for number in range(10_000)]
        await sending


async def test_10000_events_at_once_over_polling(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    events = [f'42/lab,{number}["echo",{number}]' for number in range(10_000)]
    sending = asyncio.create_task(polling.send(*events))
    answers = [await polling.receive() for _ in events]
    assert answers == [f"43/lab,{number}[{number}]" for number in range(10_000)]
    await sending


async def test_more_events_than_a_handler_keeps_up_with(server: LiveServer) -> None:
    """What may not wait in the server waits with the client."""
    async with open_socket(server) as (wire, _):
        events = ['42/lab,["sleep",1]', *['42/lab,["nothing"]'] * 20_000]
        sending = asyncio.create_task(wire.send(*events))
        assert await wire.call("/lab", "echo", "at last") == "at last"
        await sending


async def test_more_events_than_may_wait(server: LiveServer) -> None:
    """Whose acknowledgement is awaited has to be heard, and so has to keep to the bound."""
    async with open_socket(server) as (wire, sid):
        with suppress(ConnectionClosed):
            await wire.send('42/lab,["ask"]', *['42/lab,["nothing"]'] * 20_000)
        await wire.closed()
        await server.logged(rf"inbox-full .*{sid}")
        await server.logged(rf'disconnect .*{sid}.*reason="forced server close"')


async def test_500_connections_at_once(server: LiveServer) -> None:
    async def come_and_go() -> None:
        async with open_socket(server) as (wire, _):
            assert await wire.call("/lab", "echo", 1) == 1

    await asyncio.gather(*(come_and_go() for _ in range(500)))
