"""
The plain WebSocket: one namespace, JSON frames, for clients without a Socket.IO library.

Specification: docs/reference/wire-formats.md, section "Plain WebSocket".
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from ..authority.decisions import LOG_IN
from ..cluster.sids import server_of
from ..conf import get_settings
from ..error_answers import connect_data
from ..exceptions import (
    ConnectionRefused,
    HandshakeError,
    InvalidPayload,
    ServerDraining,
    ServerUnavailable,
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
from ..webservers.writers import GOING_AWAY, NORMAL, Send, Writer, close_text
from .claims import Complete
from .interfaces import Hub
from .requests import check_origin, drop_params, parse_params
from .watched import WatchedConnection
from .websocket import accept, reject

# What is told by codes of connect errors that tell programs what to do.
_REFUSALS: dict[Any, int] = {
    LOG_IN: plain.UNAUTHENTICATED,
    ServerUnavailable.status: ServerUnavailable.close_code,
}

_CLOSE_CODES = {"server shutting down": GOING_AWAY, "parse error": plain.MALFORMED}

# WebSocket's own ping, which every library answers (RFC 6455, section 5.5.2).
PING = Frames("", wire=b"\x89\x00")

# The query parameters of a client that sends first what it comes back to, and what it shows to say
# who it is, so that no URL has that.
RECOVER, AUTHENTICATE = "recover", "authenticate"


class Awaited(NamedTuple):
    """
    A client that is not let in before its first frames: where, with what, for how long, and which
    of them are still to come.
    """

    namespace: str
    auth: dict[str, Any]
    timer: asyncio.TimerHandle
    missing: set[str]


class PlainConnection(WatchedConnection):
    """A plain WebSocket, with its only socket."""

    __slots__ = ("_awaited",)

    format = Format.PLAIN

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer) -> None:
        super().__init__(hub, scope, writer)
        self._awaited: Awaited | None = None

    @property
    def transport(self) -> str:
        return "plain"

    @property
    def entered(self) -> bool:
        return self._awaited is None

    def open(self, namespace: str, auth: dict[str, Any]) -> None:
        """Let the client in, now or once it has sent what its query has announced."""
        missing = {name for name in (RECOVER, AUTHENTICATE) if auth.get(name) == ""}
        if self.hub.recovery is None:
            missing.discard(RECOVER)
        if not missing:
            self.hub.entrance.enter(self, namespace, auth, "")
            return
        auth = {name: value for name, value in auth.items() if name not in missing}
        timer = self.hub.loop.call_later(self.hub.settings.CONNECT_TIMEOUT, self._give_up)
        self._awaited = Awaited(namespace, auth, timer, missing)

    def _give_up(self) -> None:
        assert self._awaited is not None
        self._end(plain.TIMEOUT, f'no "{min(self._awaited.missing)}" frame has come')

    def _take_first(self, name: str, values: dict[str, Any]) -> None:
        """Take what the query has announced, and let the client in once all of that is there."""
        awaited = self._awaited
        if awaited is None or name not in awaited.missing:
            raise InvalidPayload(
                f'"{name}" comes first and once, where the query has "{name}", too'
            )
        awaited.missing.discard(name)
        awaited.auth.update(values)
        if not awaited.missing:
            awaited.timer.cancel()
            self._awaited = None
            self.hub.entrance.enter(self, awaited.namespace, awaited.auth, "")

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
        if isinstance(packet, plain.RecoverFrame):
            if self.hub.recovery is not None:  # where nobody comes back all are new
                self._take_first(RECOVER, packet.session)
            return
        if isinstance(packet, plain.AuthenticateFrame):
            self._take_first(AUTHENTICATE, packet.auth)
            return
        if self._awaited is not None:
            first = min(self._awaited.missing)
            raise InvalidPayload(f'the first frame is "{first}", as the query says')
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
        code = data.get("code") if isinstance(data, dict) else None
        known = isinstance(code, int)
        self._end(_REFUSALS.get(code, plain.REFUSED) if known else plain.REFUSED, message)

    def send_disconnect(self, namespace: str, refusal: ConnectionRefused | None = None) -> None:
        if refusal is None:
            self._end(NORMAL, "server namespace disconnect")
        else:
            self.send_connect_error(namespace, refusal.message, connect_data(refusal))

    def _end(self, code: int, reason: str) -> None:
        self.attempt(self.writer.close, code, close_text(reason))
        self.close("server namespace disconnect")

    def close_transport(self, reason: str, text: str) -> None:
        super().close_transport(reason, text)
        if self._awaited is not None:
            self._awaited.timer.cancel()
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
    auth = _take_auth(hub, scope)
    try:
        check_origin(scope, hub.settings)
        if hub.draining:
            raise ServerDraining
    except HandshakeError as error:
        await reject(scope, receive, send, error)
        return None
    reader = await accept(hub, scope, receive, send)
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
    connection.attempt(connection.open, namespace, auth)
    reader.start(connection)
    return reader


def _take_auth(hub: Hub, scope: dict[str, Any]) -> dict[str, Any]:
    """Return the query's parameters; what a client comes back with is left to nobody else."""
    auth: dict[str, Any] = dict(parse_params(scope))
    if hub.recovery is not None and server_of(auth.get("pid", "")) is not None:
        drop_params(scope, ("pid", "offset"))
    return auth
