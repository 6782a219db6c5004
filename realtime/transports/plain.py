"""
The plain WebSocket: one namespace, JSON frames, for clients without a Socket.IO library.

Specification: docs/reference/wire-formats.md, section "Plain WebSocket".
"""

from __future__ import annotations

from typing import Any

from ..conf import get_settings
from ..exceptions import (
    HandshakeError,
    InvalidPayload,
    ServerDraining,
)
from ..protocol import plain
from ..protocol.frames import Frames
from ..routing import has_namespace
from ..sockets.inbox import Event, Source
from ..sockets.messages import Format
from ..sockets.socket import Socket
from ..webservers.adapters import Receive
from ..webservers.detect import complete_scheme
from ..webservers.readers import Reader
from ..webservers.writers import GOING_AWAY, NORMAL, Send, close_text
from .interfaces import Hub
from .requests import check_origin, parse_params
from .watched import WatchedConnection
from .websocket import Complete, accept, reject

_CLOSE_CODES = {"server shutting down": GOING_AWAY, "parse error": plain.MALFORMED}

# WebSocket's own ping, which every library answers (RFC 6455, section 5.5.2).
PING = Frames("", wire=b"\x89\x00")


class PlainConnection(WatchedConnection):
    """A plain WebSocket, with its only socket."""

    __slots__ = ()

    format = Format.PLAIN

    @property
    def transport(self) -> str:
        return "plain"

    def ping(self) -> None:
        self.send(PING)

    def hear(self) -> None:
        if self.pinged:  # whatever comes then will do for a pong
            self.pong()

    def feed(self, frame: str | bytes) -> None:
        if self.pinged:
            self.pong()
        if isinstance(frame, bytes):
            raise InvalidPayload('a frame is text; bytes travel as {"$bytes": "<base64>"}')
        packet = plain.decode(frame)
        for socket in tuple(self.sockets.values()):
            if isinstance(packet, plain.EventFrame):
                socket.dispatcher.dispatch(Event(packet.event, packet.args, packet.id, frame))
            else:
                socket.acks.resolve(packet.id, packet.args)

    def parse_again(self, source: Source) -> Event:
        assert isinstance(source, str)
        packet = plain.decode(source)
        assert isinstance(packet, plain.EventFrame)
        return Event(packet.event, packet.args, packet.id, source)

    def send_connect(self, socket: Socket) -> None:
        self.send(Frames(plain.encode_connected(socket.sid, socket.pid)))

    def send_connect_error(self, namespace: str, message: str, data: Any) -> None:
        self._end(plain.REFUSED, message)

    def send_disconnect(self, namespace: str) -> None:
        self._end(NORMAL, "server namespace disconnect")

    def _end(self, code: int, reason: str) -> None:
        self.attempt(self.writer.close, code, close_text(reason))
        self.close("server namespace disconnect")

    def close_transport(self, reason: str, text: str) -> None:
        super().close_transport(reason, text)
        self.writer.close(_CLOSE_CODES.get(reason, NORMAL), text)


def find_namespace(path: str) -> str | None:
    """Return the namespace that a path below PLAIN_PATH means; None for any other path."""
    plain_path = get_settings().PLAIN_PATH
    if plain_path is None or not path.startswith(plain_path):
        return None
    return "/" + path.removeprefix(plain_path).strip("/")


async def serve(
    hub: Hub,
    namespace: str,
    scope: dict[str, Any],
    receive: Receive,
    send: Send,
    *,
    complete: Complete,
) -> Reader | None:
    """
    Serve a plain WebSocket; `complete` adds session and user to a scope.

    Returns what reads from it; None where it is over already.
    """
    complete_scheme(scope, send)
    try:
        check_origin(scope, hub.settings)
        if hub.draining:
            raise ServerDraining
    except HandshakeError as error:
        await reject(scope, receive, send, error)
        return None
    reader = await accept(hub, receive, send)
    if reader is None:
        return None
    if not has_namespace(namespace):
        await reader.reject(plain.NOT_FOUND, "Invalid namespace")
        return None
    try:
        connection = PlainConnection(hub, await complete(hub, scope), reader.writer)
    except HandshakeError as error:
        await reader.reject(error.close_code, error.message)
        return None
    if reader.sees_pongs:
        connection.watch()
    connection.attempt(hub.entrance.enter, connection, namespace, parse_params(scope), "")
    reader.start(connection)
    return reader
