"""What one client can have a server write to its log, and compute, by sending small packets."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.wire import (
    SEPARATOR,
    Polling,
    http_client,
    open_socket,
    open_wire,
    text_frame,
    websocket,
)
from tests.live import KINDS, LiveServer
from tests.ports import HOST

UVLOOP = ("uvicorn", "--loop", "uvloop")

# Bytes of a flood's payload.
SIZE = 20_000

# Bytes of log for each of them, at most.
MOST = 3

# What the client sends again and again, once it is in "/" (the demo's) and in "/lab".
FLOODS = {
    "leave and come": ["41", "40"],
    "come again": ["40"],
    "another namespace": ["40/users,", "41/users,"],
    "unknown namespaces": ["40/nowhere,"],
    "refused": ["40/refused,"],
    "missing arguments": ['42["join"]'],
    "missing arguments, with an answer": ['420["join"]'],
    "NUL in a room's name": ['42["join","\\u0000"]'],
    "NUL where a room is named": ['42["say","\\u0000",""]', '42["leave","\\u0000"]'],
    "a room's name that is too long": ['42["leave","' + "x" * 256 + '"]'],
    "a room's name that is no text": ['42/lab,["join",5]'],
    "a handler that fails": ['42/lab,["boom"]'],
    "a handler that refuses": ['42/lab,["refuse"]'],
    "a callback that fails": ['42/lab,["ask with callback"]'],
    "what the demo logs": ['42["message"]', '42/users,["x"]'],
    "format characters": ['42["message","\u202e\u2066\U000e0041"]'],
    "late answers": ["430[]", "43/lab,7[]"],
    "all at once": [
        *("41", "40", "40/nowhere,", '42["join"]', '42["message"]'),
        *('42/lab,["boom"]', '42/lab,["refuse"]'),
    ],
}


@pytest.fixture(params=[*KINDS, UVLOOP], ids=[*KINDS, "uvloop"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server of each kind that these tests have for themselves."""
    kind, *options = (request.param,) if isinstance(request.param, str) else request.param
    with LiveServer(kind, options=options) as server:
        yield server


async def echoes(server: LiveServer) -> None:
    """
    Wait until a server has answered another client, and so has done what it was sent before, and
    until all that it has logged by then is here.
    """
    async with open_socket(server) as (wire, sid):
        assert await wire.call("/lab", "echo", "here") == "here"
    await server.logged(rf"\bdisconnect namespace=/lab sid={sid} ")


def repeated(packets: list[str], size: int = SIZE) -> list[str]:
    """Return packets again and again, of so many bytes in all."""
    return packets * (size // len("".join(packets).encode()))


@pytest.mark.parametrize("packets", FLOODS.values(), ids=FLOODS)
async def test_a_flood_on_a_websocket(server: LiveServer, packets: list[str]) -> None:
    frames = repeated(packets)
    async with open_wire(server) as wire:
        sid = await wire.join_namespace("/lab")
        await wire.join_namespace()
        since = len(server.log)

        async def read() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await wire.connection.recv()

        reading = asyncio.create_task(read())
        await wire.send(*frames, '42/lab,9["echo"]')
        await echoes(server)
        reading.cancel()
    await server.logged(rf"\bdisconnect namespace=/lab sid={sid} .*transport close", since=since)
    await echoes(server)
    log = server.log[since:]
    sent = len("".join(frames).encode())
    assert len(log.encode()) < MOST * sent, log[:2_000]
    assert log.count("Traceback") <= 4


@pytest.mark.parametrize("packets", FLOODS.values(), ids=FLOODS)
async def test_a_flood_in_a_post(server: LiveServer, packets: list[str]) -> None:
    body = SEPARATOR.join(repeated(packets))
    async with http_client(server) as http:
        polling = await Polling.open(http)
        await polling.join_namespace("/lab")
        await polling.join_namespace()
        since = len(server.log)
        posting = asyncio.create_task(polling.post(body))
        while not posting.done():  # what it is sent has to be read, too
            polled = asyncio.create_task(polling.get())
            await asyncio.wait({posting, polled}, return_when=asyncio.FIRST_COMPLETED)
            if not polled.done():
                await polling.http.get("/")  # no answer is due: one of the pages, meanwhile
                polled.cancel()
        assert (await posting).status_code == 200
        await echoes(server)
        log = server.log[since:]
    assert len(log.encode()) < MOST * len(body.encode()), log[:2_000]
    assert log.count("Traceback") <= 4


async def test_a_megabyte_of_connects(server: LiveServer) -> None:
    """As large a POST as is taken, whose client reads all answers."""
    body = SEPARATOR.join(repeated(["41", "40"], 660_000))
    assert 980_000 < len(body) < 1_000_000
    process = psutil.Process(server.pid)

    def seconds() -> float:
        return sum(process.cpu_times()[:2])

    async with http_client(server) as http:
        polling = await Polling.open(http)
        await polling.join_namespace()
        since, before = len(server.log), seconds()
        posting = asyncio.create_task(polling.post(body))
        async with open_socket(server) as (wire, _):
            for number in range(20):
                assert await wire.call("/lab", "echo", number) == number, "others go on"
        assert seconds() - before < 8
        posting.cancel()
        log = server.log[since:]
    assert len(log.encode()) < MOST * len(body)


async def test_requests_that_are_forbidden(server: LiveServer) -> None:
    head = f"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
    request = f"{head}Origin: http://foreign.example\r\n\r\n".encode()
    since = len(server.log)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    for _ in range(200):
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 403 " in answer
        length = re.search(rb"content-length: (\d+)", answer.lower())
        assert length is not None
        await reader.readexactly(int(length[1]))
    writer.close()
    await echoes(server)
    log = server.log[since:]
    assert "forbidden host=" in log
    assert len(log) < 200 * len(request)
    assert log.count("forbidden host=") < 100


async def test_a_plain_websocket(server: LiveServer) -> None:
    frames = ['{"event":"boom"}', '{"event":"join","args":[5]}'] * 500
    since = len(server.log)
    async with websocket(server, "/ws/lab/") as connection:
        await connection.recv()
        for frame in frames:
            await connection.send(frame)
        await connection.send('{"event":"echo","id":1}')
        while '"ack"' not in str(await connection.recv()):
            pass
    await echoes(server)
    log = server.log[since:]
    assert len(log) < MOST * len("".join(frames))
    assert log.count("Traceback") <= 4


async def test_clients_that_come_again_and_again(server: LiveServer) -> None:
    """Each causes no more than one may, and all together no more tracebacks than a process may."""
    frames = ["40/lab,", *['42/lab,["boom"]'] * 3, '42/lab,1["echo"]']
    sent, since = 0, len(server.log)
    for _ in range(200):
        async with open_wire(server) as wire:
            await wire.send(*frames)
            assert wire.connection.request is not None
            sent += len(wire.connection.request.serialize()) + sum(
                len(text_frame(f)) for f in frames
            )
            while not str(await wire.receive()).startswith("43/lab,1"):
                pass
    await echoes(server)
    log = re.sub("^INFO: .*\n", "", server.log[since:], flags=re.M)  # uvicorn's own
    assert log.count("ERROR realtime error ") == 600
    assert log.count("Traceback") < 200
    assert "error=RuntimeError" in log
    assert len(log.encode()) < MOST * sent, (len(log), sent)


async def test_what_was_left_out_is_told(server: LiveServer) -> None:
    since = len(server.log)
    async with open_socket(server) as (wire, sid):
        for _ in range(100):
            await wire.send('42/lab,["boom"]', '42/lab,["refuse"]')
        before: Any = await wire.call("/lab", "report")
    pattern = r'unlogged connection=\S+ .*skipped=(\d+) kinds="(error:\d+ event-error:\d+.*)"'
    told = await server.logged(pattern, since=since)
    assert int(told[1]) >= 180
    assert before["unlogged"] >= 180
    assert server.log[since:].count(f"WARNING realtime event-error namespace=/lab sid={sid}") < 30
