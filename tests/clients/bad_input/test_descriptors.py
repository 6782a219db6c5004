"""Clients that a server cannot accept: it has no file descriptors left, and says so."""

from __future__ import annotations

import asyncio
import contextlib

import psutil
import pytest

from tests.clients.python import connected
from tests.conftest import ServerFactory
from tests.ports import HOST

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("daphne", ()), ("uvicorn", ("--loop", "asyncio")), ("uvicorn", ("--loop", "auto"))],
    ids=["daphne", "uvicorn on asyncio", "uvicorn on uvloop"],
)
async def test_refused_connections_are_logged(
    kind: str, options: tuple[str, ...], new_server: ServerFactory
) -> None:
    server = await asyncio.to_thread(new_server, kind, options=options)
    async with connected(server, "websocket", "/"):
        process = psutil.Process(server.pid)
        limits = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 3, limits[1]))
        since = len(server.log)
        greedy = [await asyncio.open_connection(HOST, server.port) for _ in range(20)]
        line = r"files-exhausted error=EMFILE connections=1 limit=\d+ hint=.*LimitNOFILE"
        await server.logged(line, 30, since)
        process.rlimit(psutil.RLIMIT_NOFILE, limits)
        for _, writer in greedy:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await server.logged("files-free", 30, since)
        assert 1 <= server.log[since:].count("files-exhausted") <= 40
        async with connected(server, "websocket", "/"):
            pass
