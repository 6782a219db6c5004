"""Payloads that are small on the wire and costly to parse, and halves of surrogate pairs."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.bad_input.conftest import MAX_PAYLOAD
from tests.clients.test_plain_websocket import connected
from tests.clients.wire import Polling, open_socket, open_wire
from tests.live import LiveServer

COSTLY = {
    "floats": "1e300,",
    "floats without an exponent": "9007199254740993.0,",
    "deep lists": "[" * 94 + "]" * 94 + ",",
    "empty lists": "[],",
    "empty objects": "{},",
    "halves of pairs": '"\\ud83d",',
}


def fill(head: str, unit: str, tail: str, size: int = MAX_PAYLOAD) -> str:
    """Return a payload of just this size, the largest that is accepted."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


@pytest.mark.parametrize("unit", COSTLY.values(), ids=COSTLY)
async def test_others_are_answered_between_one_clients_costly_frames(
    server: LiveServer, unit: str
) -> None:
    """Twelve frames take a while; somebody else waits for one or two of them at a time."""
    frame = fill('42/lab,["nothing",', unit, "0]", MAX_PAYLOAD // 4)
    async with open_socket(server) as (costly, _), open_socket(server) as (other, _):
        sending = asyncio.create_task(costly.send(*[frame] * 12))
        answered = 0
        while not sending.done() or answered < 5:
            assert await other.call("/lab", "echo", answered) == answered
            answered += 1
        await sending
        assert await costly.call("/lab", "echo", "alive") == "alive"


@pytest.mark.parametrize("head", ["45100-", "4510-/lab,", "42"])
async def test_nothing_is_kept_before_the_first_namespace(server: LiveServer, head: str) -> None:
    async with open_wire(server) as wire:
        with suppress(ConnectionClosed):
            await wire.send(fill(head + '["a",', "[],", "0]"), bytes(MAX_PAYLOAD))
        assert (await wire.closed())[0] == server.close_code(1002)


HALF = '"good morning \\ud83d"'
MENDED = "good morning \ufffd"


async def test_half_a_surrogate_pair_over_websocket(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send(f'42/lab,1["echo",{HALF}]')
        assert json.loads(str(await wire.receive()).removeprefix("43/lab,1")) == [MENDED]


async def test_half_a_surrogate_pair_over_polling(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    await polling.send(f'42/lab,1["echo",{{{HALF}:1}}]')
    answer = str(await polling.receive())
    assert json.loads(answer.removeprefix("43/lab,1")) == [{MENDED: 1}]


async def test_half_a_surrogate_pair_over_plain_websocket(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        await plain.connection.send(f'{{"event":"echo","args":[{HALF}],"id":7}}')
        assert await plain.receive() == {"ack": 7, "args": [MENDED]}
