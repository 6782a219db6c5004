"""Raw clients that send exactly what a test says, and helpers to wait with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, CloseCode

from tests.live import LiveServer
from tests.ports import HOST

T = TypeVar("T")
Frame = str | bytes

PATH = "/socket.io/"
SEPARATOR = "\x1e"

# How long a test waits for what must come, also on a machine that stands still for seconds. It is
# shorter than what ends a connection anyway where a test sets no times: a ping comes after 25 s.
DEADLINE = 20.0


async def eventually(
    check: Callable[[], T | Awaitable[T]], timeout: float = DEADLINE, interval: float = 0.02
) -> T:
    """Return the first true value of `check`, asked again and again until the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if inspect.isawaitable(value):
            value = await value
        if value or time.monotonic() > deadline:
            assert value, f"still not true after {timeout} seconds: {value!r}"
            return value
        await asyncio.sleep(interval)


def http_client(server: LiveServer, **options: Any) -> httpx.AsyncClient:
    """Return an HTTP client for a server."""
    return httpx.AsyncClient(
        base_url=server.url,
        verify=False,
        trust_env=False,
        timeout=DEADLINE,
        limits=httpx.Limits(max_connections=500),
        **options,
    )


def engine_query(transport: str = "polling", **more: str) -> dict[str, str]:
    """Return the query of an Engine.IO request."""
    return {"EIO": "4", "transport": transport, **more}


class Polling:
    """One long-polling session."""

    def __init__(self, http: httpx.AsyncClient, handshake: dict[str, Any]) -> None:
        self.http = http
        self.handshake = handshake
        self.sid: str = handshake["sid"]
        self._params = engine_query(sid=self.sid)
        self._packets: list[str] = []

    @classmethod
    async def open(cls, http: httpx.AsyncClient) -> Polling:
        """Make the handshake."""
        response = await http.get(PATH, params=engine_query())
        assert response.status_code == 200, response.text
        assert response.text[0] == "0"
        return cls(http, json.loads(response.text[1:]))

    async def get(self) -> httpx.Response:
        """Poll once."""
        return await self.http.get(PATH, params=self._params)

    async def post(self, body: Any, **options: Any) -> httpx.Response:
        """Send a body as it is."""
        return await self.http.post(PATH, params=self._params, content=body, **options)

    async def send(self, *packets: str) -> None:
        """Send packets in one payload."""
        response = await self.post(SEPARATOR.join(packets))
        assert (response.status_code, response.text) == (200, "ok"), response.text

    async def receive(self) -> str:
        """Return the next packet; pings are answered on the way, and noops skipped."""
        async with asyncio.timeout(DEADLINE):
            while True:
                while not self._packets:
                    response = await self.get()
                    assert response.status_code == 200, response.text
                    self._packets = response.text.split(SEPARATOR)
                packet = self._packets.pop(0)
                if packet == "2":
                    await self.send("3")
                elif packet != "6":
                    return packet

    async def join_namespace(self, namespace: str = "/", auth: Any = None) -> str:
        """CONNECT to a namespace; return the socket's sid."""
        await self.send(connect_packet(namespace, auth))
        return sid_of(await self.receive())

    async def is_gone(self) -> bool:
        """Tell whether the server has forgotten the session; it must say so as the spec does."""
        response = await self.post("3")
        if response.status_code == 200:
            return False
        assert (response.status_code, response.json()["code"]) == (400, 1)
        return True


async def closed(
    connection: ClientConnection, timeout: float = DEADLINE
) -> tuple[Close, list[Frame]]:
    """Wait until the server closes; return its close frame and the frames before it."""
    frames: list[Frame] = []
    async with asyncio.timeout(timeout):
        try:
            while True:
                frames.append(await connection.recv())
        except ConnectionClosed as error:
            return error.rcvd or Close(CloseCode.ABNORMAL_CLOSURE, ""), frames


class Wire:
    """One Engine.IO WebSocket: frames out as given, frames in without pings."""

    def __init__(self, connection: ClientConnection, *, pong: bool) -> None:
        self.connection = connection
        self.handshake: dict[str, Any] = {}
        self._pong = pong
        self._ids = itertools.count()

    async def send(self, *frames: Frame) -> None:
        """Send frames, each as it is."""
        for frame in frames:
            await self.connection.send(frame)

    async def receive(self) -> Frame:
        """Return the next frame; pings are answered where that was asked for."""
        async with asyncio.timeout(DEADLINE):
            while (frame := await self.connection.recv()) == "2" and self._pong:
                await self.send("3")
            return frame

    async def receive_many(self, count: int) -> list[Frame]:
        """Return the next `count` frames."""
        return [await self.receive() for _ in range(count)]

    async def closed(self, timeout: float = DEADLINE) -> tuple[int, list[Frame]]:
        """Wait until the server closes; return the close code and the frames before it."""
        close, frames = await closed(self.connection, timeout)
        return close.code, frames

    async def join_namespace(self, namespace: str = "/", auth: Any = None) -> str:
        """CONNECT to a namespace; return the socket's sid."""
        await self.send(connect_packet(namespace, auth))
        while (frame := await self.receive()) == "2":  # a ping may come before the answer
            pass
        return sid_of(frame)

    async def call(self, namespace: str, event: str, *args: Any) -> Any:
        """Emit an event and return its acknowledgement; whatever comes before is dropped."""
        number = next(self._ids)
        prefix = "" if namespace == "/" else namespace + ","
        await self.send(f"42{prefix}{number}" + json.dumps([event, *args]))
        head = f"43{prefix}{number}["
        while not str(frame := await self.receive()).startswith(head):
            pass
        answer = json.loads(str(frame)[len(head) - 1 :])
        return answer[0] if len(answer) == 1 else answer


def connect_packet(namespace: str = "/", auth: Any = None) -> str:
    """Return a CONNECT packet as an Engine.IO message."""
    payload = "" if auth is None else json.dumps(auth)
    return "40" + ("" if namespace == "/" else namespace + ",") + payload


def sid_of(frame: Frame) -> str:
    """Return the sid in the answer to a CONNECT."""
    assert isinstance(frame, str), frame
    assert frame.startswith("40"), frame
    return str(json.loads(frame[frame.index("{") :])["sid"])


def websocket(server: LiveServer, path: str, **options: Any) -> connect:
    """Return a WebSocket to a path of the server, to be awaited or entered."""
    settings: dict[str, Any] = {
        "compression": None,
        "max_size": None,
        "ping_interval": None,
        "proxy": None,
        "close_timeout": 2,
        "open_timeout": DEADLINE,
    }
    return connect(server.ws_url + path, **(settings | options))


def engine_path(**more: str) -> str:
    """Return the path of an Engine.IO WebSocket."""
    return f"{PATH}?{httpx.QueryParams(engine_query('websocket', **more))}"


@contextlib.asynccontextmanager
async def open_wire(
    server: LiveServer, *, sid: str | None = None, pong: bool = True, **options: Any
) -> AsyncIterator[Wire]:
    """Open a WebSocket: a new session, or the probe of an upgrade where a `sid` is given."""
    path = engine_path(sid=sid) if sid else engine_path()
    async with websocket(server, path, **options) as connection:
        wire = Wire(connection, pong=pong)
        if sid is None:
            opening = str(await wire.receive())
            assert opening[0] == "0", opening
            wire.handshake = json.loads(opening[1:])
        yield wire


@contextlib.asynccontextmanager
async def open_socket(
    server: LiveServer, namespace: str = "/lab", auth: Any = None, **options: Any
) -> AsyncIterator[tuple[Wire, str]]:
    """Open a WebSocket and CONNECT to a namespace; give the wire and the socket's sid."""
    async with open_wire(server, **options) as wire:
        yield wire, await wire.join_namespace(namespace, auth)


class DeafClient:
    """A TCP client that upgrades to WebSocket, and then reads no more than it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, server: LiveServer) -> DeafClient:
        """Connect, with small buffers so that what is not read stays at the server."""
        plug = socket.socket()
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, (HOST, server.port))
        return cls(*await asyncio.open_connection(sock=plug, limit=4096))

    @classmethod
    async def open(cls, server: LiveServer, path: str) -> DeafClient:
        """Connect and become a WebSocket."""
        client = await cls.connect(server)
        client.write(
            f"GET {path} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return client

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def send(self, text: str) -> None:
        """Send a text frame."""
        self.write(text_frame(text))

    async def read_frame(self, timeout: float = DEADLINE) -> str:
        """Return the text of the next frame."""
        async with asyncio.timeout(timeout):
            length = (await self.reader.readexactly(2))[1]
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            return (await self.reader.readexactly(length)).decode()

    async def join_namespace(self, namespace: str, auth: Any = None) -> str:
        """CONNECT to a namespace; return the socket's sid."""
        await self.read_frame()
        self.send(connect_packet(namespace, auth))
        while (frame := await self.read_frame()) == "2":
            self.send("3")
        return sid_of(frame)

    async def ended(self) -> None:
        """
        Read until the server ends the TCP connection, and end it too.

        The close frame that this client gets is not answered: the server waits some seconds for it.
        """
        async with asyncio.timeout(DEADLINE + 10):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(4096):
                    pass
        self.writer.close()

    def abort(self) -> None:
        """End the TCP connection at once, with a reset."""
        self.writer.transport.abort()


def text_frame(text: str) -> bytes:
    """Return a client's WebSocket text frame, masked with zeros."""
    data = text.encode()
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x81, 0x80 | size)
    elif size < 65_536:
        head = struct.pack(">BBH", 0x81, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x81, 0x80 | 127, size)
    return head + bytes(4) + data
