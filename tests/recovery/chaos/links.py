"""Engine.IO connections that break as they are told: by WebSocket, polling, and both."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.ports import HOST

PATH = "/socket.io/?EIO=4&transport="
SEPARATOR = "\x1e"
OPEN_TIMEOUT = 15.0

Frame = str | bytes


class Broken(Exception):
    """The connection is gone, or there was none."""


class Link(Protocol):
    """A connection."""

    async def send(self, frame: str) -> None:
        """Send a message's frame; raise Broken where that cannot be."""

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
        except (OSError, TimeoutError, WebSocketException) as error:
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

    async def send_raw(self, frame: str) -> None:
        """Send a frame."""
        try:
            await self._connection.send(frame)
        except (OSError, WebSocketException) as error:
            raise Broken(repr(error)) from error

    async def send(self, frame: str) -> None:
        await self.send_raw("4" + frame)

    async def frames(self) -> AsyncIterator[Frame]:
        try:
            async for frame in self._connection:
                if isinstance(frame, bytes):
                    yield frame
                elif frame == "2":
                    await self.send_raw("3")
                elif frame.startswith("4"):
                    yield frame[1:]
        except (OSError, WebSocketException, Broken):
            return

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        self._connection.transport.abort()


class Http:
    """One HTTP/1.1 connection, kept alive."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def request(self, method: str, path: str, body: str = "") -> str:
        """Send a request and return the body of its answer; raise Broken unless it is a 200."""
        try:
            async with self._turn, asyncio.timeout(60):
                return await self._request(method, path, body.encode())
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.abort()
            raise Broken(repr(error)) from error

    async def _request(self, method: str, path: str, body: bytes) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=2**24)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if "content-length" in headers:
            answer = await reader.readexactly(int(headers["content-length"]))
        else:
            answer = await self._read_chunks(reader)
        if headers.get("connection") == "close":
            self.abort()
        if lines[0].split()[1] != "200":
            raise Broken(f"{lines[0]} {answer!r}")
        return answer.decode()

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        chunks = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(chunks)

    def abort(self) -> None:
        """End the connection; another request opens another one."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class PollingLink:
    """A connection by polling, which goes over to WebSocket if it is to."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._polls, self._posts = Http(port), Http(port)
        self._over = False
        self._upgraded: WebSocketLink | None = None
        self._upgrading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, port: int, *, upgrade: bool = False) -> PollingLink:
        """Make the handshake."""
        http = Http(port)
        opening = await http.request("GET", PATH + "polling")
        if not opening.startswith("0"):
            raise Broken(f"no handshake: {opening[:100]}")
        sid = json.loads(opening[1:])["sid"]
        link = cls(port, f"{PATH}polling&sid={sid}")
        link._polls = http
        if upgrade:
            link._upgrading = asyncio.create_task(link._upgrade(sid))
        return link

    async def _upgrade(self, sid: str) -> None:
        try:
            link = await WebSocketLink.open(self._port, sid)
            await link.send_raw("2probe")
            if self._over or await link.receive() != "3probe":
                link.abort()
                return
            self._upgraded = link  # the poll that is open is answered with a NOOP
            await link.send_raw("5")
        except Broken:  # it stays with polling
            return

    async def send(self, frame: str) -> None:
        if self._upgrading is not None:
            await self._upgrading
        if self._over:
            raise Broken("it is over")
        if self._upgraded is not None:
            await self._upgraded.send(frame)
        else:
            await self._posts.request("POST", self._path, "4" + frame)

    async def frames(self) -> AsyncIterator[Frame]:
        while not self._over and self._upgraded is None:
            try:
                packets = (await self._polls.request("GET", self._path)).split(SEPARATOR)
            except Broken:
                break
            for packet in packets:
                if packet == "2":
                    await self._pong()
                elif packet == "1":
                    self._over = True
                elif packet.startswith("b"):
                    yield base64.b64decode(packet[1:])
                elif packet.startswith("4"):
                    yield packet[1:]
        if self._upgraded is not None and not self._over:
            async for frame in self._upgraded.frames():
                yield frame
        self.abort()

    async def _pong(self) -> None:
        try:
            await self._posts.request("POST", self._path, "3")
        except Broken:
            self._over = True

    async def close(self) -> None:
        if self._upgraded is not None:
            await self._upgraded.close()
        elif not self._over:
            with contextlib.suppress(Broken):
                await self._posts.request("POST", self._path, "1")
        self.abort()

    def abort(self) -> None:
        self._over = True
        self._polls.abort()
        self._posts.abort()
        if self._upgraded is not None:
            self._upgraded.abort()


async def open_link(way: str, port: int) -> Link:
    """Connect by "websocket", "polling" or "upgrade"; raise Broken where that cannot be."""
    if way == "websocket":
        return await WebSocketLink.open(port)
    return await PollingLink.open(port, upgrade=way == "upgrade")
