"""
A client for a site's own tests: no server, no network, the real session, sockets and hub.

::

    async with Client("/orders/7", user=user) as client:
        assert await client.call("rename", "new name") == {"ok": True}
        assert await client.receive() == ("renamed", "new name")

Use it inside one event loop, and where consumers touch the database in a TransactionTestCase or
``django_db(transaction=True)``: handlers run in threads with connections of their own.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Any

from .exceptions import ClientDisconnected, ConnectionRefused
from .hub import ensure_hub
from .hub.calls import as_answer
from .logins import new_anonymous
from .protocol import engineio, socketio
from .transports.frames import Frames
from .transports.session import Session
from .transports.writers import Writer

DEFAULT_TIMEOUT = 2.0


class MemoryWriter(Writer):
    """Hands every frame to a function, as if the client had read it at once."""

    def __init__(self, deliver: Any) -> None:
        self._deliver = deliver

    @property
    def buffered(self) -> int:
        return 0

    def write(self, frames: Frames) -> None:
        for frame in frames.frames:
            self._deliver(frame)

    def close(self, code: int, reason: str) -> None:
        self._deliver(None)

    def abort(self) -> None:
        self._deliver(None)


class Client:
    """
    One client in one namespace.

    `user`, `auth` and more of the `scope` (such as `session`) are what the consumer sees.
    """

    def __init__(
        self,
        namespace: str = "/",
        *,
        auth: dict[str, Any] | None = None,
        user: Any = None,
        scope: dict[str, Any] | None = None,
    ) -> None:
        self.namespace = namespace
        self.sid = ""
        self._auth = auth
        self._scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/socket.io/",
            "query_string": b"",
            "headers": [],
            "user": user or new_anonymous(),
            "session": {},
        } | (scope or {})
        self._events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._sent: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._acks: dict[int, asyncio.Future[list[Any]]] = {}
        self._next_id = 0
        self._answered: asyncio.Future[str] | None = None
        self._questions: dict[str, Any] = {}
        self._closed = asyncio.Event()
        self._decoder = socketio.Decoder(max_attachments=sys.maxsize, max_bytes=sys.maxsize)
        self._session: Session | None = None

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()

    async def connect(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Connect. Raises ConnectionRefused with the server's message and data."""
        hub = ensure_hub()
        self._answered = hub.loop.create_future()
        self._session = Session(hub, self._scope, MemoryWriter(self._receive_frame))
        hub.spawn(self._session.read(self._sent.get))
        self._send(socketio.Packet(socketio.CONNECT, self.namespace, self._auth))
        async with asyncio.timeout(timeout):
            self.sid = await self._answered

    async def disconnect(self) -> None:
        """Leave, as a client that closes its page does, and wait for the last hook."""
        if self._session is not None and not self._session.closed.happened:
            self._session.close("transport close")
        self._sent.put_nowait(None)

    def emit(self, event: str, *args: Any) -> None:
        """Send an event."""
        self._send(socketio.Packet(socketio.EVENT, self.namespace, [event, *args]))

    async def call(self, event: str, *args: Any, timeout: float = DEFAULT_TIMEOUT) -> Any:
        """Send an event and return its acknowledgement: None, a value, or a list."""
        ack_id, self._next_id = self._next_id, self._next_id + 1
        answer = self._acks[ack_id] = asyncio.get_running_loop().create_future()
        self._send(socketio.Packet(socketio.EVENT, self.namespace, [event, *args], ack_id))
        async with asyncio.timeout(timeout):
            return as_answer(await answer)

    def answer(self, event: str, *args: Any) -> None:
        """Acknowledge every `event` that asks for it with these arguments from now on."""
        self._questions[event] = list(args)

    async def receive(self, timeout: float = DEFAULT_TIMEOUT) -> tuple[Any, ...]:
        """Return the next event, as (name, *args), that came or comes within `timeout` seconds."""
        async with asyncio.timeout(timeout):
            return await self._events.get()

    async def closed(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Wait until the server has disconnected this client."""
        async with asyncio.timeout(timeout):
            await self._closed.wait()

    def pending(self) -> int:
        """Return how many events have come that `receive` has not returned yet."""
        return self._events.qsize()

    def _send(self, packet: socketio.Packet) -> None:
        text, attachments = socketio.encode(packet)
        self._sent.put_nowait(engineio.MESSAGE + text)
        for attachment in attachments:
            self._sent.put_nowait(attachment)

    def _receive_frame(self, frame: str | bytes | None) -> None:
        if frame is None:
            self._leave()
            return
        if isinstance(frame, str):
            if frame == engineio.PacketType.PING:
                self._sent.put_nowait(engineio.PacketType.PONG)
            if not frame.startswith(engineio.MESSAGE):
                return
            frame = frame[1:]
        packet = self._decoder.add(frame)
        if packet is not None and packet.namespace == self.namespace:
            self._receive_packet(packet)

    def _receive_packet(self, packet: socketio.Packet) -> None:
        assert self._answered is not None
        if packet.type is socketio.EVENT:
            self._events.put_nowait(tuple(packet.data))
            if packet.id is not None and packet.data[0] in self._questions:
                answer = self._questions[packet.data[0]]
                self._send(socketio.Packet(socketio.ACK, self.namespace, answer, packet.id))
        elif packet.type is socketio.ACK and packet.id in self._acks:
            self._acks.pop(packet.id).set_result(packet.data)
        elif packet.type is socketio.CONNECT:
            self._answered.set_result(packet.data["sid"])
        elif packet.type is socketio.CONNECT_ERROR:
            refusal = ConnectionRefused(packet.data["message"], packet.data.get("data"))
            self._answered.set_exception(refusal)
        elif packet.type is socketio.DISCONNECT:
            self._leave()

    def _leave(self) -> None:
        self._closed.set()
        for answer in self._acks.values():
            if not answer.done():
                answer.set_exception(ClientDisconnected("the server closed the connection"))
        self._acks.clear()
