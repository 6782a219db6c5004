"""A server that ends a client's whole connection: the client is told so, and stays away."""

from __future__ import annotations

import pytest

from tests.clients.javascript import OPTIONS, Node
from tests.clients.wire import Polling, closed, http_client, websocket
from tests.live import EVERY_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)


@pytest.mark.parametrize("way", OPTIONS)
async def test_the_official_client_leaves_every_namespace_and_stays_away(
    node: Node, server: LiveServer, way: str
) -> None:
    main = await node.open(server, way, reconnection=True, reconnectionDelay=10)
    lab = await node.socket("one", "/lab")
    lab.do("emit", args=["kick", True])
    for socket in (main, lab):
        await socket.happened("disconnect", reason="io server disconnect")
        await server.logged(rf'disconnect .*{socket.sid}.*reason="server namespace disconnect"')
    await node.said(manager="one", happened="close")
    # Another client of the same process comes and goes: the first one has not come back meanwhile.
    other = await node.open(server, way, "two")
    assert await other.call("echo", "alive") == ["alive"]
    assert not node.has_said(manager="one", happened="reconnect")


async def test_one_namespace_is_left_alone(node: Node, server: LiveServer) -> None:
    main = await node.open(server, "websocket")
    lab = await node.socket("one", "/lab")
    lab.do("emit", args=["kick"])
    await lab.happened("disconnect", reason="io server disconnect")
    assert await main.call("echo", "alive") == ["alive"]


async def test_a_client_between_two_polls_is_told_before_its_session_ends(
    server: LiveServer,
) -> None:
    async with http_client(server) as http:
        polling = await Polling.open(http)
        await polling.join_namespace("/orders")
        await polling.join_namespace("/lab")
        await polling.send('42/lab,["kick",true]')  # no poll waits
        assert sorted([await polling.receive(), await polling.receive()]) == [
            "41/lab,",
            "41/orders,",
        ]
        assert await polling.is_gone()


async def test_a_plain_websocket(server: LiveServer) -> None:
    async with websocket(server, "/ws/lab/") as plain:
        await plain.recv()
        await plain.send('{"event": "kick", "args": [true]}')
        close, frames = await closed(plain)
    assert (close.code, frames) == (1000, [])
