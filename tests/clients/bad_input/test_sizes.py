"""Bodies, frames and attachments beyond their size."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.bad_input.conftest import (
    MAX_FIRST,
    MAX_PAYLOAD,
    PLACEHOLDER,
    grows_little,
)
from tests.clients.wire import DEADLINE, DeafClient, Polling, engine_path, open_socket
from tests.live import LiveServer
from tests.ports import HOST


async def in_chunks(size: int) -> AsyncIterator[bytes]:
    """Give a body in pieces, so that no header tells its length."""
    yield b"4"
    for _ in range(size // 10_000):
        yield b"x" * 10_000


@pytest.mark.parametrize("size", [MAX_PAYLOAD, 5 * MAX_PAYLOAD])
@pytest.mark.parametrize("make", [lambda size: b"4" + b"x" * size, in_chunks])
async def test_oversize_body(
    http: httpx.AsyncClient, make: Callable[[int], Any], size: int
) -> None:
    polling = await Polling.open(http)
    assert (await polling.post(make(size))).status_code == 413


def send_all(server: LiveServer, head: str, size: int, tail: bytes) -> bytes:
    """Send a request and all of its body, and only then read; return the answer."""
    with socket.create_connection((HOST, server.port), timeout=DEADLINE) as client:
        client.sendall(head.encode())
        with memoryview(b"x" * 65_536) as block:
            for _ in range(size // len(block)):
                client.sendall(block)
        client.sendall(tail)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = client.recv(65_536)
            assert part, answer
            answer += part
        return answer


@pytest.mark.parametrize("encoding", ["content-length: {size}", "transfer-encoding: chunked"])
@pytest.mark.parametrize(
    ("path", "status"),
    [("sid={sid}", 413), ("sid=unknown", 400), ("transport=none", 400)],
    ids=["too large", "unknown session", "bad request"],
)
async def test_the_answer_to_a_large_body_is_not_lost(
    server: LiveServer, http: httpx.AsyncClient, path: str, status: int, encoding: str
) -> None:
    size = 24 * 1024 * 1024
    polling = await Polling.open(http)
    for _ in range(3):
        query = "EIO=4&transport=polling&" + path.format(sid=polling.sid)
        head = (
            f"POST /socket.io/?{query} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
            f"{encoding.format(size=size)}\r\n\r\n"
        )
        tail = b""
        if "chunked" in encoding:
            head, tail = head + f"{size:x}\r\n", b"\r\n0\r\n\r\n"
        answer = await asyncio.to_thread(send_all, server, head, size, tail)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer


# Not daphne, which reads a body before it asks the application.
@pytest.mark.parametrize("kind", ["uvicorn", "uvicorn-wsproto"])
async def test_a_body_without_end_has_its_answer_and_an_end(
    server: LiveServer, http: httpx.AsyncClient
) -> None:
    polling = await Polling.open(http)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    query = f"EIO=4&transport=polling&sid={polling.sid}"
    writer.write(
        f"POST /socket.io/?{query} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
        f"content-length: {100 * MAX_PAYLOAD}\r\n\r\nx".encode()
    )
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        try:
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass
    writer.close()


async def test_body_of_just_the_size(http: httpx.AsyncClient) -> None:
    polling = await Polling.open(http)
    await polling.join_namespace("/lab")
    head, tail = '42/lab,1["nothing","', '"]'
    text = "x" * (MAX_PAYLOAD - len(head) - len(tail))
    await polling.send(head + text + tail)
    assert await polling.receive() == "43/lab,1[]"


@pytest.mark.parametrize("size", [MAX_PAYLOAD, 20 * MAX_PAYLOAD])
@pytest.mark.parametrize("kind_of_frame", ["text", "binary"])
async def test_oversize_frame(server: LiveServer, size: int, kind_of_frame: str) -> None:
    async with open_socket(server) as (wire, sid):
        frame = "4" + "x" * size
        with suppress(ConnectionClosed):
            await wire.send(frame if kind_of_frame == "text" else frame.encode())
        code, _ = await wire.closed()
        # A server that resets the connection can lose its own close frame.
        expected = server.close_code(1009)
        assert code in ((expected,) if size == MAX_PAYLOAD else (expected, 1006, 1009))
        await server.logged(rf"disconnect .*{sid}")


@pytest.mark.parametrize("size", [70_000, MAX_PAYLOAD])
@pytest.mark.parametrize("make", [lambda size: b"4" * size, in_chunks])
async def test_a_large_body_before_the_first_namespace(
    http: httpx.AsyncClient, make: Callable[[int], Any], size: int
) -> None:
    polling = await Polling.open(http)
    assert (await polling.post(make(size))).status_code == 413
    token = {"token": "x" * (MAX_FIRST - 30)}
    await polling.join_namespace("/lab", token)
    await polling.send(f'42/lab,1["nothing","{"x" * (MAX_PAYLOAD - 30)}"]')
    assert await polling.receive() == "43/lab,1[]"


ANONYMOUS = 60


def partial_frame(opcode: int, size: int) -> bytes:
    """Return all but the end of a frame; it is a fragment where the opcode has no FIN."""
    return bytes((opcode, 0xFF)) + struct.pack(">Q", size) + bytes(4) + b"4" * (size - 100)


@pytest.mark.parametrize("opcode", [0x81, 0x01], ids=["whole", "fragment"])
async def test_many_who_send_most_of_a_large_frame_and_no_more(
    server: LiveServer, opcode: int
) -> None:
    """Nobody knows them yet: they cost little, however long they wait."""
    if not server.known:
        pytest.skip("what waits for the rest of a frame waits in the server")
    clients: list[DeafClient] = []

    async def attack() -> None:
        for _ in range(ANONYMOUS):
            client = await DeafClient.open(server, engine_path())
            clients.append(client)
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    client.write(partial_frame(opcode, MAX_PAYLOAD))
                    await client.writer.drain()

    await grows_little(server, attack)
    for client in clients:
        client.abort()


async def test_attachments_beyond_the_size_of_a_packet(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        with suppress(ConnectionClosed):
            await wire.send(f'4550-/lab,["echo",{PLACEHOLDER}]', *[bytes(MAX_PAYLOAD)] * 50)
        await wire.closed()
        await server.logged(rf"disconnect .*{sid}")
