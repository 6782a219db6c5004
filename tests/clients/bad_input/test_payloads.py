"""What comes before the first namespace, and halves of surrogate pairs."""

from __future__ import annotations

import json
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.bad_input.conftest import MAX_FIRST, MAX_PAYLOAD, fill
from tests.clients.test_plain_websocket import connected
from tests.clients.wire import Polling, open_socket, open_wire
from tests.live import EVERY_LOOP_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_LOOP_KIND, indirect=True)


@pytest.mark.parametrize("size", [MAX_FIRST, MAX_PAYLOAD])
@pytest.mark.parametrize("head", ["45100-", "4510-/lab,", "42"])
async def test_nothing_is_kept_before_the_first_namespace(
    server: LiveServer, head: str, size: int
) -> None:
    async with open_wire(server) as wire:
        with suppress(ConnectionClosed):
            await wire.send(fill(head + '["a",', "[],", "0]", size), bytes(size))
        code, _ = await wire.closed()
        if size > MAX_FIRST:  # a server that resets the connection can lose its own close frame
            assert code in (server.close_code(1009), 1006)
        elif server.kind == "uvicorn-wsproto":  # where both frames may come before one is parsed
            assert code in (1002, 1009)
        else:
            assert code == server.close_code(1002)


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
