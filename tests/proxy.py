"""A TCP proxy that loses what a test wants it to."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tests.ports import HOST


class Proxy:
    """
    Leads to a local port. `url` is as of Redis.

    After `lose_answer(mark)` nothing comes back any more once `mark` has been let through, and
    `lost` is set; `cut` breaks off all connections, and refuses new ones until `mend`.
    """

    def __init__(self, port: int) -> None:
        self.lost = asyncio.Event()
        self.url = ""
        self._port = port
        self._mark: bytes | None = None
        self._silent = self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.url = f"redis://{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()

    def lose_answer(self, mark: bytes) -> None:
        """Let nothing back once these bytes have been let through."""
        self._mark = mark
        self.lost.clear()

    def cut(self) -> None:
        """Break off all connections, and refuse new ones."""
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Be as at the start."""
        self._mark = None
        self._silent = self._refuses = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        back, forth = await asyncio.open_connection(HOST, self._port)
        self._writers |= {writer, forth}
        for source, sink, answers in ((reader, forth, False), (back, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                if answers and self._silent:
                    continue
                marked = not answers and self._mark is not None and self._mark in data
                # From before the mark is on its way: its answer must not come first.
                self._silent |= marked
                writer.write(data)
                if marked:
                    self.lost.set()
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
