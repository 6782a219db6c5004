"""The clients of "Let clients come back", whose connections break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import socketio
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.docs.blocks import block_with, defined_by
from tests.docs.conftest import Site
from tests.ports import HOST, free_port
from tests.valkey import Valkey

PAGE = "let-clients-come-back.md"
DEADLINE = 60

# A binary event, so that its offset is not there before its bytes are.
EMIT = """
chat = realtime.of("/chat").to("lobby")
for number in {numbers}:
    chat.emit("said", number, b"bytes" if number % 2 else "text")
"""

COUNT = 'print(realtime.of("/chat").sockets().present().count())'

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["uvicorn", "daphne"], scope="module")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey: Valkey
) -> Iterator[Site]:
    """The documentation's site with recovery."""
    with Site(request.param, tmp_path_factory.mktemp("mysite"), valkey, RECOVERY="120") as site:
        yield site


async def run(site: Site, code: str) -> str:
    """Run code in a process that is no server; return what it has printed."""
    return await asyncio.to_thread(site.run, f"import realtime\n{code}")


async def emit(site: Site, *numbers: int) -> None:
    """Send numbers to all who chat."""
    await run(site, EMIT.format(numbers=numbers))


def sent(*numbers: int) -> list[tuple[int, Any]]:
    """Return what handlers get of these numbers."""
    return [(number, b"bytes" if number % 2 else "text") for number in numbers]


async def until(heard: list[Any], expected: list[Any]) -> None:
    """Wait until this was heard, and see that nothing else was."""
    async with asyncio.timeout(DEADLINE):
        while len(heard) < len(expected):
            await asyncio.sleep(0.01)
    assert heard == expected


async def drop(client: socketio.AsyncClient) -> None:
    """Break a connection, and end what serves it: that would take the next one for its own."""
    serving = [client.eio.read_loop_task, client.eio.write_loop_task]
    await client.eio.disconnect(abort=True)
    for task in serving:
        task.cancel()
    await asyncio.wait(serving)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_python_client(site: Site, transport: str) -> None:
    """Each of its namespaces comes back, and its handlers get what was sent, and no more."""
    recovering = defined_by(block_with(PAGE, "def recovering"))["recovering"]
    client = socketio.AsyncClient(reconnection=False, serializer=recovering())
    said: list[Any] = []
    greetings: list[Any] = []
    client.on("said", lambda *args: said.append(args), namespace="/chat")
    client.on("message", lambda *args: greetings.append(args), namespace="/")

    async def come(**auth: Any) -> dict[str, Any]:
        namespaces, transports = ["/", "/chat"], [transport]
        await client.connect(site.url, {}, auth, transports, namespaces, wait_timeout=DEADLINE)
        return dict(client.namespaces)

    sids = await come()
    await emit(site, 1, 2)
    await until(said, sent(1, 2))
    for first in (3, 5):
        await drop(client)
        await emit(site, first, first + 1)
        assert await come(token="the site's own") == sids
        await until(said, sent(*range(1, first + 2)))
    await until(greetings, [("I'm server",)] * 3)
    await run(site, f"realtime.to_client({sids['/chat']!r}).close()")
    async with asyncio.timeout(DEADLINE):
        while "/chat" in client.namespaces:
            await asyncio.sleep(0.01)
    await drop(client)
    after = await come()
    assert after["/"] == sids["/"]
    assert after["/chat"] != sids["/chat"], "who was disconnected is a new client"
    await emit(site, 7)
    await until(said, sent(*range(1, 8)))  # the client takes half a binary event along
    await drop(client)
    assert await come() == after
    await until(said, sent(*range(1, 8)))
    await client.disconnect()


async def test_python_client_comes_back_by_itself(site: Site) -> None:
    recovering = defined_by(block_with(PAGE, "def recovering"))["recovering"]
    client = socketio.AsyncClient(reconnection_delay=0.1, serializer=recovering())
    heard: list[Any] = []
    sids: list[Any] = []
    client.on("said", lambda *args: heard.append(args), namespace="/chat")
    client.on("connect", lambda: sids.append(client.get_sid("/chat")), namespace="/chat")
    await client.connect(site.url, transports=["websocket"], wait_timeout=DEADLINE)
    for number in (1, 2, 3):
        await client.eio.ws.close()
        await emit(site, number)
        await until(heard, sent(*range(1, number + 1)))
    await until(sids, [sids[0]] * 4)
    await client.disconnect()


# How servers and proxies behave at a deploy, before one of them lets a client in.
STOPS = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
NOBODY_BEHIND = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
CUT_OFF = b""
CUT_IN_THE_MIDST = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso"


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """Answer each request like this and hang up; yield the port."""

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(answer_one, HOST, 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@asynccontextmanager
async def closing(code: int) -> AsyncIterator[int]:
    """Let each client in, and close its WebSocket with a code; yield the port."""

    async def close(socket: ServerConnection) -> None:
        await socket.close(code)

    async with serve(close, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


def listener() -> dict[str, Any]:
    """Return what the page's program defines, with a pause that is shorter."""
    names = defined_by(block_with(PAGE, "async def listen"))
    names["asyncio"] = SimpleNamespace(sleep=lambda _: asyncio.sleep(0.01))
    return names


async def test_plain_websocket(site: Site) -> None:
    """What is sent while it is away comes when it is back, and nothing comes twice."""
    names = listener()
    sockets: list[ClientConnection] = []
    detours: list[int] = []  # the ports at which it tries first
    gate = asyncio.Event()
    gate.set()

    @asynccontextmanager
    async def gated(url: str) -> AsyncIterator[ClientConnection]:
        await gate.wait()
        if detours:
            async with connect(url.replace(f":{site.port}/", f":{detours.pop()}/")) as socket:
                yield socket
            return
        async with connect(url) as socket:
            sockets.append(socket)
            yield socket

    names["connect"] = gated
    heard: list[Any] = []

    async def handle(event: str, *args: Any) -> None:
        heard.append(args)

    plain = [
        (number, {"$bytes": "Ynl0ZXM="} if isinstance(text, bytes) else text)
        for number, text in sent(*range(1, 7))
    ]
    url = f"ws://{HOST}:{site.port}/ws/chat"
    listening = asyncio.create_task(names["listen"](url, handle))
    async with AsyncExitStack() as stack:
        ports = [
            await stack.enter_async_context(answering(answer))
            for answer in (STOPS, NOBODY_BEHIND, CUT_OFF, CUT_IN_THE_MIDST)
        ]
        ports += [
            await stack.enter_async_context(closing(code)) for code in (1000, 1001, 1012, 4408)
        ]
        ports.append(free_port())  # where nobody listens
        stack.callback(listening.cancel)
        async with asyncio.timeout(DEADLINE):
            while await run(site, COUNT) != "1\n":
                pass
        await emit(site, 1, 2)
        await until(heard, plain[:2])
        for number in (3, 5):
            gate.clear()
            sockets[-1].transport.abort()
            await emit(site, number, number + 1)
            detours += ports
            gate.set()
            await until(heard, plain[: number + 1])
            assert not detours
        assert len(sockets) == 3
        assert not listening.done()


async def test_plain_websocket_that_is_refused(site: Site) -> None:
    with pytest.raises(ConnectionClosed, match="4404"):
        await listener()["listen"](f"ws://{HOST}:{site.port}/ws/nowhere", print)


@pytest.mark.parametrize("code", [4400, 4401, 4403])
async def test_plain_websocket_that_may_not_come_in(code: int) -> None:
    async with closing(code) as port:
        with pytest.raises(ConnectionClosed, match=str(code)):
            await listener()["listen"](f"ws://{HOST}:{port}/ws/chat", print)


async def test_plain_websocket_of_a_foreign_origin(site: Site) -> None:
    names = listener()
    names["connect"] = partial(connect, origin="https://elsewhere.example")
    with pytest.raises(InvalidStatus, match="403"):
        await names["listen"](f"ws://{HOST}:{site.port}/ws/chat", print)
