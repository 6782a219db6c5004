"""
The requests of HTTP long-polling: handshake, polls, POSTs and CORS preflights.

Specification: https://github.com/socketio/engine.io-protocol (section "HTTP long-polling"); the
answers to wrong requests are those of the reference server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from ..exceptions import (
    HandshakeError,
    ProtocolError,
    ServerDraining,
    TooLarge,
    UnexpectedPacket,
)
from ..protocol import engineio
from ..protocol.jsontext import dumps
from ..utils.headers import header
from ..webservers.corking import in_one_piece
from . import relay
from .bodies import Body, Disconnected
from .interfaces import Hub
from .requests import (
    check_origin,
    cors_headers,
    find_foreign_origin,
    parse_query,
    retry_after,
)
from .session import Session

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# After so many packets of a POST decoded in one go, others get their turn.
PACKETS_PER_SLICE = 1000

TEXT = b"text/plain; charset=UTF-8"


class Request:
    """
    One HTTP request to the Engine.IO path.

    Where it was `forwarded`, the server that it reached has looked at its host and its origin: what
    says how it came there is not known here.
    """

    def __init__(
        self,
        hub: Hub,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        *,
        forwarded: bool = False,
    ) -> None:
        self.hub = hub
        self.scope = scope
        self.receive = receive
        self._send = send
        self._forwarded = forwarded
        self._find_origin = find_foreign_origin if forwarded else check_origin
        self._cors: Headers = []
        self.body = Body(scope, receive)

    async def serve(self, start: Callable[[dict[str, Any]], Awaitable[Session]]) -> None:
        """Answer the request; `start` makes the session of a handshake from its scope."""
        try:
            await self._serve(start)
        except HandshakeError as error:
            await self._refuse(error)
        except TooLarge:
            await self._respond(413, TEXT, b"The payload is larger than maxPayload")
        except Disconnected:
            pass

    async def _serve(self, start: Callable[[dict[str, Any]], Awaitable[Session]]) -> None:
        settings = self.hub.settings
        self._cors = cors_headers(self._find_origin(self.scope, settings), settings)
        method = self.scope["method"]
        if method == "OPTIONS":
            await self._preflight()
            return
        query = parse_query(self.scope, settings)
        if query.sid and (server := await self._server_elsewhere(query.sid)) is not None:
            await self._forward(server, query.sid)
            return
        if query.sid:
            await self._continue(self._session(query.sid, query.transport), method)
            return
        if self.hub.draining:
            raise ServerDraining
        if method != "GET":
            raise HandshakeError(HandshakeError.BAD_METHOD)
        if query.transport != "polling":
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        session = await start(self.scope)
        session.open()
        await self._respond(200, TEXT, session.require_polling().build_payload().encode())

    async def _forward(self, server: str, sid: str) -> None:
        """Let the session's server answer; while this one stops, a poll had better go elsewhere."""
        if self.hub.closing and self.scope["method"] == "GET":
            await self._respond(200, TEXT, engineio.PacketType.NOOP.encode())
        else:
            await relay.forward(self, server, sid)

    async def _server_elsewhere(self, sid: str) -> str | None:
        """Return the other server whose session this is, or None; one alone leads it on."""
        await self.hub.arrivals.wait_for(sid)
        if self._forwarded or sid in self.hub.connections:
            return None
        return await relay.find_server(self.hub, sid)

    def _session(self, sid: str, transport: str) -> Session:
        session = self.hub.connections.get(sid)
        if not isinstance(session, Session):
            raise HandshakeError(HandshakeError.UNKNOWN_SID)
        if transport != "polling":
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        session.require_polling()
        session.prove()
        if session.course is not None and not self._forwarded:
            session.course.break_off()
        return session

    async def _continue(self, session: Session, method: str) -> None:
        if method == "GET":
            await self._poll(session)
        elif method == "POST":
            await self._post(session)
        else:
            raise HandshakeError(HandshakeError.BAD_REQUEST)

    # Polls

    async def _poll(self, session: Session) -> None:
        """Answer with what waits, or wait for it; a client that hangs up has left."""
        polling = session.require_polling()
        if polling.polled:
            session.close("transport error")
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        self.hub.keep_current_task()  # so that a shutdown waits for the answer
        payload = await polling.poll(self.body.until_gone)
        if payload is not None:
            session.end_if_told(polling)
            await self._respond(200, TEXT, payload.encode())
        elif session.polling is polling:
            session.close("transport close")

    # POSTs

    async def _post(self, session: Session) -> None:
        """Take a payload; a broken one ends the session."""
        if session.posting:
            session.close("transport error")
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        session.posting = True
        try:
            body = await self._read_for(session)
            if session.closed.happened:
                raise HandshakeError(HandshakeError.UNKNOWN_SID)
            await self._feed_inbox(session, body)
        finally:
            session.posting = False
        await self._respond(200, b"text/html", b"ok")

    async def _read_for(self, session: Session) -> bytes:
        """
        Return the body. Raises HandshakeError where the session ends, or moves to a WebSocket,
        first: a client may take for ever to send a body, and nobody waits for it then.
        """
        try:
            async with asyncio.timeout(None) as session.body_timeout:
                return await self.body.read(session.frame_limit)
        except TimeoutError:
            self.body.linger = 0  # it has had its time
            raise HandshakeError(HandshakeError.UNKNOWN_SID) from None
        finally:
            session.body_timeout = None

    async def _feed_inbox(self, session: Session, body: bytes) -> None:
        """Hand a payload to the session, and wait until it has been read."""
        try:
            frames = await self._decode(body)
        except ProtocolError as error:
            session.refuse_frame(error)
            raise HandshakeError(HandshakeError.BAD_REQUEST) from None
        inbox = session.require_inbox()
        inbox.put(frames)
        await inbox.wait_empty()

    async def _decode(self, body: bytes) -> list[str | bytes]:
        """Return a payload's frames. It may have very many: others get their turn meanwhile."""
        if (header(self.scope, b"content-type") or "").startswith("application/octet-stream"):
            raise UnexpectedPacket("Engine.IO v4 sends binary as base64 in a text")
        frames: list[str | bytes] = []
        for packet in engineio.decode_payload(body):
            frames.append(engineio.encode_packet(packet))
            if len(frames) % PACKETS_PER_SLICE == 0:
                await asyncio.sleep(0)
        return frames

    # Answers

    async def _preflight(self) -> None:
        wanted = header(self.scope, b"access-control-request-headers") or "content-type"
        allowed: Headers = [
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", wanted.encode("latin-1")),
            (b"access-control-max-age", b"600"),
        ]
        await self._respond(204, TEXT, b"", allowed if self._cors else [])

    async def _refuse(self, error: HandshakeError) -> None:
        body = dumps({"code": error.code, "message": error.message}).encode()
        extra = [] if error.retry_after is None else [retry_after(error.retry_after)]
        await self._respond(error.status, b"application/json", body, extra)

    async def _respond(
        self, status: int, content_type: bytes, body: bytes, extra: Headers | None = None
    ) -> None:
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            *self._cors,
            *(extra or ()),
        ]
        if self.body.unread:
            headers.append((b"connection", b"close"))
        await self.send_response(status, headers, body)

    async def send_response(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the request, and read for a while what its client still sends."""
        start = {"type": "http.response.start", "status": status, "headers": headers}
        unread = self.body.unread
        with in_one_piece(self._send) if status >= 400 else nullcontext():
            await self._send(start)
            await self._send({"type": "http.response.body", "body": body, "more_body": unread})
        if unread:
            await self.body.read_on()
            await self._send({"type": "http.response.body", "body": b""})

    async def send_unavailable(self) -> None:
        """Answer 503: this server is shutting down, and another one may take the client."""
        await self._refuse(ServerDraining())
