"""Many official JavaScript clients in one Node process, which sends and counts by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.clients.javascript import FOLDER, LINE_LIMIT, require_client
from tests.clients.wire import DEADLINE


class Crowd:
    """The clients of a Node process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said: dict[str, Any] = {}

    async def said(self, what: str) -> Any:
        """Return what is said about something, once it is."""
        async with asyncio.timeout(3 * DEADLINE):
            while what not in self._said:
                assert self._process.stdout is not None
                line = await self._process.stdout.readline()
                assert line, f"the crowd ended; what it had said: {self._said}"
                self._said |= json.loads(line)
        return self._said.pop(what)

    async def describe(self) -> list[dict[str, Any]]:
        """Return what each client has seen."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        clients: list[dict[str, Any]] = await self.said("clients")
        return clients


@asynccontextmanager
async def crowd(
    url: str, namespace: str, *, clients: int, events: int, auth: Any
) -> AsyncIterator[Crowd]:
    """Start clients, each of which emits some events."""
    require_client()
    script, said = str(FOLDER / "crowd.mjs"), [str(clients), str(events), json.dumps(auth)]
    process = await asyncio.create_subprocess_exec(
        *("node", script, url, namespace, *said),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    try:
        yield Crowd(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), DEADLINE)
