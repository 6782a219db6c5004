"""No connection outlives its client, whatever the client had sent before it went away."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clients.bad_input.conftest import witnessed
from tests.clients.wire import (
    DeafClient,
    connect_packet,
    engine_path,
    eventually,
    open_socket,
    text_frame,
)
from tests.conftest import ServerFactory
from tests.live import LOOP_KINDS, LiveServer

CLIENTS = 12
PLAIN, ENGINE = "/ws/lab/", engine_path()
PATHS = [pytest.param(PLAIN, id="plain"), pytest.param(ENGINE, id="Socket.IO")]
ENDS = ["FIN", "RST"]

EMPTY_PING = b"\x89\x80" + bytes(4)
BEGIN = b"\x01\x81" + bytes(4) + b"{"  # the first fragment of a text


def event(path: str, name: str, *args: Any) -> bytes:
    """Return the frame of an event for the namespace "/lab"."""
    if path == PLAIN:
        return text_frame(json.dumps({"event": name, "args": args}))
    return text_frame("42/lab," + json.dumps([name, *args]))


def before_the_end(path: str) -> dict[str, bytes]:
    """Return what a client may send at once before it goes away."""
    nothing = event(path, "nothing")
    return {
        "events and pings": (nothing + EMPTY_PING) * 40,
        "a turn of events, and a ping": nothing * 32 + EMPTY_PING,
        "more than an inbox holds, and pings": event(path, "sleep", 0.5)
        + (nothing + EMPTY_PING) * 600,
        "answers that nobody reads, and pings": (event(path, "echo", "x" * 50_000) + EMPTY_PING)
        * 60,
        "a turn of events, and a fragment": nothing * 32 + BEGIN + EMPTY_PING * 8,
        "a turn of events, and what is no frame": nothing * 32 + b"\xff" * 40,
        "a turn of events, and part of one": nothing * 33 + nothing[:-1],
        "a turn of events, and a close frame": nothing * 32 + b"\x88\x80" + bytes(4) + nothing,
    }


@pytest.fixture(params=LOOP_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn, on each event loop."""
    return str(request.param)


@pytest.fixture
async def patient(kind: str, shared_server: ServerFactory) -> AsyncIterator[LiveServer]:
    """A server with a witness on it, whose heartbeats come too late to be of help."""
    times = {"PING_INTERVAL": 300, "PING_TIMEOUT": 300, "OUTBOX_BYTES": 1024 * 1024}
    async with witnessed(shared_server(kind, **times)) as server:
        yield server


async def leave(server: LiveServer, path: str, data: bytes, end: str) -> None:
    """Connect, send, and go away without having read anything but the handshake."""
    client = await DeafClient.open(server, path)
    if path == ENGINE:
        client.send(connect_packet("/lab"))
    client.write(data)
    # What the server does not read stays with this client, and must not keep it from going.
    if end == "RST":
        plug: socket.socket = client.writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.abort()


async def alone(server: LiveServer) -> None:
    """Wait until no client is left on the server but the witness, and whoever asks."""
    async with open_socket(server) as (wire, _):

        async def nobody_else() -> bool:
            stats = await wire.call("/lab", "stats")
            return stats["hub_connections"] == stats["hub_sockets"] == 2

        await eventually(nobody_else)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("path", PATHS)
async def test_whoever_goes_away_is_gone(patient: LiveServer, path: str, end: str) -> None:
    for name, data in before_the_end(path).items():
        since = len(patient.log)
        await asyncio.gather(*(leave(patient, path, data, end) for _ in range(CLIENTS)))
        await alone(patient)
        assert "task-failed" not in patient.log[since:], name
