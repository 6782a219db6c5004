"""Engine.IO connections by WebSocket, which break as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.ports import HOST

PATH = "/socket.io/?EIO=4&transport="
OPEN_TIMEOUT = 15.0

Frame = str | bytes


class Broken(Exception):
    """The connection is gone, or there was none."""


class Link(Protocol):
    """A connection."""

    async def send(self, *frames: Frame) -> None:
        """Send a packet, a text with its attachments; raise Broken where that cannot be."""

    def frames(self) -> AsyncIterator[Frame]:
        """Give the frames that come, pings answered, until the connection ends."""

    async def close(self) -> None:
        """End it in order."""

    def abort(self) -> None:
        """End it at once."""


class WebSocketLink:
    """A connection by WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, port: int, sid: str = "") -> WebSocketLink:
        """Connect: a new session, or the probe of an upgrade where a `sid` is given."""
        url = f"ws://{HOST}:{port}{PATH}websocket" + (f"&sid={sid}" if sid else "")
        try:
            connection = await connect(
                url,
                compression=None,
                max_size=None,
                ping_interval=None,
                proxy=None,
                open_timeout=OPEN_TIMEOUT,
                close_timeout=1,
            )
        except (OSError, EOFError, TimeoutError, WebSocketException) as error:
            raise Broken(repr(error)) from error
        link = cls(connection)
        if not sid and not str(await link.receive()).startswith("0"):
            raise Broken("no handshake")
        return link

    async def receive(self) -> Frame:
        """Return the next frame."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                return await self._connection.recv()
        except (OSError, TimeoutError, WebSocketException) as error:
            self.abort()
            raise Broken(repr(error)) from error

    async def send_raw(self, frame: Frame) -> None:
        """Send a frame."""
        try:
            await self._connection.send(frame)
        except (OSError, WebSocketException) as error:
            raise Broken(repr(error)) from error

    async def send(self, *frames: Frame) -> None:
        async with self._turn:
            for frame in frames:
                await self.send_raw("4" + frame if isinstance(frame, str) else frame)

    async def frames(self) -> AsyncIterator[Frame]:
        try:
            async for frame in self._connection:
                if isinstance(frame, bytes):
                    yield frame
                elif frame == "2":
                    await self.send_pong()
                elif frame.startswith("4"):
                    yield frame[1:]
        except (OSError, WebSocketException, Broken):
            return

    async def send_pong(self) -> None:
        """Answer a ping, not amid a packet."""
        async with self._turn:
            await self.send_raw("3")

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        self._connection.transport.abort()
