"""
Engine.IO over WebSocket: sessions that start on it, and sessions that move to it from polling.

Specification: https://github.com/socketio/engine.io-protocol (sections "WebSocket", "Upgrade").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..exceptions import HandshakeError, TooLarge, TooManyConnections
from ..protocol import engineio
from ..protocol.jsontext import dumps
from .connection import Connection, close_text
from .frames import Frames
from .requests import check_origin, parse_query
from .session import Session, wait_closed
from .writers import POLICY_VIOLATION, TOO_BIG, Writer, choose_writer

if TYPE_CHECKING:
    from ..hub import Hub

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Start = Callable[[dict[str, Any], Writer], Awaitable[Session]]

# Frames that may wait in daphne's queue before its socket is paused.
MAX_QUEUE = 64

PROBE = engineio.PacketType.PING + "probe"
PROBE_ANSWER = engineio.PacketType.PONG + "probe"


async def accept(hub: Hub, receive: Receive, send: Send) -> Writer | None:
    """Accept a WebSocket; return its writer, or None where the client is gone already."""
    if (await receive())["type"] != "websocket.connect":
        return None
    await send({"type": "websocket.accept"})
    return choose_writer(send, hub.spawn)


async def reject(
    scope: dict[str, Any], receive: Receive, send: Send, error: HandshakeError
) -> None:
    """Refuse a WebSocket handshake, with the error as the response where the server can."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = dumps({"code": error.code, "message": error.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send(
        {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})


async def turn_away(writer: Writer, error: TooManyConnections) -> None:
    """Close a WebSocket that was accepted before it was known that it is one too many."""
    writer.close(POLICY_VIOLATION, close_text(error.message))
    await writer.closed()


class Reader:
    """
    Reads the frames of one WebSocket, and keeps them to MAX_PAYLOAD.

    daphne goes on reading into a queue without a bound, so the socket is paused while many frames
    wait there.
    """

    def __init__(self, hub: Hub, receive: Receive, writer: Writer) -> None:
        self._limit = hub.settings.MAX_PAYLOAD
        self._receive = receive
        self._writer = writer
        queue = getattr(receive, "__self__", None)
        self._queue = queue if isinstance(queue, asyncio.Queue) else None

    async def receive(self) -> str | bytes | None:
        """Return the next frame, or None when the client is gone. Raises TooLarge."""
        if self._queue is not None:
            self._slow_down(self._queue.qsize())
        return self._unpack(await self._receive())

    def _slow_down(self, waiting: int) -> None:
        """Pause the socket while many frames wait in daphne's queue."""
        if waiting > MAX_QUEUE:
            self._writer.pause_reading()
        elif not waiting:
            self._writer.resume_reading()

    def _unpack(self, message: dict[str, Any]) -> str | bytes | None:
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        frame: str | bytes = message["bytes"] if text is None else text
        ascii_only = text is None or text.isascii()
        size = len(frame) if ascii_only else len(text.encode())  # type: ignore[union-attr]
        if size > self._limit:
            raise TooLarge(f"a frame of {size} bytes, at most {self._limit} are accepted")
        return frame

    async def run(self, connection: Connection) -> None:
        """Feed a connection until it is over, and hold the server's task until then."""

        async def receive() -> str | bytes | None:
            # Not through self.receive(): each frame of each client comes this way.
            if self._queue is not None:
                self._slow_down(self._queue.qsize())
            message = await self._receive()
            try:
                frame = self._unpack(message)
            except TooLarge as error:
                connection.writer.close(TOO_BIG, close_text(str(error)))
                connection.close("transport error")
                return None
            if frame is None:
                connection.close("transport close")
            return frame

        connection.hub.spawn(connection.read(receive))
        await wait_closed(connection)
        await connection.writer.closed()


async def serve(
    hub: Hub, scope: dict[str, Any], receive: Receive, send: Send, start: Start
) -> None:
    """Serve a WebSocket at the Engine.IO path; `start` makes a new session."""
    try:
        check_origin(scope, hub.settings)
        query = parse_query(scope, hub.settings)
        if query.transport != "websocket":
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        old = _upgradable(hub, query.sid) if query.sid else None
    except HandshakeError as error:
        await reject(scope, receive, send, error)
        return
    writer = await accept(hub, receive, send)
    if writer is None:
        return
    reader = Reader(hub, receive, writer)
    if old is None:
        try:
            session = await start(scope, writer)
        except TooManyConnections as error:
            await turn_away(writer, error)
            return
        session.open()
        await reader.run(session)
    elif await _upgrade(old, reader, writer):
        await reader.run(old)
    else:
        writer.close(POLICY_VIOLATION, "")
        await writer.closed()


def _upgradable(hub: Hub, sid: str) -> Session:
    """Return the session that a WebSocket may move, one at a time."""
    session = hub.connections.get(sid)
    if not isinstance(session, Session):
        raise HandshakeError(HandshakeError.UNKNOWN_SID)
    if session.polling is None or session.upgrading:
        raise HandshakeError(HandshakeError.BAD_REQUEST)
    return session


async def _upgrade(session: Session, reader: Reader, writer: Writer) -> bool:
    """
    Lead the probe, and move the session. If anything else happens it stays on polling.

    While the client moves, polls are answered at once, so that it can leave polling.
    """
    try:
        async with asyncio.timeout(session.hub.settings.UPGRADE_TIMEOUT):
            if await reader.receive() != PROBE or session.upgrading:
                return False
            session.set_upgrading(True)
            writer.write(Frames(PROBE_ANSWER))
            upgraded = await reader.receive() == engineio.PacketType.UPGRADE
    except (TimeoutError, TooLarge):
        upgraded = False
    if upgraded and not session.closed.is_set():
        session.move(writer)
        return True
    session.set_upgrading(False)
    return False
