"""Long-polling without sticky sessions: any server answers any request."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from realtime.cluster.requests import ANSWER_TIMEOUT
from tests.clients.wire import (
    DEADLINE,
    PATH,
    SEPARATOR,
    Polling,
    engine_query,
    eventually,
    http_client,
    open_wire,
)
from tests.cluster.conftest import KINDS, Connect, Member, poll_arrived
from tests.clusters import LiveCluster
from tests.conftest import ClusterFactory

UNKNOWN_SID = {"code": 1, "message": "Session ID unknown"}


class RoundRobin:
    """HTTP clients that take turns, as a load balancer lets servers do."""

    def __init__(self, *clients: httpx.AsyncClient) -> None:
        self.clients = clients
        self._turns = itertools.cycle(clients)

    async def get(self, *args: Any, **options: Any) -> httpx.Response:
        """Send a GET request to the next server."""
        return await next(self._turns).get(*args, **options)

    async def post(self, *args: Any, **options: Any) -> httpx.Response:
        """Send a POST request to the next server."""
        return await next(self._turns).post(*args, **options)


@pytest.fixture
async def robin(pair: LiveCluster) -> AsyncIterator[RoundRobin]:
    """Both servers in turn."""
    async with AsyncExitStack() as stack:
        yield RoundRobin(*[await stack.enter_async_context(http_client(server)) for server in pair])


async def settle(pair: LiveCluster, join: Connect) -> None:
    """Wait until the servers know each other, and no poll of an earlier test waits on them."""

    async def is_settled(member: Member) -> bool:
        return await member.call("wait for peers") and not await member.call("foreign polls")

    for server in pair:
        member = await join(server)
        await eventually(lambda member=member: is_settled(member))  # type: ignore[misc]


async def test_requests_in_turn(pair: LiveCluster, join: Connect, robin: RoundRobin) -> None:
    await settle(pair, join)
    session = await Polling.open(robin)  # type: ignore[arg-type]
    await session.join_namespace("/lab")
    for number in range(10):
        await session.send(f'42/lab,{number}["echo",{number}]')
        assert await session.receive() == f"43/lab,{number}[{number}]"
    attachment = "b" + base64.b64encode(b"\x00\xff").decode()
    await session.send('451-/lab,77["echo",{"_placeholder":true,"num":0}]', attachment)
    assert await session.receive() == '461-/lab,77[{"_placeholder":true,"num":0}]'
    assert await session.receive() == attachment


async def test_a_large_body_at_another_server(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    """Its session's server says whether it may come; nobody else may send so much."""
    await settle(pair, join)
    for start in range(2):
        session = await Polling.open(robin)  # type: ignore[arg-type]
        for n in range(2):
            assert (await session.post("4" * 70_000)).status_code == 413, (start, n)
        await session.join_namespace("/lab", {"token": "x" * 60_000})
        for n in range(2):
            await session.send(f'42/lab,{n}["echo","{"x" * 900_000}"]')
            assert await session.receive() == f'43/lab,{n}["{"x" * 900_000}"]'
            assert (await session.post("4" * 1_000_001)).status_code == 413
        stranger = session.sid[:6] + "A" * (len(session.sid) - 6)
        query = engine_query(sid=stranger)
        for client in robin.clients:
            answer = await client.post(PATH, params=query, content="4" * 900_000)
            assert (answer.status_code, answer.json()) == (400, UNKNOWN_SID)
        await session.send("1")
        await robin.get("/")


async def test_poll_waits_at_another_server(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    await settle(pair, join)
    here, there = robin.clients
    session = await Polling.open(here)
    sid = await session.join_namespace("/cluster", {"rooms": []})
    poll = asyncio.create_task(there.get(PATH, params=engine_query(sid=session.sid)))
    one = await join(pair[1])
    await poll_arrived(one)
    assert not poll.done()
    await one.call("emit to", [sid], [], "hi")
    answer = await asyncio.wait_for(poll, DEADLINE)
    assert answer.text == '42/cluster,["said","hi"]'


async def test_client_that_hangs_up_at_another_server(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    await settle(pair, join)
    here, there = robin.clients
    session = await Polling.open(here)
    await session.join_namespace("/lab", {"tag": "hung up elsewhere"})
    poll = asyncio.create_task(there.get(PATH, params=engine_query(sid=session.sid)))
    await poll_arrived(await join(pair[1]))
    poll.cancel()
    await pair[0].logged("lab gone tag=hung up elsewhere")
    assert await session.is_gone()


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"method": "POST", "content": "x" * 1_000_001}, 413, None),
        ({"method": "POST", "content": "9"}, 400, 3),
        ({"method": "POST", "content": b"\xff"}, 400, 3),
        ({"method": "PUT", "content": "3"}, 400, 3),
        ({"method": "GET", "headers": {"Origin": "http://evil.example"}}, 403, 4),
    ],
    ids=["too large", "no packet", "no text", "bad method", "foreign origin"],
)
async def test_bad_requests_at_another_server(
    pair: LiveCluster,
    join: Connect,
    robin: RoundRobin,
    request_: dict[str, Any],
    status: int,
    code: int | None,
) -> None:
    await settle(pair, join)
    session = await Polling.open(robin.clients[0])
    answer = await robin.clients[1].request(
        url=PATH, params=engine_query(sid=session.sid), **request_
    )
    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.json()["code"] == code


async def test_two_polls_at_two_servers(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    await settle(pair, join)
    session = await Polling.open(robin.clients[0])
    await session.join_namespace("/lab")
    params = engine_query(sid=session.sid)
    polls = [asyncio.create_task(client.get(PATH, params=params)) for client in robin.clients]
    answers = await asyncio.gather(*polls)
    assert 400 in [answer.status_code for answer in answers]


async def test_upgrade_at_another_server_takes_the_client_there(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    """The poll that waits ends as Engine.IO wants it, and what comes late is led there."""
    await settle(pair, join)
    for here, there in ((pair[0], pair[1]), (pair[1], pair[0])):
        async with http_client(here) as home:
            session = await Polling.open(home)
            sid = await session.join_namespace("/lab")
            poll = asyncio.create_task(session.get())
            async with open_wire(there, sid=session.sid) as wire:
                await wire.send("2probe")
                assert await wire.receive() == "3probe"
                assert (await poll).text == "6"
                await wire.send("5", '42/lab,1["whoami"]')
                (answer,) = json.loads((await wire.receive()).removeprefix("43/lab,1"))  # type: ignore[union-attr]
                assert (answer["sid"], answer["transport"]) == (sid, "websocket")
                await there.logged(f"taken-over connection={session.sid[:12]}")
                for client in robin.clients:
                    for method in ("GET", "POST"):
                        params = engine_query(sid=session.sid)
                        late = await client.request(method, PATH, params=params)
                        assert (late.status_code, late.json()["code"]) == (400, 3)
                await wire.send('42/lab,2["echo","still here"]')
                assert await wire.receive() == '43/lab,2["still here"]'
            await there.logged(rf'lab left sid={sid} reason="transport close"')


async def test_upgrade_at_another_server_that_cannot_be(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    """A client whose consumer has spawned a task stays on polling, unharmed."""
    await settle(pair, join)
    session = await Polling.open(robin.clients[0])
    await session.join_namespace("/lab")
    await session.send('42/lab,["spawn"]')
    assert await session.receive() == '42/lab,["spawned"]'
    async with open_wire(pair[1]) as counter:
        await counter.join_namespace("/lab")
        before = (await counter.call("/lab", "report"))["not_upgraded"]
        async with open_wire(pair[1], sid=session.sid) as wire:
            await wire.send("2probe")
            code, frames = await wire.closed()
            assert (code, frames) == (1008, [])
        await pair[1].logged("not-upgraded .*has spawned a task")
        assert (await counter.call("/lab", "report"))["not_upgraded"] == before + 1
    await session.send('42/lab,1["echo",1]')
    assert await session.receive() == "43/lab,1[1]"


async def test_foreign_page_reads_the_answer_of_another_server(
    new_cluster: ClusterFactory, join: Connect
) -> None:
    page = "https://page.example"
    cluster = new_cluster(KINDS, realtime={"CORS_ORIGINS": [page]})
    await settle(cluster, join)
    async with (
        http_client(cluster[0], headers={"Origin": page}) as here,
        http_client(cluster[1], headers={"Origin": page}) as there,
    ):
        session = await Polling.open(here)
        answer = await there.post(PATH, params=engine_query(sid=session.sid), content="40/lab,")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["access-control-allow-origin"] == page
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_session_of_a_server_that_died(
    new_cluster: ClusterFactory, join: Connect, layer: str
) -> None:
    cluster = new_cluster(KINDS, layer=layer)
    await settle(cluster, join)
    async with http_client(cluster[0]) as here, http_client(cluster[1]) as there:
        one, two = await Polling.open(here), await Polling.open(here)
        await one.join_namespace("/lab")
        waiting = asyncio.create_task(there.get(PATH, params=engine_query(sid=one.sid)))
        await poll_arrived(await join(cluster[1]))
        cluster[0].kill()
        # After one timeout, and not a client's, which would raise here.
        asked = await there.post(PATH, params=engine_query(sid=two.sid), content="3")
        assert (asked.status_code, asked.json()) == (400, UNKNOWN_SID)
        answer = await asyncio.wait_for(waiting, DEADLINE)
        assert (answer.status_code, answer.json()) == (400, UNKNOWN_SID)
        # Now that the death is known it is said at once.
        took = []
        for _ in range(5):
            start = time.monotonic()
            asked = await there.post(PATH, params=engine_query(sid=two.sid), content="3")
            assert (asked.status_code, asked.json()) == (400, UNKNOWN_SID)
            took.append(time.monotonic() - start)
        assert min(took) < ANSWER_TIMEOUT, took  # the machine may stand still for one


async def test_many_packets_in_one_request(
    pair: LiveCluster, join: Connect, robin: RoundRobin
) -> None:
    await settle(pair, join)
    session = await Polling.open(robin)  # type: ignore[arg-type]
    await session.join_namespace("/lab")
    packets = [f'42/lab,{number}["echo","{"x" * 2000}"]' for number in range(200)]
    await session.send(*packets)
    for number in range(200):
        assert (await session.receive()).startswith(f"43/lab,{number}[")
    assert SEPARATOR not in await polled_after(session)


async def polled_after(session: Polling) -> str:
    """Return what is left to poll after one more event."""
    await session.send('42/lab,999["echo"]')
    return await session.receive()
