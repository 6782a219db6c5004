"""A load balancer that leads each HTTP request to one server, until a test names another."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self

from tests.ports import HOST

CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


class Balancer:
    """
    Leads requests to the local port `target`, each in a connection of its own.

    What is under way stays where it is when `target` changes.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._lead(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            back, forth = await asyncio.open_connection(HOST, self.target)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        forth.write(CONNECTION.sub(b"", head[:-4]) + b"\r\nConnection: close\r\n\r\n")
        pumps = [asyncio.create_task(_pump(*each)) for each in ((reader, forth), (back, writer))]
        try:
            # Whoever hangs up ends both.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            forth.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
