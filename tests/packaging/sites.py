"""Sites that tests make from the guides, and serve."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from socketio.exceptions import ConnectionError

from tests.clients.python import TRANSPORTS, Client
from tests.clients.wire import DEADLINE
from tests.packaging.guides import ENV
from tests.ports import HOST, free_port
from tests.processes import ROOT, LiveProcess

KINDS = ("daphne", "uvicorn")

ENVIRONMENT = {**ENV, "PYTHONPATH": str(ROOT)}


def serve(kind: str, folder: Path, env: dict[str, str] = ENVIRONMENT) -> LiveProcess:
    """Return the server of a site that is to be started."""
    port = free_port()
    options = ("-b", "-p") if kind == "daphne" else ("--host", "--port")
    address = (options[0], HOST, options[1], str(port))
    command = [sys.executable, "-m", kind, *address, "mysite.asgi:application"]
    return LiveProcess(kind, command, port, env, folder)


class Visitor:
    """
    An official client of a server, by a transport and in namespaces.

    `headers` go along with its first request, as the client has it; `host` is the name by which it
    calls the server in all of them.
    """

    def __init__(
        self,
        server: LiveProcess,
        way: str,
        *namespaces: str,
        headers: dict[str, str] | None = None,
        host: str = HOST,
    ) -> None:
        self._server = server
        self._transports = TRANSPORTS[way]
        self._namespaces = list(namespaces) or ["/"]
        self._headers = headers or {}
        self._host = {"Host": host}

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        async with aiohttp.ClientSession(headers=self._host) as http:
            client = Client(http_session=http)
            try:
                yield client
            finally:
                await client.close()

    async def _connect(self, client: Client) -> None:
        await client.io.connect(
            self._server.url,
            headers=self._headers,
            transports=self._transports,
            namespaces=self._namespaces,
            wait_timeout=DEADLINE,
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Let it be connected."""
        async with self._client() as client:
            await self._connect(client)
            yield client

    async def refusal(self) -> str:
        """Return what it is told by a server that does not let it in; fail if it is let in."""
        async with self._client() as client:
            with pytest.raises(ConnectionError):
                await self._connect(client)
            return str(client.errors[self._namespaces[0]]["message"])
