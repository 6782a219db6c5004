"""The official JavaScript client, npm's socket.io-client, as tests use it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.clients.wire import DEADLINE
from tests.live import LiveServer
from tests.nginx import Nginx
from tests.services import missing

FOLDER = Path(__file__).parent / "node"
LINE_LIMIT = 16 * 1024 * 1024

OPTIONS: dict[str, dict[str, Any]] = {
    "websocket": {"transports": ["websocket"]},
    "polling": {"transports": ["polling"]},
    "upgrade": {"transports": ["polling", "websocket"]},
}


def to_json(value: Any) -> Any:
    """Return a value with its bytes as the runner reads them."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(value: dict[str, Any]) -> Any:
    """Return bytes where the runner wrote them: json's object_hook."""
    return base64.b64decode(value["$bytes"]) if value.keys() == {"$bytes"} else value


Line = dict[str, Any]


class Lines:
    """
    What a runner has said and nobody has taken, in order.

    There may be tens of thousands: those of one kind of one socket are found without the others.
    """

    def __init__(self) -> None:
        self._all: dict[int, Line] = {}
        self._of_kind: dict[tuple[Any, ...], dict[int, Line]] = {}
        self._numbers = itertools.count()

    def add(self, line: Line) -> None:
        """Keep a line."""
        number = next(self._numbers)
        self._all[number] = line
        self._of_kind.setdefault(self._kind(line), {})[number] = line

    def take(self, fields: Line) -> Line | None:
        """Return the first line with these fields, and forget it; None where there is none."""
        for number, line in self._candidates(fields).items():
            if fields.items() <= line.items():
                del self._all[number], self._of_kind[self._kind(line)][number]
                return line
        return None

    def has(self, fields: Line) -> bool:
        """Tell whether there is a line with these fields."""
        return any(fields.items() <= line.items() for line in self._candidates(fields).values())

    def _candidates(self, fields: Line) -> dict[int, Line]:
        kind = self._kind(fields)
        return self._all if None in kind else self._of_kind.get(kind, {})

    @staticmethod
    def _kind(line: Line) -> tuple[Any, ...]:
        return tuple(map(line.get, ("manager", "namespace", "happened")))


class Node:
    """The runner: a Node process, the steps it is given and the lines it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._lines = Lines()
        self._ids = itertools.count()

    def do(self, step: str, **fields: Any) -> None:
        """Give the runner a step."""
        assert self.process.stdin is not None
        line = json.dumps({"do": step, **to_json(fields)})
        self.process.stdin.write(line.encode() + b"\n")

    async def said(self, **fields: Any) -> Line:
        """Return the first line with these fields, as it is there or arrives; others wait."""
        if (line := self._lines.take(fields)) is not None:
            return line
        async with asyncio.timeout(DEADLINE * 2):
            while True:
                await asyncio.sleep(0)  # what is there already is read without a pause
                line = await self._read()
                if fields.items() <= line.items():
                    return line
                self._lines.add(line)

    async def _read(self) -> Line:
        assert self.process.stdout is not None
        text = await self.process.stdout.readline()
        assert text, "the runner ended"
        line: Line = json.loads(text, object_hook=from_json)
        return line

    def has_said(self, **fields: Any) -> bool:
        """Tell whether a line with these fields was read and not taken."""
        return self._lines.has(fields)

    async def socket(
        self,
        manager: str,
        namespace: str = "/",
        auth: Any = None,
        *,
        fails: bool = False,
        options: dict[str, Any] | None = None,
    ) -> NodeSocket:
        """Connect to a namespace, with a socket's options, and wait for it, unless it `fails`."""
        socket = NodeSocket(self, manager, namespace)
        self.do("connect", **socket.names, auth=auth, options=options)
        if not fails:
            socket.sid = (await socket.happened("connect"))["sid"]
        return socket

    async def open(
        self, server: LiveServer | Nginx, way: str, manager: str = "one", **options: Any
    ) -> NodeSocket:
        """Open a connection to the namespace "/", and wait until it has its transport."""
        options = {"reconnection": False, **OPTIONS[way], **options}
        self.do("open", manager=manager, url=server.url, options=options)
        socket = await self.socket(manager)
        opened = await self.said(manager=manager, happened="open")
        assert opened["transport"] == ("websocket" if way == "websocket" else "polling")
        if way == "upgrade":
            await self.said(manager=manager, happened="upgrade", transport="websocket")
        return socket

    def new_id(self) -> int:
        """Return a number for an acknowledgement."""
        return next(self._ids)


class NodeSocket:
    """A socket of the runner."""

    def __init__(self, node: Node, manager: str, namespace: str) -> None:
        self.node = node
        self.names = {"manager": manager, "namespace": namespace}
        self.sid = ""

    def do(self, step: str, **fields: Any) -> None:
        """Give the runner a step for this socket."""
        self.node.do(step, **self.names, **fields)

    async def happened(self, what: str, **fields: Any) -> dict[str, Any]:
        """Wait for something to happen to this socket."""
        return await self.node.said(**self.names, happened=what, **fields)

    async def got(self, event: str) -> list[Any]:
        """Return the arguments of the next arrival of an event."""
        return list((await self.happened("event", event=event))["args"])

    def start(self, step: str, timeout: float, *args: Any) -> int:
        """Emit for an acknowledgement; return the number that `finish` takes."""
        number = self.node.new_id()
        self.do(step, args=args, id=number, timeout=timeout * 1000)
        return number

    async def finish(self, number: int) -> tuple[list[Any], str | None]:
        """Return an acknowledgement's arguments, or the client's error."""
        line = await self.node.said(happened="ack", id=number)
        return line.get("answer", []), line.get("error")

    async def ask(
        self, step: str, *args: Any, timeout: float = DEADLINE
    ) -> tuple[list[Any], str | None]:
        """Emit for an acknowledgement and wait for it."""
        return await self.finish(self.start(step, timeout, *args))

    async def call(self, *args: Any) -> list[Any]:
        """Emit and return the acknowledgement's arguments."""
        answer, error = await self.ask("call", *args)
        assert error is None, error
        return answer


def require_node() -> None:
    """Skip the test where Node is missing."""
    if not shutil.which("node"):
        missing("Node", "apt-get install nodejs npm")


def require_client() -> None:
    """Skip the test where Node, or npm's socket.io-client, is missing."""
    require_node()
    if not (FOLDER / "node_modules" / "socket.io-client").is_dir():
        missing("socket.io-client", "npm ci --prefix tests/clients/node")


@asynccontextmanager
async def running_node() -> AsyncIterator[Node]:
    """Start a runner, and see that it ends well."""
    require_client()
    process = await asyncio.create_subprocess_exec(
        "node",
        str(FOLDER / "runner.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    yield Node(process)
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), DEADLINE) == 0
