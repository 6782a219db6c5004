"""Two servers of a cluster, and clients of "/cluster" on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.clients.python import Client, connected
from tests.clients.wire import eventually
from tests.clusters import LAYERS, LiveCluster
from tests.live import LiveServer
from tests.valkey import Valkey

KINDS = ("daphne", "uvicorn")

Connect = Callable[..., Awaitable["Member"]]


class Member:
    """A client in "/cluster"."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sid = client.sid("/cluster")

    async def call(self, event: str, *args: Any) -> Any:
        """Emit an event and return its acknowledgement."""
        return await self.client.call(event, *args, namespace="/cluster")

    async def got(self, event: str = "said") -> Any:
        """Return the next arrival of an event."""
        return await self.client.got(event, "/cluster")

    def pending(self, event: str = "said") -> int:
        """Return how many arrivals of an event were not taken yet."""
        return self.client.queue(event, "/cluster").qsize()

    async def read_numbers(self, count: int) -> list[int]:
        """Return the next `count` numbers of bursts."""
        return [await self.got("number") for _ in range(count)]

    def answer(self, answer: Callable[..., Any]) -> None:
        """Acknowledge questions with what a function returns."""
        self.client.answer("question", answer, "/cluster")


async def poll_arrived(member: Member) -> None:
    """Wait until a poll waits on the member's server for a session of another one."""
    await eventually(lambda: member.call("foreign polls"))


@pytest.fixture(scope="module", params=LAYERS)
def pair(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn that are one cluster, on each layer in turn; nobody stops them."""
    with LiveCluster(KINDS, valkey, request.param) as cluster:
        yield cluster


@pytest.fixture
async def join() -> AsyncIterator[Connect]:
    """A function ``(server, *rooms)`` that returns a new client of "/cluster" in the rooms."""
    async with AsyncExitStack() as stack:

        async def join(server: LiveServer, *rooms: str, way: str = "websocket") -> Member:
            return Member(
                await stack.enter_async_context(
                    connected(server, way, "/cluster", auth={"rooms": list(rooms)})
                )
            )

        yield join
