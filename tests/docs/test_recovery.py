"""The clients of "Let clients come back", whose connections break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from websockets.asyncio.client import ClientConnection, connect

from tests.docs.blocks import Block, all_blocks
from tests.docs.conftest import Site
from tests.ports import HOST
from tests.valkey import Valkey

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


def block_with(text: str) -> Block:
    """Return the block of the page that has this text."""
    (block,) = (
        each
        for each in all_blocks("python")
        if each.page.name == "let-clients-come-back.md" and text in each.code
    )
    return block


def defined_by(block: Block) -> dict[str, Any]:
    """Run a block, and return what it defines."""
    names: dict[str, Any] = {}
    exec(compile(block.code, block.id, "exec"), names)
    return names


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
    recovering = defined_by(block_with("def recovering"))["recovering"]
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
    recovering = defined_by(block_with("def recovering"))["recovering"]
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


async def test_plain_websocket(site: Site) -> None:
    """What is sent while it is away comes when it is back, and nothing comes twice."""
    names = defined_by(block_with("async def listen"))
    sockets: list[ClientConnection] = []
    gate = asyncio.Event()
    gate.set()

    @asynccontextmanager
    async def gated(url: str) -> AsyncIterator[ClientConnection]:
        await gate.wait()
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
    try:
        async with asyncio.timeout(DEADLINE):
            while await run(site, COUNT) != "1\n":
                pass
        await emit(site, 1, 2)
        await until(heard, plain[:2])
        for number in (3, 5):
            gate.clear()
            sockets[-1].transport.abort()
            await emit(site, number, number + 1)
            gate.set()
            await until(heard, plain[: number + 1])
        assert len(sockets) == 3
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_plain_websocket_that_is_refused(site: Site) -> None:
    names = defined_by(block_with("async def listen"))
    with pytest.raises(Exception, match="4404"):
        await names["listen"](f"ws://{HOST}:{site.port}/ws/nowhere", print)
