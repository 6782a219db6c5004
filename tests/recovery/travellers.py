"""Official JavaScript clients that drop and come back, and who sends to them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from tests.clients.javascript import OPTIONS, Node, NodeSocket
from tests.clients.python import Client, connected
from tests.live import LiveServer
from tests.recovery.lines import Line, line_to

NAMESPACE = "/recovery"
DRIVER = "/recovery-driver"

# A client that is let through again is back at once.
EAGER = {"reconnectionDelay": 20, "reconnectionDelayMax": 40, "randomizationFactor": 0}


class Driver:
    """A client that sends to others, through a server."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def do(self, event: str, *args: Any) -> Any:
        """Have something done, and wait until it is."""
        return await self.client.call(event, *args, namespace=DRIVER)

    async def emit(self, rooms: list[str], *args: Any, excluded: tuple[str, ...] = ()) -> None:
        """Emit "n" to rooms of "/recovery"."""
        await self.do("emit_to", NAMESPACE, rooms, list(excluded), "n", *args)

    async def count(self, rooms: list[str], first: int, last: int) -> None:
        """Emit the numbers from `first` to `last` to rooms of "/recovery"."""
        await self.do("count", NAMESPACE, rooms, first, last)


class Count:
    """Numbers that are sent to a room: how many so far."""

    def __init__(self) -> None:
        self.sent = 0

    async def go_on(self, driver: Driver, room: str) -> None:
        """Send one after the other."""
        while True:
            await driver.emit([room], self.sent)
            self.sent += 1
            await asyncio.sleep(0.01)


@asynccontextmanager
async def counting(driver: Driver, room: str) -> AsyncIterator[Count]:
    """Send numbers to a room in the block."""
    count = Count()
    task = asyncio.create_task(count.go_on(driver, room))
    try:
        yield count
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def driver_at(server: LiveServer) -> AsyncIterator[Driver]:
    """Connect a driver."""
    async with connected(server, "websocket", DRIVER) as client:
        yield Driver(client)


class Traveller:
    """
    A client of "/recovery", and of more namespaces, whose line may break.

    `back` is what it said when it came back last, for each namespace.
    """

    def __init__(self, node: Node, line: Line, manager: str) -> None:
        self.node = node
        self.line = line
        self.manager = manager
        self.sockets: dict[str, NodeSocket] = {}
        self.back: dict[str, dict[str, Any]] = {}

    @property
    def socket(self) -> NodeSocket:
        """Its socket in "/recovery"."""
        return self.sockets[NAMESPACE]

    @property
    def sid(self) -> str:
        return self.socket.sid

    async def enter(self, namespace: str, **auth: Any) -> NodeSocket:
        """Connect to a namespace."""
        self.sockets[namespace] = await self.node.socket(self.manager, namespace, auth)
        return self.sockets[namespace]

    # Dropping

    async def drop(self, *, noticed: bool = True) -> None:
        """Break its line, and see that it has noticed; the server has not where it is not to."""
        if noticed:
            self.line.cut()
        else:
            self.line.go_silent()
        await self.lose_connection()

    async def lose_connection(self) -> None:
        """Wait until it has noticed that its connection is gone."""
        for socket in self.sockets.values():
            await socket.happened("disconnect")

    async def come_back(self, server: LiveServer | None = None) -> None:
        """Let it through again, to another server where one is given."""
        if server:
            self.line.lead_to(server)
        self.line.mend()
        await self.be_back()

    async def be_back(self) -> None:
        """Wait until it is connected again."""
        for name, socket in self.sockets.items():
            self.back[name] = await socket.happened("connect")

    @asynccontextmanager
    async def away(
        self, *, noticed: bool = True, back_at: LiveServer | None = None
    ) -> AsyncIterator[None]:
        """Be away in the block, and recover."""
        await self.drop(noticed=noticed)
        yield
        await self.come_back(back_at)
        self.has_recovered()

    def has_recovered(self) -> None:
        """See that all of its sockets are what they were."""
        for name, socket in self.sockets.items():
            back = self.back[name]
            assert (back["recovered"], back["sid"]) == (True, socket.sid), back

    def has_lost(self) -> None:
        """See that it was told that its sockets are new ones."""
        for name, socket in self.sockets.items():
            assert self.back[name]["recovered"] is False
            assert self.back[name]["sid"] != socket.sid
            socket.sid = self.back[name]["sid"]

    # What it gets

    async def got(self, *numbers: Any, namespace: str = NAMESPACE) -> None:
        """See that these came, in this order, and nothing between them."""
        socket = self.sockets[namespace]
        arrived = [(await socket.got("n"))[0] for _ in numbers]
        assert arrived == list(numbers), arrived

    async def got_all(self, *numbers: int) -> None:
        """See that these came, in any order, and nothing between them."""
        arrived = [(await self.socket.got("n"))[0] for _ in numbers]
        assert sorted(arrived) == list(numbers), arrived

    async def gaps(self, after: int, target: int) -> int:
        """
        See that it gets numbers of one sender in order and once, from behind one until it has those
        up to a target, or would have; return at how many places some are missing.
        """
        arrived = [after]
        while arrived[-1] < target:
            arrived.append((await self.socket.got("n"))[0])
        steps = [later - earlier for earlier, later in pairwise(arrived)]
        assert min(steps) > 0, arrived
        return sum(step > 1 for step in steps)

    async def was_told(self) -> int:
        """Return how often it was told of a loss, of the returns that nobody has looked at."""
        told = 0
        for socket in self.sockets.values():
            while socket.node.has_said(**socket.names, happened="connect"):
                back = await socket.happened("connect")
                told += not back["recovered"]
                socket.sid = back["sid"]
        return told

    async def state(self) -> Any:
        """Return what its consumer knows of it."""
        (state,) = await self.socket.call("state")
        return state

    async def session(self, namespace: str = NAMESPACE) -> dict[str, Any]:
        """Return what it would recover by: "pid" and "offset"."""
        socket = self.sockets[namespace]
        socket.do("session")
        return await socket.happened("session")


class Travels:
    """Makes travellers, each with a line of its own."""

    def __init__(self, node: Node, stack: Any) -> None:
        self.node = node
        self._stack = stack
        self._count = 0

    async def __call__(
        self,
        server: LiveServer,
        *rooms: str,
        way: str = "websocket",
        options: dict[str, Any] | None = None,
        **auth: Any,
    ) -> Traveller:
        """Connect a traveller to "/recovery", in rooms."""
        line = await self._stack.enter_async_context(line_to(server))
        self._count += 1
        traveller = Traveller(self.node, line, f"traveller {self._count}")
        options = {**OPTIONS[way], **EAGER, **(options or {})}
        self.node.do("open", manager=traveller.manager, url=line.url, options=options)
        await traveller.enter(NAMESPACE, rooms=list(rooms), **auth)
        if way == "upgrade":
            await self.node.said(
                manager=traveller.manager, happened="upgrade", transport="websocket"
            )
        return traveller
