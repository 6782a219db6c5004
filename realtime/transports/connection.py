"""
A connection: one Engine.IO session or one plain WebSocket, which carries a socket for each
namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from ..exceptions import ConnectionRefused, ProtocolError, ServerDraining, TooManyConnections
from ..identity.logins import user_key
from ..logs import Lines, is_logged
from ..sockets.messages import Format
from ..sockets.socket import Socket
from ..utils.limits import Bucket
from ..webservers.interning import share
from ..webservers.writers import Writer, close_text
from .intake import Intake
from .interfaces import Hub


class Connection(Intake):
    """
    What Engine.IO sessions and plain WebSockets share: their sockets, what clients are told, and
    the end.

    `sid` is its secret id, a new one unless it comes from another hub. Raises ServerDraining where
    the hub takes no more clients, TooManyConnections where the user or the address has as many as
    it may.
    """

    __slots__ = (
        "_connects",
        "_leave",
        "_lines",
        "_returning",
        "_users",
        "last_ack_id",
        "scope",
        "sid",
        "sockets",
    )

    format: Format

    def __init__(self, hub: Hub, scope: dict[str, Any], writer: Writer, sid: str = "") -> None:
        super().__init__(hub, writer)
        if hub.draining and not sid:  # which may have begun while the client was looked up
            raise ServerDraining

        # Who it is: the hub's name for it, and the client's first request.
        self.sid = sid or hub.new_sid()
        self.scope = scope

        # What takes it back from the hub's limits; and, while it is one more than its user may
        # have, from those that may take another one's place.
        self._returning: Callable[[], None] | None = None
        self._leave = self._enter(count_key(scope), address_of(scope))
        # What takes it back for the users that its sockets have of their own, by their keys.
        self._users: dict[str, Callable[[], None]] | None = None
        share(scope)

        # How often it may still ask for a namespace, or who it is.
        self._connects: Bucket | None = None

        # Its sockets, by namespace, and the last acknowledgement that any socket asked for that it
        # has no more: a late one must not be taken for an answer to the next socket there.
        self.sockets: dict[str, Socket] = {}
        self.last_ack_id = -1

        # What the log tells of this client, once there is anything.
        self._lines: Lines | None = None

        hub.connections[self.sid] = self

    def _enter(self, user: str | None, address: str) -> Callable[[], None]:
        """Count the connection; return what takes it back. Raises TooManyConnections."""
        if self.hub.recovery is None:
            return self.hub.limits.admit(user, address)
        leave = self.hub.limits.admit(None, address)
        try:
            return self._count_user(user, leave)
        except TooManyConnections:
            leave()
            raise

    def _count_user(self, user: str | None, leave: Callable[[], None]) -> Callable[[], None]:
        """
        Count the connection for its user; return what takes that back, and does `leave`.

        Where clients come back it may be one more than the user may have, until `take_place`: one
        of those may be gone, and nobody has noticed. Raises TooManyConnections.
        """
        limits = self.hub.limits
        if user is None or not limits.bounds_users:
            return leave
        try:
            leave_user = limits.admit(user, "")
        except TooManyConnections:
            if self.hub.recovery is None:
                raise
            self._returning = limits.admit_returning(user)
            leave_user = self._end_returning
        return _both(leave_user, leave)

    def _end_returning(self) -> None:
        if self._returning is not None:
            self._returning()
            self._returning = None

    def take_place(self) -> None:
        """
        Count for the user now, where there was no place: the client has said what it comes back to,
        and the connection that had that is closed. Where there is none still, this one ends.
        """
        if self._returning is None:
            return
        self._end_returning()
        try:
            leave_user = self.hub.limits.admit(count_key(self.scope), "")
        except TooManyConnections as error:
            self.log(
                logging.INFO,
                "refused",
                connection=self.sid[:12],
                transport=self.transport,
                message=error,
            )
            self.close("forced server close", str(error))
            return
        self._leave = _both(leave_user, self._leave)

    def count_login(self, user: Any) -> None:
        """
        Count the connection for the user of one of its sockets, too, until it ends. Raises
        TooManyConnections where that user has as many as it may.
        """
        key = user_key(user)
        if key is None or not self.hub.limits.bounds_users or str(key) == count_key(self.scope):
            return
        if self._users is None:
            self._users = {}
        if str(key) not in self._users:
            self._users[str(key)] = self.hub.limits.admit(str(key), "")

    def may_ask(self) -> bool:
        """Count that the client asks for a namespace, or who it is; tell whether it may."""
        now = self.hub.loop.time()
        if self._connects is None:
            self._connects = Bucket(self.hub.connect_rate, now)
        return self._connects.consume(now)

    @property
    def connected(self) -> bool:
        """Whether at least one namespace has accepted the client."""
        return any(socket.connected for socket in self.sockets.values())

    @property
    @abstractmethod
    def watched(self) -> bool:
        """Whether there is a heartbeat: a client that is gone is missed in time."""

    # Faults

    def refuse_frame(self, error: ProtocolError) -> None:
        """Close on a frame that breaks the protocol."""
        self.log(
            logging.WARNING,
            "parse-error",
            connection=self.sid[:12],
            transport=self.transport,
            error=type(error).__name__,
            message=error,
        )
        self.close("parse error", str(error))

    def fail(self) -> None:
        """Log the exception that is handled, a fault of our own or the server's, and close."""
        self._log_error()
        self.close("transport error")

    def _log_error(self) -> None:
        self.log(logging.ERROR, "error", connection=self.sid[:12], exc_info=True)

    def attempt(self, step: Callable[..., object], *args: Any) -> None:
        """Call what is part of the connection's life: where that raises, the connection ends."""
        try:
            step(*args)
        except Exception:
            self.fail()

    # What the client is told

    def wake(self) -> None:
        """Let the poll that waits answer, with whatever there is. Only polling has one."""

    @abstractmethod
    def send_connect(self, socket: Socket) -> None:
        """Tell the client that it is connected to the socket's namespace (CONNECT)."""

    @abstractmethod
    def send_connect_error(self, namespace: str, message: str, data: Any) -> None:
        """Tell the client why it is not connected to a namespace (CONNECT_ERROR)."""

    def reject(self, namespace: str, message: str) -> None:
        """Refuse the client a namespace, for which it gets no socket, and log that."""
        self.log(
            logging.INFO,
            "refused",
            namespace=namespace,
            connection=self.sid[:12],
            transport=self.transport,
            message=message,
        )
        self.send_connect_error(namespace, message, None)

    def log(
        self,
        level: int,
        what: str,
        *,
        exc_info: bool | BaseException | None = False,
        **fields: Any,
    ) -> bool:
        """Log something that this client may cause again and again; tell whether that was done."""
        if not is_logged(level):
            return False
        if self._lines is None:
            self._lines = Lines()
        if self._lines.log(level, what, exc_info=exc_info, **fields):
            return True
        self.hub.counters.unlogged += 1
        return False

    @abstractmethod
    def send_disconnect(self, namespace: str, refusal: ConnectionRefused | None = None) -> None:
        """
        Tell the client that the server disconnects it from a namespace (DISCONNECT); where there is
        room for that, why it may not be there any more.
        """

    # The end

    @property
    def at_work(self) -> bool:
        """Whether the client is owed something: a handler is at work for it."""
        return self._handles

    @property
    def _handles(self) -> bool:
        return any(socket.dispatcher.at_work for socket in self.sockets.values())

    async def wait_done(self) -> None:
        """Wait until the client is owed nothing, however long that takes, or is gone."""
        while self._handles:
            for socket in tuple(self.sockets.values()):
                await socket.dispatcher.wait_done()

    def note_ending(self, ending: asyncio.Task[None]) -> None:
        """Learn of the task in which a socket's last hook runs. Only a test's client keeps it."""

    def close(self, reason: str, detail: str = "") -> None:
        """
        End the connection for one of Socket.IO's reasons: its sockets are disconnected.

        `detail` is what a WebSocket's close frame says beyond that. What raises on the way is
        logged, and keeps nothing of the rest from happening.
        """
        if self.closed.happened:
            return
        self.retire()
        if not self._contain(self.close_transport, reason, close_text(detail or reason)):
            with contextlib.suppress(Exception):  # it is worth no second word
                self.writer.abort()
        for socket in list(self.sockets.values()):
            self._contain(socket.disconnect, reason)
        self._tell_skipped()

    def _tell_skipped(self) -> None:
        if self._lines is not None:
            self._lines.tell_skipped(connection=self.sid[:12], transport=self.transport)

    def retire(self) -> None:
        """Take and send nothing more, and be none of the hub's connections."""
        self.closed.set()
        self.stop_reading()
        self.hub.connections.pop(self.sid, None)
        self._contain(self._leave)
        for leave in (self._users or {}).values():
            self._contain(leave)

    def _contain(self, step: Callable[..., object], *args: Any) -> bool:
        """Call one step of the end; log what it raises, and tell whether that was nothing."""
        try:
            step(*args)
        except Exception:
            self._log_error()
            return False
        return True

    def disconnect(self) -> None:
        """
        End the connection by the server's will: the client is told so in each namespace, and does
        not come back by itself.
        """
        for socket in list(self.sockets.values()):
            self.attempt(socket.close)
        self._end_told()

    def _end_told(self) -> None:
        """Close, now that the client has been told why."""
        self.close("forced server close")

    @abstractmethod
    def close_transport(self, reason: str, text: str) -> None:
        """Release what the transport holds, and tell the client if it can be told."""


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    """Return what does both."""

    def leave() -> None:
        first()
        second()

    return leave


def count_key(scope: dict[str, Any]) -> str | None:
    """Return the primary key of the client's user, whoever found that, or None."""
    key = user_key(scope["user"])
    return None if key is None else str(key)


def address_of(scope: dict[str, Any]) -> str:
    """Return the client's address, as the server knows it, or an empty text."""
    client = scope.get("client")
    return str(client[0] or "") if client else ""
