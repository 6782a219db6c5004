"""
Restart the processes of a running ``project.cluster`` one by one, as a deploy does.

``python -m project.roll`` asks the cluster whose first port is 7000, or the one that is given, and
shows what it does. It ends when all processes are ready again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

# What a cluster is told, and what it says last.
ROLL = b"roll\n"
DONE = "All are ready."


class ClusterError(Exception):
    """Something of the cluster did not start, or ended by itself."""


def address(port: int) -> Path:
    """Return the Unix socket on which the cluster with this first port is asked."""
    folder = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(folder) / f"realtime-cluster-{os.getuid()}-{port}"


class Requests:
    """Who has asked a cluster to restart its processes."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def add(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take somebody who asks, and not who only looks whether there is a cluster."""
        if await reader.readline() == ROLL:
            self._waiting.put_nowait(writer)
        else:
            writer.close()

    @asynccontextmanager
    async def next(self) -> AsyncIterator[Callable[[str], None]]:
        """Wait for the next one; yield what tells them, and this terminal, how it goes on."""
        writer = await self._waiting.get()

        def tell(line: str) -> None:
            print(line, flush=True)
            if not writer.is_closing():
                writer.write(f"{line}\n".encode())

        try:
            yield tell
            tell(DONE)
        finally:
            writer.close()


@asynccontextmanager
async def requests(port: int) -> AsyncIterator[Requests]:
    """Yield those who ask. Raises ClusterError where another cluster has this first port."""
    path = address(port)
    with contextlib.suppress(OSError):  # none, or one that was killed
        _, writer = await asyncio.open_unix_connection(path)
        writer.close()
        raise ClusterError(f"another cluster has port {port} as its first")
    asked = Requests()
    server = await asyncio.start_unix_server(asked.add, path)
    try:
        yield asked
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def ask(port: int) -> int:
    """Ask a cluster, and show what it says; return the exit code."""
    try:
        reader, writer = await asyncio.open_unix_connection(address(port))
    except OSError:
        print(f"No cluster has {port} as its first port. Start one: make cluster", file=sys.stderr)
        return 1
    writer.write(ROLL)
    last = ""
    async for line in reader:
        last = line.decode().rstrip()
        print(last, flush=True)
    writer.close()
    if last != DONE:
        print("The cluster has stopped: see its terminal.", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Have the processes restarted; return the exit code."""
    parser = argparse.ArgumentParser(description="Restart a cluster's processes one by one.")
    parser.add_argument("port", nargs="?", type=int, default=7000, help="the cluster's first port")
    return asyncio.run(ask(parser.parse_args().port))


if __name__ == "__main__":
    sys.exit(main())
