"""A TCP line between clients and a server, which breaks as a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.live import LiveServer
from tests.ports import HOST


class Ends(NamedTuple):
    """The two ends of a connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter


class Line:
    """
    Leads to one server at a time.

    `cut` breaks off all connections, and both sides notice; after `go_silent` only the client does,
    as where a cable is pulled. Until `mend` nobody gets through any more. `was_cut` is set once
    what `cut_after` was told of has come to pass.
    """

    def __init__(self, server: LiveServer, port: int) -> None:
        self.server = server
        self.url = f"http://{HOST}:{port}"
        self.was_cut = asyncio.Event()
        self._refuses = False
        self._mark: bytes | None = None
        self._marks = 0
        self._connections: set[Ends] = set()
        self._silent: set[asyncio.StreamWriter] = set()

    def lead_to(self, server: LiveServer) -> None:
        """Lead new connections to another server."""
        self.server = server

    def hold_back(self) -> None:
        """Refuse new connections."""
        self._refuses = True

    def cut(self) -> None:
        """Break off all connections, and refuse new ones."""
        self._refuses = True
        for ends in self._connections:
            for writer in ends:
                writer.transport.abort()

    def go_silent(self) -> None:
        """Break them off for the clients alone: servers hear nothing any more, of no end either."""
        self._refuses = True
        for ends in self._connections:
            self._silent.add(ends.server)
            ends.client.transport.abort()

    def mend(self) -> None:
        """Let new connections through."""
        self._refuses = False

    def cut_after(self, mark: bytes, times: int = 1) -> None:
        """Cut right behind these bytes, as they come from the server for the n-th time."""
        self._mark, self._marks = mark, times

    def close(self) -> None:
        """Break off everything."""
        self.cut()
        for writer in self._silent:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client's connection to the server."""
        if self._refuses:
            writer.transport.abort()
            return
        try:
            answers, requests = await asyncio.open_connection(HOST, self.server.port)
        except OSError:
            writer.transport.abort()
            return
        ends = Ends(writer, requests)
        self._connections.add(ends)
        await asyncio.gather(self._send(reader, requests), self._give_back(answers, writer))
        self._connections.discard(ends)
        for end in ends:
            end.close()

    async def _send(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                server.write(data)
        except OSError:
            pass
        if server not in self._silent:
            server.close()

    async def _give_back(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            while data := await answers.read(65536):  # of silent ones too, or the server waits
                if client.is_closing():
                    continue
                client.write(data[: self._until_the_mark(data)])
                if self._cut_now:
                    await self._cut_behind(client)
        except OSError:
            pass
        client.close()

    @property
    def _cut_now(self) -> bool:
        return self._mark is not None and self._marks == 0

    def _until_the_mark(self, data: bytes) -> int:
        """Return how much of the data gets through."""
        end = 0
        while self._mark is not None and self._marks:
            at = data.find(self._mark, end)
            if at < 0:
                return len(data)
            end = at + len(self._mark)
            self._marks -= 1
        return end if self._cut_now else len(data)

    async def _cut_behind(self, client: asyncio.StreamWriter) -> None:
        """Cut once the client has what was written to it."""
        self._mark = None
        await client.drain()
        client.close()
        await client.wait_closed()
        self.cut()
        self.was_cut.set()


@asynccontextmanager
async def line_to(server: LiveServer) -> AsyncIterator[Line]:
    """Open a line to a server."""
    lines: list[Line] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await lines[0].accept(reader, writer)

    listener = await asyncio.start_server(accept, HOST, 0)
    lines.append(Line(server, listener.sockets[0].getsockname()[1]))
    try:
        yield lines[0]
    finally:
        listener.close()
        lines[0].close()
