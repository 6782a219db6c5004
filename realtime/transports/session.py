"""
An Engine.IO session: heartbeat, Socket.IO packets, and the transport that it is on.

Specifications: https://github.com/socketio/engine.io-protocol (sections "Heartbeat", "Upgrade"),
https://github.com/socketio/socket.io-protocol (section "Exchange protocol").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..exceptions import (
    ConnectionRefused,
    HandshakeError,
    TooLarge,
    TooManyConnections,
    UnexpectedBinary,
    UnexpectedPacket,
)
from ..protocol import engineio, socketio
from ..protocol.decoding import Decoder
from ..protocol.frames import Frames
from ..sockets.inbox import Event, Source
from ..sockets.messages import Format, decode_packet, encode
from ..sockets.socket import Socket
from ..webservers.readers import MAX_FIRST
from ..webservers.writers import GOING_AWAY, NORMAL, PROTOCOL_ERROR, Writer
from .connection import count_key
from .courses import Course
from .heartbeats import NEVER
from .interfaces import Hub
from .polling import PollingInbox, PollingWriter
from .watched import WatchedConnection

PING = Frames(engineio.PacketType.PING)

_NOT_CONNECT = {
    f"{kind:d}": kind.name for kind in socketio.PacketType if kind is not socketio.CONNECT
}

_CLOSE_CODES = {"server shutting down": GOING_AWAY, "parse error": PROTOCOL_ERROR}


class Session(WatchedConnection):
    """
    One Engine.IO session.

    `proven` is set when the client has named its session, by its secret id: before, any page may
    have started it with a user's cookie, and it does not count for the user. `upgrading` is set
    from a WebSocket's probe until the client has moved to it, `posting` while a POST is taken in,
    `body_timeout` while its body is read. `inbox` has what POSTs brought, where it started on
    polling. `course` says where its requests come in, once that was another server.
    """

    __slots__ = (
        *("_deadline", "_decoder", "_had_sockets", "_heard", "_mark"),
        *("body_timeout", "course", "inbox", "posting", "proven", "upgrading"),
    )

    format = Format.SOCKETIO

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer, sid: str = "") -> None:
        self.proven = bool(sid) or not isinstance(writer, PollingWriter)
        super().__init__(hub, scope, writer, sid)
        settings = hub.settings
        self.upgrading = False
        self.posting = False
        self.course: Course | None = None
        self.body_timeout: asyncio.Timeout | None = None
        self.inbox = PollingInbox() if isinstance(writer, PollingWriter) else None
        self._had_sockets = False
        # Whether the client has sent anything since it was last looked at whether it answers.
        self._heard = False
        # How far the log of recovery was at the last ping; what comes with the pong is known then.
        self._mark = 0
        self._decoder = Decoder(
            max_attachments=settings.MAX_ATTACHMENTS, max_bytes=settings.INBOX_BYTES
        )
        # The slot in which the client has to have a socket.
        self._deadline = hub.timers.after(settings.CONNECT_TIMEOUT)
        self.watch()

    def _enter(self, user: str | None, address: str) -> Callable[[], None]:
        if self.proven:
            return super()._enter(user, address)
        if self.hub.recovery is None:
            return self.hub.limits.admit_unproven(user, address)
        return self.hub.limits.admit(None, address)

    def prove(self) -> None:
        """
        Count the session for its user from now on: a request has named it.

        Closes it, and raises TooManyConnections, where the user has as many as it may.
        """
        if self.proven:
            return
        self.proven = True
        try:
            self._leave = self._count_user(count_key(self.scope), self._leave)
        except TooManyConnections:
            self.close("forced server close")
            raise

    @property
    def transport(self) -> str:
        return "polling" if self.polling else "websocket"

    @property
    def polling(self) -> PollingWriter | None:
        """The polling transport while the session is on it."""
        return self.writer if isinstance(self.writer, PollingWriter) else None

    def require_polling(self) -> PollingWriter:
        """Return the polling transport. Raises HandshakeError where the session is not on it."""
        if (polling := self.polling) is None:
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        return polling

    def require_inbox(self) -> PollingInbox:
        """Return what POSTs fill. Raises HandshakeError where it started on a WebSocket."""
        if self.inbox is None:
            raise HandshakeError(HandshakeError.BAD_REQUEST)
        return self.inbox

    def open(self) -> None:
        """Send the OPEN packet, the first of all."""
        settings = self.hub.settings
        can_upgrade = self.polling and "websocket" in settings.TRANSPORTS
        packet = engineio.open_packet(
            self.sid,
            upgrades=["websocket"] if can_upgrade else [],
            ping_interval=settings.PING_INTERVAL,
            ping_timeout=settings.PING_TIMEOUT,
            max_payload=settings.MAX_PAYLOAD,
        )
        self.send(Frames(packet))

    def set_upgrading(self, upgrading: bool) -> None:
        """Note whether the client is on its way to a WebSocket: then no poll of it may wait."""
        self.upgrading = upgrading
        if self.polling is not None:
            self.polling.hurry(upgrading)

    def move(self, writer: Writer) -> None:
        """Complete an upgrade: what waits for the next poll goes out on the WebSocket."""
        polling = self.require_polling()
        self.upgrading = False
        self.writer = writer
        for frames in polling.release():
            writer.write(frames)
        polling.abort()
        self._close_inbox()
        for socket in self.sockets.values():
            if socket.observed:
                self.hub.observers.transport_changed(socket)
        self.end_if_told(polling)

    def hold(self) -> None:
        """Let its sockets' handlers have nothing new, for a move to another process or none."""
        self.require_inbox().hold(self.hub.settings.MAX_PAYLOAD)

    def release(self) -> None:
        """Go on, where it was held, as if nothing had been."""
        if not self.closed.happened:
            self.require_inbox().release()
            self.set_upgrading(False)

    def depart(self, polling: PollingWriter) -> tuple[list[Frames], list[str | bytes]]:
        """
        Be over here without a word: another process has the client from now on.

        Returns what waits for the client, and what of it was not handled, both in order.
        """
        waiting = polling.release()
        unread = [*self._decoder.unfinished(), *self.require_inbox().take()]
        self.retire()
        self.hub.timers.remove(self, self._slot)
        self._close_inbox()
        polling.abort()
        self._tell_skipped()
        return waiting, unread

    def arrive(self, *, entered: bool, last_ack_id: int, pinged: bool, seconds: float) -> None:
        """Go on as another process has begun."""
        self._had_sockets = entered
        self.last_ack_id = last_ack_id
        self.watch_on(pinged, seconds)

    def _close_inbox(self) -> None:
        if self.inbox is not None:
            self.inbox.close()
        if self.body_timeout is not None:
            self.body_timeout.reschedule(0)

    def wake(self) -> None:
        if self.polling is not None:
            self.polling.wake()

    # Heartbeat

    def _next_slot(self) -> int:
        return min(self._due, self._deadline)

    def _on_timer(self, slot: int) -> None:
        if slot >= self._deadline:
            self._deadline = NEVER
            if not self.sockets:
                self.close("forced server close")
                return
        super()._on_timer(slot)

    def ping(self) -> None:
        if (recovery := self.hub.recovery) is not None:
            replaying = not all(socket.connected for socket in self.sockets.values())
            self._mark = 0 if replaying else recovery.mark()
        self.send(PING)

    def pong(self) -> None:
        super().pong()
        if self._mark:
            for socket in self.sockets.values():
                if socket.trail is not None and socket.trail.since < self._mark:
                    socket.trail.confirm(self._mark)
            self._mark = 0

    def hear(self) -> None:
        self._heard = True

    def _await_pong(self) -> None:
        self._heard = False
        super()._await_pong()

    def _ping_timeout(self) -> None:
        """Close, unless there are signs of life: the answer may be behind what has come."""
        if self._heard:
            self._await_pong()
        else:
            super()._ping_timeout()

    # Packets

    @property
    def entered(self) -> bool:
        return self._had_sockets

    def feed(self, frame: str | bytes) -> None:
        self._heard = True
        if not self._had_sockets:
            _check_first(frame)
        if isinstance(frame, str) and frame[:1] != engineio.MESSAGE:
            self._feed_control(frame)
            return
        packet = self._decoder.add(frame, 1)
        if packet is None:
            return
        socket = self.sockets.get(packet.namespace)
        if socket is not None and packet.type is socketio.EVENT:
            name, *args = packet.data
            source = frame if isinstance(frame, str) else self._decoder.completed
            socket.dispatcher.dispatch(Event(name, args, packet.id, source))
        else:
            self._feed_other(packet, socket)

    def parse_again(self, source: Source) -> Event:
        text, attachments = (source, ()) if isinstance(source, str) else source
        packet = decode_packet(text, attachments)
        name, *args = packet.data
        return Event(name, args, packet.id, source)

    def _feed_control(self, frame: str) -> None:
        kind = engineio.decode_packet(frame).type
        if kind is engineio.PacketType.PONG:
            self.pong()
        elif kind is engineio.PacketType.CLOSE:
            if self.polling:
                self.polling.abort()
            self.close("transport close")
        elif kind is not engineio.PacketType.NOOP:
            raise UnexpectedPacket(f"a client does not send {kind.name} here")

    def _feed_other(self, packet: socketio.Packet, socket: Socket | None) -> None:
        """Take a packet that is not an event for one of the sockets."""
        kind = packet.type
        if kind is socketio.CONNECT:
            self._connect(packet)
        elif socket is None:
            pass  # it crossed with a disconnect
        elif kind is socketio.ACK:
            assert packet.id is not None
            socket.acks.resolve(packet.id, packet.data)
        elif kind is socketio.DISCONNECT:
            socket.disconnect("client namespace disconnect")
        else:
            raise UnexpectedPacket("a client does not send CONNECT_ERROR")

    def _connect(self, packet: socketio.Packet) -> None:
        """
        Open a socket. One that the namespace has already is left, without a word to the client: it
        has given that up before it was told that it was connected, and waits for this one.
        """
        if (older := self.sockets.get(packet.namespace)) is not None:
            older.disconnect("client namespace disconnect")
        if not self.may_ask():
            self.hub.counters.limited += 1
            self.reject(packet.namespace, "Too many connects")
        elif self.hub.entrance.enter(self, packet.namespace, packet.data or {}, packet.query):
            self._had_sockets = True

    def send_connect(self, socket: Socket) -> None:
        self._mark = 0  # the answer to a ping says nothing of what goes out behind that
        told = {"sid": socket.sid, "pid": socket.pid} if socket.pid else {"sid": socket.sid}
        self._send_packet(socketio.CONNECT, socket.namespace, told)

    def send_connect_error(self, namespace: str, message: str, data: Any) -> None:
        error = {"message": message} if data is None else {"message": message, "data": data}
        self._send_packet(socketio.CONNECT_ERROR, namespace, error)

    def send_disconnect(self, namespace: str, refusal: ConnectionRefused | None = None) -> None:
        self._send_packet(socketio.DISCONNECT, namespace, None)

    def _send_packet(self, kind: socketio.PacketType, namespace: str, data: Any) -> None:
        self.send(encode(kind, namespace, data))

    # The end

    @property
    def at_work(self) -> bool:
        """Whether the client is owed something: also what waits for its next poll."""
        return self._handles or self._is_unpolled

    @property
    def _is_unpolled(self) -> bool:
        return not self.closed.happened and self.polling is not None and self.polling.buffered > 0

    async def wait_done(self) -> None:
        while self.at_work:
            await super().wait_done()
            if self.polling is not None:
                await self.polling.wait_polled()

    def _end_told(self) -> None:
        polling = self.polling
        if polling is not None and polling.buffered and not polling.polled:
            polling.ending = True  # what tells the client waits for its next poll
        else:
            super()._end_told()

    def end_if_told(self, polling: PollingWriter) -> None:
        """Close what was only to last until the client has taken what tells it that it ends."""
        if polling.ending and not polling.buffered:
            self.close("forced server close")

    def close_transport(self, reason: str, text: str) -> None:
        super().close_transport(reason, text)
        self._close_inbox()
        self.writer.close(_CLOSE_CODES.get(reason, NORMAL), text)


def _check_first(frame: str | bytes) -> None:
    """Refuse, unparsed, what a client may not send before its first CONNECT."""
    if isinstance(frame, bytes):
        raise UnexpectedBinary("an attachment before CONNECT")
    if frame[:1] == engineio.MESSAGE and frame[1:2] in _NOT_CONNECT:
        raise UnexpectedPacket(f"{_NOT_CONNECT[frame[1:2]]} before CONNECT")
    if len(frame) > MAX_FIRST:
        raise TooLarge(f"a frame of {len(frame)} characters, at most {MAX_FIRST} before CONNECT")
