"""The official Python client, python-socketio, as tests use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import socketio

from tests.clients.wire import DEADLINE, PATH
from tests.processes import LiveProcess

TRANSPORTS = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}


class PatientClient(socketio.AsyncClient):
    """
    The official client, whose attempts to come back may take their time.

    By itself it expects all namespaces within one second of each, and otherwise waits for a poll
    that may be on its way for half a minute; and it ends them for good where a server dies while it
    sends an error's answer.
    """

    async def connect(
        self, url: Any, *args: Any, wait_timeout: float = DEADLINE, **options: Any
    ) -> None:
        try:
            await super().connect(url, *args, wait_timeout=wait_timeout, **options)
        except RuntimeError as error:
            raise socketio.exceptions.ConnectionError(str(error)) from error


class Client:
    """A python-socketio client that keeps what arrives, and waits for it with a deadline."""

    def __init__(self, **options: Any) -> None:
        self.io = PatientClient(handle_sigint=False, **{"reconnection": False} | options)
        self.left: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.errors: dict[str, Any] = {}
        self._arrived: dict[tuple[str, str], asyncio.Queue[tuple[Any, ...]]] = {}
        self.io.on("*", self._arrive, namespace="*")
        self.io.on("disconnect", self._leave, namespace="*")
        self.io.on("connect_error", self._fail, namespace="*")

    async def _arrive(self, event: str, namespace: str, *args: Any) -> None:
        self.queue(event, namespace).put_nowait(args)

    async def _leave(self, namespace: str, reason: str) -> None:
        self.left.put_nowait((namespace, reason))

    async def _fail(self, namespace: str, *data: Any) -> None:
        self.errors[namespace] = data[0] if data else None

    def queue(self, event: str, namespace: str) -> asyncio.Queue[tuple[Any, ...]]:
        """Return what arrived of one event and was not taken yet."""
        return self._arrived.setdefault((event, namespace), asyncio.Queue())

    def answer(self, event: str, answer: Callable[..., Any], namespace: str = "/") -> None:
        """Acknowledge an event with what a function returns."""

        async def arrive(name: str, *args: Any) -> None:
            await self._arrive(name, namespace, *args)

        async def leave(reason: str) -> None:
            await self._leave(namespace, reason)

        self.io.on(event, answer, namespace=namespace)
        # The library looks no further than a namespace that has handlers, so this one needs all.
        self.io.on("*", arrive, namespace=namespace)
        self.io.on("disconnect", leave, namespace=namespace)

    async def got(self, event: str, namespace: str = "/") -> Any:
        """Return the next arrival of an event: its argument, or a tuple where it has several."""
        async with asyncio.timeout(DEADLINE):
            args = await self.queue(event, namespace).get()
        return args[0] if len(args) == 1 else args

    async def call(self, event: str, *args: Any, namespace: str = "/") -> Any:
        """Emit an event and return its acknowledgement."""
        return await self.io.call(event, args, namespace=namespace, timeout=DEADLINE)

    async def close(self) -> None:
        """Leave all namespaces, and end the connection or the attempts to have one."""
        if self.io.eio.state == "connected":
            # The library forgets to say goodbye while a request of its own is on the way.
            await self.io.eio.queue.join()
        await self.io.shutdown()

    def sid(self, namespace: str = "/") -> str:
        """Return the id of the socket in a namespace."""
        return str(self.io.get_sid(namespace))


@asynccontextmanager
async def connected(
    server: LiveProcess,
    way: str,
    *namespaces: str,
    auth: Any = None,
    headers: dict[str, str] | None = None,
    path: str = PATH,
    **options: Any,
) -> AsyncIterator[Client]:
    """Connect a client to namespaces ("/" by default) by "websocket", "polling" or "upgrade"."""
    client = Client(**options)
    try:
        await client.io.connect(
            server.url,
            transports=TRANSPORTS[way],
            namespaces=list(namespaces) or ["/"],
            auth=auth,
            headers=dict(headers or {}),  # of which it removes cookies
            socketio_path=path,
            wait_timeout=DEADLINE,
        )
        yield client
    finally:
        await client.close()
