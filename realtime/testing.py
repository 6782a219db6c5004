"""
A client for a site's own tests: no server, no network, the real session, sockets and hub.

::

    async with Client("/orders/7", user=user) as client:
        assert await client.call("rename", "new name") == {"ok": True}

Use it inside one event loop, and where consumers touch the database in a TransactionTestCase or
``django_db(transaction=True)``: handlers run in threads with connections of their own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from http.cookies import Morsel
from types import TracebackType
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from .exceptions import ClientDisconnected, ConnectionRefused
from .hub.calls import as_answer
from .hub.hub import Hub
from .identity.scopes import complete_scope
from .identity.users import find_user
from .outside.process import ensure_hub
from .protocol import engineio, socketio
from .protocol.decoding import Decoder
from .protocol.frames import Frames
from .sockets.sharing import read_shared
from .transports.session import Session
from .webservers.writers import HIGH_WATER, Writer

DEFAULT_TIMEOUT = 2.0

# How long a client that leaves waits for its last hook, which waits for handlers that are at work.
DISCONNECT_TIMEOUT = 5.0


class MemoryWriter(Writer):
    """Hands every frame to a function, as if the client had read it at once."""

    def __init__(self, deliver: Any) -> None:
        super().__init__()
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


class SlowWriter(MemoryWriter):
    """
    From `stall` on, keeps frames as a network does whose client reads nothing: it is behind, and
    misses volatile events. `catch_up` hands over what was kept.
    """

    def __init__(self, deliver: Any) -> None:
        super().__init__(deliver)
        self._is_stalled = False
        self._unread: list[Frames] = []

    @property
    def buffered(self) -> int:
        unread = sum(frames.size for frames in self._unread)
        return HIGH_WATER + 1 + unread if self._is_stalled else 0

    def stall(self) -> None:
        """Hand over nothing until `catch_up`."""
        self._is_stalled = True

    def catch_up(self) -> None:
        """Hand over what was kept, and each frame at once from now on."""
        self._is_stalled = False
        unread, self._unread = self._unread, []
        for frames in unread:
            super().write(frames)
        self.tell_drained()

    def write(self, frames: Frames) -> None:
        if self._is_stalled:
            self._unread.append(frames)
        else:
            super().write(frames)


class TestSession(Session):
    """A session that keeps the tasks in which the last hooks of its sockets run."""

    __test__ = False  # pytest takes it for a class of tests

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer) -> None:
        super().__init__(hub, scope, writer)
        self.endings: list[asyncio.Task[None]] = []

    def note_ending(self, ending: asyncio.Task[None]) -> None:
        self.endings.append(ending)


class Client:
    """
    One client in one namespace.

    `auth` is what `connect` gets. The consumer sees the `user` that is given; without one that of
    the session whose cookie is in `cookies` or `headers`, as on a server. `cookies` may be those of
    Django's test client, `headers` are texts by name, and `scope` adds to the request's scope, such
    as a `session`.

    A `slow` client reads nothing from its connect on, until `catch_up`: it misses volatile events,
    who awaits what it is sent waits, and more than OUTBOX_BYTES for it disconnects it.

    With ``REALTIME["RECOVERY"]`` it comes back, after a `drop`, by another `connect`, as browsers
    do: `recovered` tells whether it is who it was. After `disconnect` it is somebody new.
    `receive` returns events without their offsets.
    """

    def __init__(
        self,
        namespace: str = "/",
        *,
        auth: dict[str, Any] | None = None,
        user: Any = None,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str | Morsel[str]] | None = None,
        scope: dict[str, Any] | None = None,
        slow: bool = False,
    ) -> None:
        self.namespace = namespace
        self.sid = ""
        self.recovered = False
        self._pid, self._offset = "", ""
        self._auth = auth
        self._scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/socket.io/",
            "query_string": b"",
            "headers": [],
        } | (scope or {})
        self._scope["headers"] = [
            *self._scope["headers"],
            *_encode_headers(headers or {}, cookies or {}),
        ]
        if user is not None:
            self._scope["user"] = user
        self._events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._sent: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._acks: dict[int, asyncio.Future[list[Any]]] = {}
        self._next_id = 0
        self._answered: asyncio.Future[str] | None = None
        self._questions: dict[str, Any] = {}
        self._closed = asyncio.Event()
        self._decoder = Decoder(max_attachments=sys.maxsize, max_bytes=sys.maxsize)
        self._writer = (SlowWriter if slow else MemoryWriter)(self._receive_frame)
        self._session: TestSession | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.disconnect()
        except TimeoutError as late:
            if error is None:
                raise
            error.add_note(str(late))  # what went wrong first is what the test is to tell

    async def connect(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """
        Connect, or connect again. Raises ConnectionRefused with the server's message, data and
        code, and TimeoutError where no answer comes within `timeout` seconds.
        """
        hub = ensure_hub()
        self._closed.clear()
        self._sent = asyncio.Queue()
        self._answered = hub.loop.create_future()
        try:
            async with asyncio.timeout(timeout):
                scope = await _complete(hub, self._scope)
                self._session = TestSession(hub, scope, self._writer)
                self._reading = hub.spawn(self._session.read(self._sent.get))
                self._send(socketio.Packet(socketio.CONNECT, self.namespace, self._credentials()))
                self.sid = await self._answered
        except BaseException:
            if self._session is not None:
                self._session.close("transport close")
            raise

    def _credentials(self) -> dict[str, Any] | None:
        """Return what `connect` gets, and by what a client comes back."""
        if not self._pid:
            return self._auth
        back = {"pid": self._pid, "offset": self._offset} if self._offset else {"pid": self._pid}
        return back | (self._auth or {})

    def drop(self) -> None:
        """Lose the connection without a word, as where the network fails."""
        if self._session is not None:
            self._session.close("transport close")

    async def disconnect(self, timeout: float = DISCONNECT_TIMEOUT) -> None:
        """
        Leave, as a client that closes its page does, after what it has sent; return when the
        consumer's last hook has run, also where the server has closed the connection before.

        Raises TimeoutError where that takes longer than `timeout` seconds.
        """
        session = self._session
        if session is None or self._reading is None:
            return
        self._pid = self._offset = ""
        self._sent.put_nowait(None)
        deadline = asyncio.get_running_loop().time() + timeout
        await asyncio.wait(
            {self._reading, session.closed.wait()},
            timeout=timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        session.close("transport close")
        if session.endings:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            _, late = await asyncio.wait(session.endings, timeout=left)
            if late:
                raise TimeoutError(
                    f"the last hook of the consumer at {self.namespace!r}, disconnect(), has not "
                    f"ended within {timeout} seconds: wait longer with disconnect(timeout=...), "
                    "or see what it or a handler of this client waits for"
                )

    def emit(self, event: str, *args: Any) -> None:
        """Send an event."""
        self._send(socketio.Packet(socketio.EVENT, self.namespace, [event, *args]))

    async def call(self, event: str, *args: Any, timeout: float = DEFAULT_TIMEOUT) -> Any:
        """Send an event and return its acknowledgement: None, a value, or a tuple."""
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

    @property
    def shared(self) -> dict[str, Any]:
        """What others see of this client, as its consumer shares it; empty once it is gone."""
        sockets = {} if self._session is None else self._session.sockets
        socket = sockets.get(self.namespace)
        return {} if socket is None else read_shared(socket.shared)

    def catch_up(self) -> None:
        """
        Let a slow client read all that has come for it, and keep up from now on.

        Raises TypeError for a client that is not slow.
        """
        if not isinstance(self._writer, SlowWriter):
            raise TypeError("This client reads at once: there is nothing to catch up with.")
        self._writer.catch_up()

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
            if packet.id is None and self._pid:
                self._offset = packet.data.pop()
            self._events.put_nowait(tuple(packet.data))
            if packet.id is not None and packet.data[0] in self._questions:
                answer = self._questions[packet.data[0]]
                self._send(socketio.Packet(socketio.ACK, self.namespace, answer, packet.id))
        elif packet.type is socketio.ACK and packet.id in self._acks:
            self._acks.pop(packet.id).set_result(packet.data)
        elif packet.type is socketio.CONNECT:
            pid = packet.data.get("pid", "")
            self.recovered, self._pid = bool(pid) and pid == self._pid, pid
            self._answered.set_result(packet.data["sid"])
            if isinstance(self._writer, SlowWriter):
                self._writer.stall()
        elif packet.type is socketio.CONNECT_ERROR:
            data = packet.data.get("data")
            code = data.get("code") if isinstance(data, dict) else None
            refusal = ConnectionRefused(packet.data["message"], data, code=code)
            self._answered.set_exception(refusal)
        elif packet.type is socketio.DISCONNECT:
            self._leave()

    def _leave(self) -> None:
        self._closed.set()
        for answer in self._acks.values():
            if not answer.done():
                answer.set_exception(ClientDisconnected("the server closed the connection"))
        self._acks.clear()


async def _complete(hub: Hub, given: dict[str, Any]) -> dict[str, Any]:
    """Return a scope as the server completes it; the user and the session that are given win."""
    scope = await complete_scope(
        hub, {name: value for name, value in given.items() if name not in ("user", "session")}
    )
    session = given.get("session")
    if isinstance(session, SessionBase) and "user" not in given:
        scope["user"] = await find_user(hub.lookups, session)
    return scope | given


def _encode_headers(
    headers: Mapping[str, str], cookies: Mapping[str, str | Morsel[str]]
) -> list[tuple[bytes, bytes]]:
    """Return headers as a scope has them, with the cookies among them."""
    encoded = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
    if cookies:
        pairs = (
            f"{name}={value.coded_value if isinstance(value, Morsel) else value}"
            for name, value in cookies.items()
        )
        encoded.append((b"cookie", "; ".join(pairs).encode("latin-1")))
    return encoded
