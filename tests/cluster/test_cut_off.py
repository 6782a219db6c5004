"""
A process that is cut off from the layer sends again what it got no answer for, and its receivers
handle it once: real clients count.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.cluster.conftest import Connect
from tests.clusters import LiveCluster
from tests.live import LiveServer
from tests.proxy import Proxy
from tests.valkey import Valkey

pytestmark = pytest.mark.timeout(180)

KINDS = ("daphne", "uvicorn", "daphne")

# Clients on each of the servers that hear, and the rounds of losses.
WITNESSES = 60
ROUNDS = 2


class Witnesses:
    """Clients that count what they are told, in order."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, stack: AsyncExitStack, server: LiveServer) -> None:
        """Add one on a server, in the room "room"."""
        url = f"{server.ws_url}/socket.io/?EIO=4&transport=websocket"
        client = await stack.enter_async_context(connect(url, proxy=None))
        await client.recv()
        await client.send('40/cluster,{"rooms":["room"]}')
        await client.recv()
        told: list[str] = []
        self.told.append(told)
        self._tasks.append(asyncio.create_task(self._listen(client, told)))
        stack.callback(self._tasks[-1].cancel)

    async def _listen(self, client: ClientConnection, told: list[str]) -> None:
        async for message in client:
            if message == "2":
                await client.send("3")
            else:
                told.append(str(message).partition('["said","')[2].rstrip('"]'))

    async def until(self, last: str) -> None:
        """Wait until all have been told something."""
        async with asyncio.timeout(60):
            while not all(last in told for told in self.told):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def cut_off(
    valkey: Valkey, layer: str, kind: str
) -> AsyncIterator[tuple[LiveCluster, Proxy]]:
    """Give a cluster whose first server, of this kind, reaches its layer through a proxy."""
    async with Proxy(valkey.port) as proxy:
        cluster = LiveCluster((kind, *KINDS[:2]), valkey, layer=layer)
        cluster.servers[0] = LiveServer(
            kind,
            settings="tests.site.settings",
            env={**cluster.env, "REDIS_URL": proxy.url},
            database=cluster.database,
            application="tests.site.asgi:application",
        )
        await asyncio.to_thread(cluster.start)
        try:
            yield cluster, proxy
        finally:
            await asyncio.to_thread(cluster.close)


@pytest.mark.parametrize(("kind", "seconds"), [("uvicorn", 12), ("daphne", 12), ("uvicorn", 0)])
async def test_what_is_sent_again_is_handled_once(
    valkey: Valkey, join: Connect, layer: str, kind: str, seconds: float
) -> None:
    async with AsyncExitStack() as stack, cut_off(valkey, layer, kind) as (cluster, proxy):
        one = await join(cluster[0])
        witnesses = Witnesses()
        for server in cluster.servers[1:]:
            await asyncio.gather(*(witnesses.add(stack, server) for _ in range(WITNESSES)))
        async with asyncio.timeout(30):
            while await one.call("wait for peers") < 2:
                await asyncio.sleep(0.05)
        expected = []
        for number in range(ROUNDS):
            marked, later = f"marked-{number}", [f"later-{number}-{i}" for i in range(5)]
            expected += [f"before-{number}", marked, *later]
            await one.call("emit to", ["room"], [], f"before-{number}")
            await witnesses.until(f"before-{number}")
            since = [len(server.log) for server in cluster]
            proxy.lose_answer(marked.encode())
            await one.call("emit to", ["room"], [], marked)
            async with asyncio.timeout(30):
                await proxy.lost.wait()
            await witnesses.until(marked)  # it has arrived: its answer alone is lost
            proxy.cut()
            for text in later:
                await one.call("emit to", ["room"], [], text)
            if seconds:
                for server, start in zip(cluster.servers[1:], since[1:], strict=True):
                    await server.logged("server-gone", 60, start)
                await asyncio.sleep(seconds - 6)  # this is what is tested: time passes
            proxy.mend()
            await witnesses.until(later[-1])
        await one.call("emit to", ["room"], [], "last")
        await witnesses.until("last")
        expected.append("last")
        assert len(witnesses.told) == 2 * WITNESSES
        twice = Counter(
            text for told in witnesses.told for text, n in Counter(told).items() if n > 1
        )
        assert not twice
        assert all(told == expected for told in witnesses.told)
        for server in cluster.servers[1:]:
            assert await (await join(server)).call("lost") == 0
