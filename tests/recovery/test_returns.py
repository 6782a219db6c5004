"""Over what a client comes back: each transport, and an upgrade that breaks."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.javascript import OPTIONS, Node
from tests.clients.wire import connect_packet, open_wire
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.recovery.conftest import RECOVERY
from tests.recovery.travellers import NAMESPACE, Driver, Travels, driver_at


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
@pytest.mark.parametrize("way", ["polling", "upgrade"])
async def test_a_drop(
    server: LiveServer, travel: Travels, driver: Driver, room: str, way: str, noticed: bool
) -> None:
    client = await travel(server, room, way=way)
    await client.enter("/recovery/other", rooms=[room])
    await driver.count([room], 0, 3)
    for first in (3, 9):
        async with client.away(noticed=noticed):
            await driver.count([room], first, first + 3)
            await driver.do("emit_to", "/recovery/other", [room], [], "n", first)
        await driver.count([room], first + 3, first + 6)
    await client.got(*range(15))
    await client.got(3, 9, namespace="/recovery/other")


@pytest.mark.parametrize(("first", "then"), [("websocket", "polling"), ("polling", "websocket")])
async def test_another_transport(
    server: LiveServer,
    node: Node,
    travel: Travels,
    driver: Driver,
    room: str,
    first: str,
    then: str,
) -> None:
    client = await travel(server, room, way=first)
    await driver.emit([room], 0)
    node.do("transports", manager=client.manager, transports=OPTIONS[then]["transports"])
    async with client.away():
        await driver.count([room], 1, 4)
    await driver.emit([room], 4)
    await client.got(*range(5))


@pytest.mark.parametrize("way", ["websocket", "polling", "upgrade"])
async def test_a_user_with_as_many_connections_as_it_may_have(
    shared_server: ServerFactory, kind: str, travel: Travels, room: str, way: str
) -> None:
    """Whoever comes back before its drop is noticed takes its own place, and nobody else's."""
    server = shared_server(kind, RECOVERY=RECOVERY, MAX_CONNECTIONS_PER_USER=1)
    async with driver_at(server) as driver:
        key = await driver.do("log_in", f"user {room}")
        headers = {"Cookie": f"sessionid={key}"}
        client = await travel(server, room, way=way, options={"extraHeaders": headers})
        for number in range(2):
            async with client.away(noticed=False):
                await driver.emit([room], number)
            await client.got(number)
        async with open_wire(server, additional_headers=headers) as wire:
            await wire.send(connect_packet(NAMESPACE))
            with pytest.raises(ConnectionClosed):
                await wire.receive()
        await driver.emit([room], 2)
        await client.got(2)


@pytest.mark.parametrize("mark", [b"3probe", b"42/recovery,"])
async def test_a_drop_while_it_upgrades(
    shared_server: ServerFactory, kind: str, travel: Travels, room: str, mark: bytes
) -> None:
    """
    What it missed is on the way over polling when its WebSocket is there, and both break.

    The official client may notice that by a missing ping only.
    """
    server = shared_server(kind, RECOVERY=RECOVERY, PING_INTERVAL=2, PING_TIMEOUT=2)
    async with driver_at(server) as driver:
        client = await travel(server, room, way="upgrade")
        await driver.emit([room], 0)
        await client.drop()
        await driver.count([room], 1, 20)
        client.line.cut_after(mark)
        client.line.mend()
        await client.line.was_cut.wait()
        await driver.count([room], 20, 25)
        client.line.mend()
        await driver.emit([room], 25)
        await client.got(*range(26))


async def test_a_drop_as_the_upgrade_is_done(
    server: LiveServer, node: Node, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room, way="upgrade")
    async with client.away():
        await driver.count([room], 0, 10)
    await node.said(manager=client.manager, happened="upgrade", transport="websocket")
    async with client.away():
        await driver.count([room], 10, 20)
    await client.got(*range(20))
