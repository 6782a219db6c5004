"""Clients on polling at one of a test's hubs, whose WebSockets come to another one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from realtime.execution.tasks import Tasks
from realtime.identity.scopes import identify
from realtime.testing import MemoryWriter
from realtime.transports.polling import PollingWriter
from realtime.transports.session import Session
from realtime.transports.takeover import Takeover
from tests.unit.probes import DEADLINE

from .conftest import Server, until

SCOPE: dict[str, Any] = {
    "type": "http",
    "path": "/socket.io/",
    "query_string": b"EIO=4&transport=polling",
    "headers": [],
    "client": ("203.0.113.7", 4711),
}


class Line:
    """A WebSocket: what reads its client's frames, and what the client has got by it."""

    def __init__(self, tasks: Tasks) -> None:
        self.got: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.writer = MemoryWriter(self.got.put_nowait)
        self.sent: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._tasks = tasks

    async def receive(self) -> str | bytes | None:
        """Return the client's next frame."""
        return await self.sent.get()

    def start(self, session: Session) -> None:
        """Let a session have the client's frames from now on."""
        self._tasks.spawn(session.read(self.receive))


class Mover:
    """
    A client in "/", with polling at one hub, that moves to a WebSocket at another one.

    `got` has the packets that it has got so far, by whatever way.
    """

    def __init__(self, home: Server, session: Session) -> None:
        self.home = home
        self.session = session
        self.got: list[str | bytes] = []
        self._taken = 1  # the first one is CONNECT
        self.line: Line | None = None

    @classmethod
    async def come(cls, home: Server, auth: Any = None, **scope: Any) -> Mover:
        """Connect to a hub."""
        hub = home.hub
        full = await identify(hub, {**SCOPE, "headers": list(SCOPE["headers"]), **scope})
        session = Session(hub, full, PollingWriter())
        hub.spawn(session.read(session.require_inbox().receive))
        mover = cls(home, session)
        await mover.post("40" + json.dumps(auth or {}))
        await until(lambda: session.connected)
        mover.poll()
        return mover

    @property
    def sid(self) -> str:
        """Its sid in "/"."""
        return str(json.loads(str(self.got[0])[2:])["sid"])

    async def post(self, *frames: str | bytes) -> None:
        """Send frames by a POST, and wait for its answer."""
        inbox = self.session.require_inbox()
        inbox.put(list(frames))
        async with asyncio.timeout(DEADLINE):
            await inbox.wait_empty()

    def poll(self) -> None:
        """Take what waits."""
        for frames in self.session.require_polling().release():
            self.got += frames.frames

    # Moving

    def begin(self, to: Server, **scope: Any) -> asyncio.Task[Session | None]:
        """Let the WebSocket come to another hub, and send its probe."""
        self.line = Line(to.hub.tasks)
        takeover = Takeover(to.hub, self.home.hub.server_id, self.session.sid, self.line)  # type: ignore[arg-type]
        here = {**SCOPE, "type": "websocket", "headers": list(SCOPE["headers"]), **scope}
        self.line.sent.put_nowait("2probe")
        return asyncio.ensure_future(takeover.run(here, identify))

    async def probed(self) -> None:
        """Wait for the answer to the probe."""
        assert self.line is not None
        async with asyncio.timeout(DEADLINE):
            assert await self.line.got.get() == "3probe"

    def send(self, *frames: str | bytes) -> None:
        """Send frames by the WebSocket."""
        assert self.line is not None
        for frame in frames:
            self.line.sent.put_nowait(frame)

    async def move(self, to: Server, **scope: Any) -> None:
        """Move to a WebSocket at another hub."""
        running = self.begin(to, **scope)
        await self.probed()
        self.poll()
        self.send("5")
        session = await running
        assert session is not None
        self.session = session

    async def stay(self, to: Server, **scope: Any) -> None:
        """Try to move, and be refused."""
        running = self.begin(to, **scope)
        assert await running is None
        assert self.line is not None
        assert self.line.got.empty()

    # What it gets

    async def next(self) -> Any:
        """Return what the next event says, a number of an acknowledgement first."""
        while True:
            packet = await self.frame()
            if isinstance(packet, str) and packet.startswith(("42", "43")):
                head, _, rest = packet.partition("[")
                args = json.loads("[" + rest)
                if head != "42":
                    return [int(head[2:]), *args]
                # Where clients come back, an offset stands behind the arguments.
                return args[1:] if self.home.hub.recovery is None else args[1:-1]

    async def frame(self) -> str | bytes:
        """Return the next frame, of polling or the WebSocket."""
        if len(self.got) > self._taken:
            self._taken += 1
            return self.got[self._taken - 1]
        if self.session.polling is not None:
            await until(lambda: self.session.require_polling().buffered)
            self.poll()
            return await self.frame()
        assert self.line is not None
        async with asyncio.timeout(DEADLINE):
            frame = await self.line.got.get()
        assert frame is not None, "the WebSocket was closed"
        self.got.append(frame)
        return await self.frame()
