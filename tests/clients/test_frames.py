"""A client's frames, as RFC 6455 lets them come: in parts, in fragments, compressed, or wrong."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from tests.clients.wire import DEADLINE, DeafClient, Wire, engine_path, open_socket, text_frame
from tests.live import INDIRECT_KINDS, KINDS, LiveServer


@pytest.fixture(params=[*KINDS, *INDIRECT_KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn, and those that are used through ASGI."""
    return str(request.param)


def echo(number: int, text: str = "") -> str:
    """Return an event that is acknowledged with a number and a text."""
    return f'42/lab,{number}["echo",{number},"{text}"]'


def answer(number: int, text: str = "") -> str:
    """Return that acknowledgement."""
    return f'43/lab,{number}[{number},"{text}"]'


async def open_raw(server: LiveServer) -> DeafClient:
    """Connect to the lab with a client whose bytes a test gives."""
    client = await DeafClient.open(server, engine_path())
    await client.join_namespace("/lab")
    return client


async def ask(wire: Wire, numbers: range) -> None:
    """Send questions in one frame each, and see them answered in order."""
    for number in numbers:
        await wire.send(echo(number))
    assert await wire.receive_many(len(numbers)) == [answer(number) for number in numbers]


async def test_a_frame_may_come_byte_by_byte(server: LiveServer) -> None:
    client = await open_raw(server)
    text = "é" * 70
    for byte in text_frame(echo(1, text)):
        client.write(bytes((byte,)))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert await client.read_frame() == answer(1, text)
    client.abort()


async def test_many_frames_may_come_at_once(server: LiveServer) -> None:
    client = await open_raw(server)
    count = 200
    client.write(b"".join(text_frame(echo(number)) for number in range(count)))
    assert [await client.read_frame() for _ in range(count)] == [
        answer(number) for number in range(count)
    ]
    client.abort()


async def test_a_message_may_come_in_fragments(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await ask(wire, range(5))
        packet = echo(5, "x" * 100)
        await wire.connection.send([packet[:10], packet[10:20], packet[20:]])
        await ask_after(wire, answer(5, "x" * 100))


async def ask_after(wire: Wire, first: str) -> None:
    """See an answer, and that the wire goes on as usual."""
    assert await wire.receive() == first
    await ask(wire, range(10, 20))


async def test_a_ping_may_come_between_fragments_and_frames(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):

        async def parts() -> Any:
            packet = echo(1)
            yield packet[:10]
            await asyncio.wait_for(await wire.connection.ping(), DEADLINE)
            yield packet[10:]

        await asyncio.wait_for(await wire.connection.ping(b"before"), DEADLINE)
        await wire.connection.send(parts())
        await ask_after(wire, answer(1))
        await asyncio.wait_for(await wire.connection.ping(b"after"), DEADLINE)


async def test_frames_may_be_compressed(server: LiveServer) -> None:
    async with open_socket(server, compression="deflate") as (wire, _):
        await wire.send(echo(1, "x" * 1000))
        await ask_after(wire, answer(1, "x" * 1000))


async def test_a_large_message_may_come_in_many_parts(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        text = "0123456789é" * 50_000
        await wire.send(echo(1, text))
        await ask_after(wire, answer(1, text))


PROTOCOL_ERROR, INVALID_DATA = 1002, 1007

WRONG = {
    "unmasked": (Frame(Opcode.TEXT, b"42").serialize(mask=False), PROTOCOL_ERROR),
    "reserved bit": (b"\xc1\x81" + bytes(4) + b"4", PROTOCOL_ERROR),
    "unknown opcode": (b"\x83\x80" + bytes(4), PROTOCOL_ERROR),
    "continuation of nothing": (b"\x80\x80" + bytes(4), PROTOCOL_ERROR),
    "long ping": (b"\x89\xfe" + struct.pack(">H", 126) + bytes(130), PROTOCOL_ERROR),
    "not UTF-8": (b"\x81\x82" + bytes(4) + b"4\xff", INVALID_DATA),
}


async def close_code(client: DeafClient) -> int | None:
    """Return the code of the close frame; None where the connection is just dropped."""
    async with asyncio.timeout(DEADLINE):
        try:
            head = await client.reader.readexactly(4)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
    assert head[0] == 0x88, head
    return int.from_bytes(head[2:], "big")


@pytest.mark.parametrize(("wrong", "code"), WRONG.values(), ids=WRONG)
async def test_what_breaks_the_protocol_ends_that_connection_only(
    server: LiveServer, wrong: bytes, code: int
) -> None:
    async with open_socket(server) as (other, _):
        client = await open_raw(server)
        # The others drop the connection, with what they were about to send.
        says_why = server.kind == "uvicorn"
        client.send(echo(1))
        if not says_why:
            assert await client.read_frame() == answer(1)
        client.write(wrong)
        client.send(echo(2))
        if says_why:
            assert await client.read_frame() == answer(1)
        assert await close_code(client) == (code if says_why else None)
        await client.ended()
        await ask(other, range(3))
