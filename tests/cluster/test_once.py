"""Events that come again to another process: after a drop, a restart, a kill."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.clients.javascript import OPTIONS, Node
from tests.clients.python import Client, connected
from tests.clients.wire import DEADLINE, eventually
from tests.cluster.conftest import KINDS
from tests.clusters import LiveCluster
from tests.conftest import ClusterFactory
from tests.live import LiveServer, new_database
from tests.valkey import Valkey

DATABASES = ("sqlite", "postgresql", "mariadb")

# So that a test need not wait long for a process to be taken for dead.
HEARTBEAT = 0.5

Connect = Callable[[LiveServer], Awaitable["Payer"]]


class Payer:
    """A client in "/shop"."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, event: str, *args: Any) -> Any:
        """Emit an event and return its acknowledgement."""
        return await self._client.call(event, *args, namespace="/shop")


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return uuid.uuid4().hex


@pytest.fixture(scope="module", params=DATABASES)
def pair(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn that share each database in turn; nobody stops them."""
    with LiveCluster(KINDS, valkey, database=database_of(request.param, request)) as cluster:
        yield cluster


def database_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the ``DATABASE_URL`` of a new migrated database of a kind."""
    return new_database() if kind == "sqlite" else request.getfixturevalue(kind).new_database()


def visit(server: LiveServer) -> dict[str, str]:
    """Return the headers of a client with a session."""
    return {"Cookie": f"sessionid={server.get('/visit/').cookies['sessionid']}"}


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A function that connects one and the same visitor to a server."""
    headers: dict[str, str] = {}
    async with AsyncExitStack() as stack:

        async def connect(server: LiveServer) -> Payer:
            if not headers:
                headers.update(visit(server))
            client = connected(server, "websocket", "/shop", headers=headers)
            return Payer(await stack.enter_async_context(client))

        yield connect


async def wait_begun(payer: Payer, key: str) -> None:
    """Wait until the process of a client makes a payment."""

    async def has_begun() -> bool:
        return bool((await payer.call("counts", key))[1] == 1)

    await eventually(has_begun)


@pytest.mark.parametrize("event", ["pay", "pay in a thread"])
async def test_another_process_has_the_answer(
    pair: LiveCluster, connect: Connect, key: str, event: str
) -> None:
    one, two = await connect(pair[0]), await connect(pair[1])
    answer = await one.call(event, key, [b"\x00\xff", "☃"])
    assert await two.call(event, key, [b"\x00\xff", "☃"]) == answer
    assert await two.call("counts", key) == (1, 0)


async def test_another_process_waits_for_the_first_try(
    pair: LiveCluster, connect: Connect, key: str
) -> None:
    one, two = await connect(pair[0]), await connect(pair[1])
    first = asyncio.create_task(one.call("pay slowly", key))
    await wait_begun(one, key)
    second = asyncio.create_task(two.call("pay slowly", key))

    async def has_come() -> bool:
        return bool((await two.call("counts", key))[0] == 1)

    await eventually(has_come)
    await one.call("open", key)
    assert await asyncio.gather(first, second) == [f"{key} is paid"] * 2
    assert await two.call("counts", key) == (1, 0)


async def test_many_at_once_run_it_once(pair: LiveCluster, connect: Connect, key: str) -> None:
    payers = [await connect(pair[number % 2]) for number in range(8)]
    answers = await asyncio.gather(*(payer.call("pay", key, 1) for payer in payers))
    assert answers == [(key, 1)] * 8
    (_, one), (_, two) = await asyncio.gather(
        payers[0].call("counts", key), payers[1].call("counts", key)
    )
    assert one + two == 1


@pytest.mark.parametrize("kinds", [KINDS, KINDS[::-1]], ids=str)
async def test_a_restart_forgets_nothing(
    new_cluster: ClusterFactory, connect: Connect, key: str, kinds: tuple[str, str]
) -> None:
    cluster = new_cluster(kinds)
    one = await connect(cluster[0])
    answer = await one.call("pay", key, 1)
    cluster[0].stop()
    assert await (await connect(cluster[1])).call("pay", key, 1) == answer
    cluster[0].start()
    again = await connect(cluster[0])
    assert await again.call("pay", key, 1) == answer
    assert await again.call("counts", key) == (1, 0)


@pytest.mark.parametrize(
    ("kinds", "presence"), [(KINDS, True), (KINDS[::-1], False)], ids=["presence", "no presence"]
)
async def test_what_a_killed_process_was_at_is_not_done_again(
    new_cluster: ClusterFactory, connect: Connect, key: str, kinds: tuple[str, str], presence: bool
) -> None:
    """Nobody knows whether it was done, and the client is told that."""
    cluster = new_cluster(kinds, realtime={"SERVER_HEARTBEAT": HEARTBEAT, "PRESENCE": presence})
    one, two = await connect(cluster[0]), await connect(cluster[1])
    done = await one.call("pay", key + "done", 1)
    first = asyncio.create_task(one.call("pay slowly", key))
    await wait_begun(one, key)
    cluster[0].kill()
    assert (await two.call("pay slowly", key))["error"]["code"] == "interrupted"
    assert await two.call("pay", key + "done", 1) == done
    assert await two.call("counts", key) == (1, 0)
    first.cancel()
    await asyncio.wait({first})


async def test_the_javascript_client_goes_on_at_another_process(
    new_cluster: ClusterFactory, new_nginx: Callable[..., Any], node: Node, key: str
) -> None:
    """Its connection breaks while the payment is made; it finds the answer wherever it is back."""
    cluster = new_cluster(KINDS)
    nginx = new_nginx(*cluster)
    headers = visit(cluster[0])
    options = {**OPTIONS["websocket"], "reconnectionDelay": 10, "extraHeaders": headers}
    node.do("open", manager="shop", url=nginx.url, options=options)
    socket = await node.socket(
        "shop", "/shop", options={"retries": 20, "ackTimeout": DEADLINE * 1000}
    )
    number = node.new_id()
    socket.do("retry", args=["pay slowly", key], id=number)
    async with AsyncExitStack() as stack:
        watching = [
            Payer(await stack.enter_async_context(connected(server, "websocket", "/shop")))
            for server in cluster
        ]

        async def find_running() -> int | None:
            for place, payer in enumerate(watching, start=1):
                if (await payer.call("counts", key))[1]:
                    return place
            return None

        running = await eventually(find_running)
        assert running is not None
        node.do("drop", manager="shop")
        await socket.happened("disconnect")
        await watching[running - 1].call("open", key)
        await socket.happened("connect")
    assert await socket.finish(number) == ([f"{key} is paid"], None)
