"""A cluster behind nginx whose processes stop one after the other, with official clients."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.clients.javascript import OPTIONS, Node, NodeSocket
from tests.clients.wire import eventually, open_socket
from tests.cluster.outside.conftest import of_cluster
from tests.clusters import LAYERS, LiveCluster
from tests.conftest import ClusterFactory, NginxFactory
from tests.live import LiveServer
from tests.nginx import Nginx
from tests.processes import CLEAN_EXITS, ROOT

pytestmark = pytest.mark.timeout(240)

KINDS = ("daphne", "uvicorn", "gunicorn-uvicorn")
# Those that move to a WebSocket may move to another process with it.
WAYS = ("websocket", "polling")

# One more than are told at once.
CLIENTS = 36


@asynccontextmanager
async def clients(node: Node, proxy: Nginx, count: int) -> AsyncIterator[list[NodeSocket]]:
    """Connect official clients, of all ways in turn, which come back by themselves."""
    sockets = []
    for number in range(count):
        options = {
            **OPTIONS[WAYS[number % len(WAYS)]],
            "reconnectionDelay": 50,
            "reconnectionDelayMax": 200,
        }
        node.do("open", manager=str(number), url=proxy.url, options=options)
        sockets.append(await node.socket(str(number), "/lab"))
    yield sockets
    for number in range(count):
        node.do("close", manager=str(number))


async def owner_of(cluster: LiveCluster, sid: str) -> LiveServer:
    """Return the server of a client, as soon as the logs tell that."""
    line = f"connect namespace=/lab sid={sid}"
    return await eventually(
        lambda: next((server for server in cluster if line in server.log), None)
    )


def manage(cluster: LiveCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `manage.py` beside a cluster."""
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=of_cluster(cluster),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


async def test_each_process_in_turn(
    new_cluster: ClusterFactory, new_nginx: NginxFactory, node: Node, layer: str
) -> None:
    """Clients come back, elsewhere; who has asked for an acknowledgement has it by then."""
    cluster = await asyncio.to_thread(new_cluster, KINDS, layer=layer)
    proxy = new_nginx(*cluster)
    async with clients(node, proxy, CLIENTS) as sockets:
        for server in cluster:
            own = [socket for socket in sockets if await owner_of(cluster, socket.sid) is server]
            asked = [(each, each.start("call", 60, "work until draining")) for each in own]
            await eventually(
                lambda own=own, server=server: all(
                    f"lab works sid={socket.sid}" in server.log for socket in own
                ),
                timeout=60,
            )
            assert await asyncio.to_thread(server.stop, 30) in CLEAN_EXITS
            for socket, number in asked:
                assert await node_answer(socket, number) == ["done"]
                assert (await socket.happened("disconnect"))["reason"].startswith("transport")
                socket.sid = (await socket.happened("connect"))["sid"]
                assert await owner_of(cluster, socket.sid) is not server
                assert await socket.call("echo", "again") == ["again"]
            await asyncio.to_thread(server.start)
            assert "Traceback" not in server.log


async def node_answer(socket: NodeSocket, number: int) -> list[object]:
    answer, error = await socket.finish(number)
    assert error is None, error
    return answer


async def test_drained_by_the_command(
    new_cluster: ClusterFactory, new_nginx: NginxFactory, node: Node, layer: str
) -> None:
    cluster = await asyncio.to_thread(new_cluster, KINDS, layer=layer)
    proxy = new_nginx(*cluster)
    async with clients(node, proxy, CLIENTS) as sockets:
        by_server = {
            server.port: [each for each in sockets if await owner_of(cluster, each.sid) is server]
            for server in cluster
        }
        drained = cluster[LAYERS.index(layer)]  # daphne, uvicorn
        own = by_server[drained.port]
        server_id = own[0].sid[:6]
        done = await asyncio.to_thread(
            manage, cluster, "realtime", "drain", server_id[:5], "--wait"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert f"({server_id}) drains, with {len(own)} clients.\n" in done.stdout
        assert f"({server_id}) has no clients any more.\n" in done.stdout
        for socket in own:
            await socket.happened("disconnect")
            socket.sid = (await socket.happened("connect"))["sid"]
            assert await owner_of(cluster, socket.sid) is not drained
        for server in cluster:
            ready = await asyncio.to_thread(server.get, "/health/ready")
            assert ready.status_code == (503 if server is drained else 200)
            assert (await asyncio.to_thread(server.get, "/health/live")).status_code == 200
            if server is not drained:
                for socket in by_server[server.port]:
                    assert await socket.call("echo", "still here") == ["still here"]

        # The proxy gives who is refused to another one: no client notices.
        for _ in range(2 * len(KINDS)):
            async with open_socket(proxy) as (wire, _):
                assert await wire.call("/lab", "echo", "new") == "new"

        # It says so to the others, and goes on with pages. Nothing but a restart reverses it.
        again = await asyncio.to_thread(manage, cluster, "realtime", "drain", server_id)
        assert f"({server_id}) drains, with 0 clients.\n" in again.stdout
        assert (await asyncio.to_thread(drained.get, "/")).status_code == 200
        assert await asyncio.to_thread(drained.stop, 30) in CLEAN_EXITS
        await asyncio.to_thread(drained.start)
        await eventually(lambda: drained.get("/health/ready").status_code == 200)
        async with open_socket(drained) as (wire, _):
            assert await wire.call("/lab", "echo", "new") == "new"


def test_all_and_none(new_cluster: ClusterFactory) -> None:
    cluster = new_cluster(("daphne", "uvicorn"))
    wrong = manage(cluster, "realtime", "drain", "nobody")
    assert wrong.returncode == 1
    assert "There is no server 'nobody'. These answer: " in wrong.stderr
    assert wrong.stderr.count(":") >= 3, wrong.stderr
    every = manage(cluster, "realtime", "drain")
    assert every.stdout.count("drains, with 0 clients.") == 2, every.stderr
    for server in cluster:
        assert server.get("/health/ready").json() == {"ready": False, "problems": ["draining"]}
        refused = httpx.get(f"{server.url}/socket.io/?EIO=4&transport=polling", trust_env=False)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        server.stop()
    nobody = manage(cluster, "realtime", "drain", "--wait")
    assert nobody.returncode == 1
    assert "No Realtime server has answered" in nobody.stderr
