"""Numbers that a process without clients sends to all, and clients that note what they get."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.javascript import OPTIONS, Node, NodeSocket
from tests.docs.blocks import block_with, defined_by
from tests.nginx import Nginx
from tests.processes import Service

# How long a number may take that was sent before all processes were there again.
DEADLINE = 60

# Sends until its input ends, and says how many there were.
SCRIPT = """
import select, sys
import realtime

count = 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    realtime.emit("n", count)
    count += 1
print(count)
"""


class Stream(Service):
    """A process of a site that sends numbers to all clients, from 0 on."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", SCRIPT],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self) -> int:
        """Let it end; return how many it has sent."""
        assert self._process is not None
        printed, _ = self._process.communicate(timeout=DEADLINE)
        assert self._process.returncode == 0, printed
        return int(printed)

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@dataclass
class Listener:
    """An official client with default options, which comes back by itself."""

    socket: NodeSocket
    numbers: list[int] = field(default_factory=list)

    async def hear(self, count: int) -> None:
        """Take numbers until there are so many."""
        while len(self.numbers) < count:
            self.numbers.append((await self.socket.got("n"))[0])

    async def came_back(self) -> int:
        """See that it was itself whenever it came back; return how often it did."""
        returns = 0
        while self.socket.node.has_said(**self.socket.names, happened="connect"):
            back = await self.socket.happened("connect")
            assert (back["recovered"], back["sid"]) == (True, self.socket.sid)
            returns += 1
        assert not self.socket.node.has_said(**self.socket.names, happened="event", event="n")
        return returns


async def listen(node: Node, proxy: Nginx, name: str, way: str) -> Listener:
    """Connect an official client."""
    options = OPTIONS[way] if way != "upgrade" else {}  # its default
    node.do("open", manager=name, url=proxy.url, options=options)
    return Listener(await node.socket(name))


class PlainListener:
    """The program of "Let clients come back" with a plain WebSocket."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.is_there = asyncio.Event()

    async def handle(self, event: str, *args: Any) -> None:
        """Take an event."""
        self.is_there.set()  # the server greets it
        if event == "n":
            self.numbers.append(args[0])

    async def hear(self, count: int) -> None:
        """Wait until there are so many numbers."""
        async with asyncio.timeout(DEADLINE):
            while len(self.numbers) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[PlainListener]:
    """Run that program, and see that it goes on."""
    block = block_with("let-clients-come-back.md", "async def listen")
    listener = PlainListener()
    program = asyncio.create_task(defined_by(block)["listen"](url, listener.handle))
    try:
        async with asyncio.timeout(DEADLINE):
            await listener.is_there.wait()
        yield listener
        assert not program.done()
    finally:
        program.cancel()
        await asyncio.gather(program, return_exceptions=True)
