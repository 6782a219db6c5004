"""
Clients of servers' own WebSocket protocols, over transports that do what a test says.

The protocols are those of uvicorn and daphne, and so is Twisted's transport: only sockets and
event loops' watching of them are played.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory
from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.python.failure import Failure
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from realtime.asgi import Realtime
from realtime.hub.hub import Hub

from .probes import DEADLINE

ENGINE_PATH = "/socket.io/?EIO=4&transport=websocket"

# What a server's timers are cut to.
SOON = 0.05


def handshake(path: str) -> bytes:
    """Return the request that becomes a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: testserver\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a client's frame."""
    return Frame(opcode, data, fin=fin).serialize(mask=True)


def wire(text: str) -> bytes:
    """Return a client's text frame."""
    return frame(Opcode.TEXT, text.encode())


class Line(ABC):
    """
    What is between a client and the server: bytes both ways, and how it ends.

    A test sets `reads` to False where the client reads nothing, and `broken` where the server's
    next write is to fail: to "error" for an error of the socket, to "raise" for an exception.
    `misused` tells whether anything was written to a lost transport, as uvloop minds.
    """

    def __init__(self) -> None:
        self.written = b""
        self.reads = True
        self.broken = ""
        self.lost = False
        self.misused = False
        self._outgoing = b""
        self._end: Exception | None = None
        self._ended = False

    # The client

    def send(self, data: bytes) -> None:
        """Send bytes: the server gets them when it reads."""
        self._outgoing += data

    def end(self, error: Exception | None = None) -> None:
        """Go away, by FIN or with an error, after what was sent."""
        self._ended, self._end = True, error

    @property
    @abstractmethod
    def reading(self) -> bool:
        """Whether the server reads."""

    def deliver(self) -> None:
        """Let the server read what was sent, as far as it reads."""
        while self.reading and (self._outgoing or self._ended) and not self.lost:
            data, self._outgoing = self._outgoing, b""
            if data:
                self._receive(data)
            elif self._end is not None:
                self.fail(self._end)
            else:
                self._finish()
                return

    @abstractmethod
    def _receive(self, data: bytes) -> None:
        """Let the server have bytes."""

    @abstractmethod
    def fail(self, error: Exception) -> None:
        """Let the server find that the connection is reset."""

    @abstractmethod
    def _finish(self) -> None:
        """Let the server find that no more bytes will come."""


class Transport(asyncio.Transport, Line):
    """An asyncio transport without a socket, as strict as uvloop's."""

    server = ("127.0.0.1", 1)

    def __init__(self, protocol: Any) -> None:
        asyncio.Transport.__init__(self)
        Line.__init__(self)
        self.protocol = protocol
        self.unread = 0
        self.paused = False
        self._high, self._behind = 64 * 1024, False
        self.closing = False
        self._losing = False
        self._eof = False

    # What a test does

    @property
    def reading(self) -> bool:
        return not self.paused and not self.closing and not self._eof

    def _receive(self, data: bytes) -> None:
        try:
            self.protocol.data_received(data)
        except Exception as error:  # as event loops do
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.closing = True
        self.lose_soon(error)

    def _finish(self) -> None:
        self._eof = True
        if not self.protocol.eof_received():
            self.close()

    def read_all(self) -> None:
        """Let the client read what waits for it."""
        self.reads, self.unread = True, 0
        if self._behind:
            self._behind = False
            self.protocol.resume_writing()
        if self.closing:
            self.lose_soon(None)

    def lose(self, error: Exception | None) -> None:
        """End the connection now."""
        if not self.lost:
            self.lost = self.closing = self._losing = True
            self.protocol.connection_lost(error)

    def lose_soon(self, error: Exception | None) -> None:
        """End the connection in the loop's next turn."""
        if not self._losing:
            self._losing = True
            asyncio.get_running_loop().call_soon(self.lose, error)

    # What a server does

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": self.server}.get(name, default)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def write(self, data: Any) -> None:
        if self.lost:
            self.misused = True
            raise RuntimeError("the handler is closed")
        if self._losing:
            return
        if self.broken == "raise":
            raise RuntimeError("the test broke this")
        if self.broken:
            self.fail(BrokenPipeError())
            return
        self.written += data
        if not self.reads:
            self.unread += len(data)
        self._look_if_behind()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self._high = high
        self._look_if_behind()

    def _look_if_behind(self) -> None:
        if self.unread > self._high and not self._behind:
            self._behind = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return 0 if self._losing else self.unread

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        if not self.unread:
            self.lose_soon(None)

    def abort(self) -> None:
        self.closing = True
        self.lose_soon(None)


class Socket:
    """The socket under a Twisted transport."""

    def __init__(self, line: TwistedTransport) -> None:
        self._line = line

    def setblocking(self, blocking: bool) -> None: ...

    def fileno(self) -> int:
        return -1

    def shutdown(self, how: int) -> None: ...

    def setsockopt(self, *option: Any) -> None: ...

    def close(self) -> None: ...

    def send(self, data: bytes) -> int:
        line = self._line
        if line.broken == "raise":
            raise RuntimeError("the test broke this")
        if line.broken:
            raise BrokenPipeError
        if not line.reads:
            raise BlockingIOError(11, "nobody reads")
        line.written += data
        return len(data)


class Reactor:
    """Watches the sockets of Twisted transports in asyncio's loop."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writers:
            self.writers.add(writer)
            self._write_soon(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(min(delay, SOON), call, *args)

    def _write_soon(self, writer: Any) -> None:
        asyncio.get_running_loop().call_soon(self._write, writer)

    def _write(self, writer: Any) -> None:
        if writer not in self.writers or not (writer.reads or writer.broken):
            return
        try:
            why = writer.doWrite()
        except Exception as error:  # as reactors do
            why = error
        if why:
            writer.connectionLost(Failure(why))
        elif writer in self.writers:
            self._write_soon(writer)


class TwistedTransport(tcp.Connection, Line):
    """Twisted's transport without a socket."""

    def __init__(self, protocol: Any) -> None:
        Line.__init__(self)
        tcp.Connection.__init__(self, Socket(self), protocol, Reactor())
        self.connected = True
        self.startReading()

    @property
    def reading(self) -> bool:
        return self in self.reactor.readers

    def _receive(self, data: bytes) -> None:
        try:
            self.protocol.dataReceived(data)
        except Exception as error:  # as reactors do
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.connectionLost(Failure(error))

    def _finish(self) -> None:
        from twisted.internet.main import CONNECTION_DONE

        self.connectionLost(Failure(CONNECTION_DONE))

    def connectionLost(self, reason: Any) -> None:
        self.lost = True
        super().connectionLost(reason)

    def read_all(self) -> None:
        """Let the client read what waits for it."""
        self.reads = True
        for writer in self.reactor.writers:
            self.reactor._write_soon(writer)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    def getHost(self) -> IPv4Address:
        return self.getPeer()


class Peer(ABC):
    """A client whose bytes a test gives to a server's protocol."""

    application: Any
    server: Any
    transport: Any

    def receive(self, *parts: bytes) -> None:
        """Let the server receive these bytes at once."""
        assert self.transport.reading, "nobody reads"
        self.transport.send(b"".join(parts))
        self.transport.deliver()

    async def until(self, check: Callable[[], object]) -> None:
        """Let the loop go on until something is true."""
        async with asyncio.timeout(DEADLINE):
            while not check():
                await asyncio.sleep(0)

    async def until_sent(self, part: str) -> None:
        """Wait until the server has sent something."""
        await self.until(lambda: part.encode() in self.transport.written)

    async def connect(self) -> None:
        """Become a WebSocket, and connect to the namespace "/"."""
        self.receive(handshake(ENGINE_PATH))
        await self.until_sent('0{"sid"')
        self.receive(wire("40"))
        await self.until_sent('40{"sid"')

    async def connect_plain(self) -> None:
        """Become a plain WebSocket in the namespace "/"."""
        self.receive(handshake("/ws/"))
        await self.until_sent('{"connected"')


class UvicornPeer(Peer):
    """A client of uvicorn, with one of its two protocols."""

    kind: type[Any] = WebSocketsSansIOProtocol
    transport: Transport

    def __init__(self, application: Any) -> None:
        self.application = application
        config = Config(application, ws_per_message_deflate=False, ws_ping_interval=None)
        config.load()
        self.server = self.kind(config, ServerState(), {})
        self.transport = Transport(self.server)
        self.server.connection_made(self.transport)

    def lose(self) -> None:
        """End the connection."""
        self.transport.lose(None)


class WsprotoPeer(UvicornPeer):
    """A client of uvicorn with wsproto."""

    kind = WSProtocol


class _Timers:
    """Autobahn's timers, in the running loop, and soon."""

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(min(delay, SOON), call, *args)


class DaphnePeer(Peer):
    """A client of daphne, past the HTTP request that became a WebSocket."""

    transport: TwistedTransport

    def __init__(self, application: Any) -> None:
        def serve(scope: Any, receive: Any, send: Any) -> Any:
            return application(scope, receive, send)

        self.application = application
        server = Server(serve, endpoints=["none"])
        server.connections = {}
        factory = WebSocketFactory(server, server="daphne")
        factory._batched_timer = _Timers()
        self.server = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.transport = TwistedTransport(self.server)

    def receive(self, *parts: bytes) -> None:
        if not hasattr(self.server, "_raw_query_string"):
            path = parts[0].split(b" ")[1]
            self.server._raw_query_string = path.partition(b"?")[2]
            self.server.makeConnection(self.transport)
        super().receive(*parts)


PEERS = {"daphne": DaphnePeer, "uvicorn": UvicornPeer, "uvicorn-wsproto": WsprotoPeer}


@asynccontextmanager
async def new_peer(kind: str, hub: Hub) -> AsyncIterator[Peer]:
    """Yield a client of a server, with nothing sent yet; at the end see that nothing is left."""

    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    peer = PEERS[kind](Realtime(nothing))
    yield peer
    if not peer.transport.lost:
        peer.transport.fail(ConnectionResetError())
    await peer.until(lambda: not hub.connections)
    await peer.until(lambda: not hub.stats()["tasks"])
