"""Payloads that are small on the wire and costly to parse."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from realtime.execution.pacing import SECONDS_PER_SLICE
from tests.clients.bad_input.conftest import fill
from tests.clients.wire import Wire, open_socket
from tests.live import LOOP_KINDS, LiveServer

COSTLY = {
    "floats": "1e300,",
    "floats without an exponent": "9007199254740993.0,",
    "deep lists": "[" * 94 + "]" * 94 + ",",
    "empty lists": "[],",
    "empty objects": "{},",
    "halves of pairs": '"\\ud83d",',
    "texts of a letter": '"a",',
}


# How much longer the same work takes while others fill the processor's caches.
CACHES = 1.5
# Seconds for all that is no JSON: to read a frame of this size, and to answer the witness.
OVERHEAD = 0.05


def server_time(server: LiveServer) -> float:
    """Return the seconds for which the server's event loop has had a processor."""
    return int(Path(f"/proc/{server.pid}/schedstat").read_text().split()[0]) / 1e9


async def cost(server: LiveServer, wire: Wire, *frames: str) -> float:
    """Return the server's time until it has taken these frames."""
    before = server_time(server)
    await wire.send(*frames)
    assert await wire.call("/lab", "echo", "taken") == "taken"
    return server_time(server) - before


def standard_cost(frame: str) -> float:
    """Return the time that `json.loads` takes for a frame's text."""
    text = frame[frame.index("[") :]
    times = []
    for _ in range(3):
        started = time.thread_time()
        json.loads(text)
        times.append(time.thread_time() - started)
    return min(times)


@pytest.mark.parametrize("kind", LOOP_KINDS, indirect=True)
@pytest.mark.parametrize("unit", COSTLY.values(), ids=COSTLY)
async def test_others_are_answered_between_one_clients_costly_frames(
    server: LiveServer, unit: str
) -> None:
    """
    Many frames take a while; somebody else waits for two of them at most, and a turn.

    What the server's process computes meanwhile is measured: nothing else on the machine is in it.
    """
    frame = fill('42/lab,["nothing",', unit, "0]")
    async with open_socket(server) as (costly, _), open_socket(server) as (other, _):
        once = min([await cost(server, costly, frame) for _ in range(3)])
        assert once < 3 * standard_cost(frame) * CACHES + OVERHEAD
        most = SECONDS_PER_SLICE + 2 * once * CACHES + OVERHEAD
        count = max(12, int(8 * most / once))
        taking = asyncio.create_task(cost(server, costly, *[frame] * count))
        longest, answered = 0.0, 0
        while not taking.done() or answered < 5:
            before = server_time(server)
            assert await other.call("/lab", "echo", answered) == answered
            longest = max(longest, server_time(server) - before)
            answered += 1
        assert await taking > 4 * most, "they cost enough to be seen"
    assert longest < 2 * most
