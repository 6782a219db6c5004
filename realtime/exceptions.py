"""
Every error of this package, in one tree::

    RealtimeError
    ├── ClientError             a client is told: message, data and code
    │   ├── ConnectionRefused   a consumer's connect() turns a client away
    │   │   └── AuthenticationFailed    what a client shows to say who it is is wrong
    │   └── EventError          a handler answers an event with an error
    │       ├── InvalidArguments    the client's arguments do not fit the handler
    │       ├── InvalidName         a name that no room can have
    │       ├── NoSession           the client's session is to be saved, and is over
    │       ├── OnceError           an event with a key is not handled, or has no answer to tell
    │       ├── RateLimited         the client sends more of these events than it may
    │       ├── ServerError         a handler failed; the client is told no more than that
    │       └── UnknownNamespace    no route leads to that namespace
    ├── InvalidConsumer         a consumer's class cannot work as it is written
    ├── ClientDisconnected      the client went away before it acknowledged
    ├── AckTimeout              the client did not acknowledge in time
    ├── Unavailable             what a call needs is not there
    │   ├── NotRunning          no Realtime server is within reach
    │   ├── LayerUnavailable    the channel layer did not take a message in time
    │   ├── ServerGone          another server was asked, and does not answer
    │   ├── PresenceDisabled    who is connected was asked for, but presence is off
    │   └── PresenceUnavailable who is connected was asked for, but the database does not answer
    ├── WouldDeadlock           a blocking call was made on the event loop's own thread
    ├── HandshakeError          an Engine.IO request is refused (codes 0 to 5)
    │   ├── TooManyConnections  a user or an address has as many connections as it may
    │   ├── ServerUnavailable   a client's session cannot be looked up
    │   └── ServerDraining      this server takes no more clients
    └── ProtocolError           the other side broke the protocol
        ├── EmptyPacket         ├── UnknownPacketType    ├── UnexpectedPacket
        ├── InvalidText         ├── InvalidBase64        ├── InvalidJSON
        ├── InvalidPayload      ├── InvalidEventName     ├── InvalidNamespace
        ├── InvalidAckId        ├── InvalidAttachments   ├── InvalidPlaceholder
        ├── MissingBinary       ├── UnexpectedBinary     └── TooLarge
"""

from __future__ import annotations

from typing import Any, ClassVar


class RealtimeError(Exception):
    """The root of every error that this package raises on its own."""


class ClientError(RealtimeError):
    """
    An error that a client is told.

    `message` is a sentence for people, `data` anything that can be sent, and `code` a word (or a
    number) for programs, the class's `default_code` unless given.
    """

    default_message: ClassVar[str] = ""
    default_code: ClassVar[str | int | None] = None

    def __init__(
        self, message: str | None = None, data: Any = None, *, code: str | int | None = None
    ) -> None:
        self.message = self.default_message if message is None else message
        self.data = data
        self.code = self.default_code if code is None else code
        super().__init__(self.message)


class ConnectionRefused(ClientError):
    """
    Raised by a consumer's ``connect()`` to turn a client away.

    The client gets CONNECT_ERROR with ``message``, and with ``data`` where there is any; ``code``
    travels in it, as ``{"code": code}``.
    """

    default_message = "Connection refused"


class AuthenticationFailed(ConnectionRefused):
    """
    Raised by an authenticator: what the client shows is its kind, and wrong, or good no more.

    The client is refused, and nobody else is asked about it.
    """

    default_message = "authentication failed"
    default_code = 401


class EventError(ClientError):
    """
    Raised by a handler: the client's acknowledgement is ``{"error": {code, message, data}}``,
    unless ``REALTIME["ERROR_ACK"]`` gives it another shape.

    Raised by ``connect()`` it is the same as ConnectionRefused.
    """

    default_code = "error"


class InvalidArguments(EventError):
    """The arguments that a client sent do not fit the handler's signature."""

    default_code = "invalid_arguments"


class InvalidName(EventError, ValueError, TypeError):
    """
    A name that no room can have, or no text.

    Handlers get such names from their clients, who are answered with this; so it is an EventError.
    """

    default_code = "invalid_name"


class RateLimited(EventError):
    """A client sends more of these events than ``rate_limits`` or ``RATE_LIMITS`` allow."""

    default_code = "rate_limited"


class ServerError(EventError):
    """A handler raised something else. Clients are told no more than that."""

    default_message = "server error"
    default_code = "server_error"


class NoSession(EventError):
    """
    The client's session is to be saved, and is over, or the client never had one.

    It is an EventError for handlers whose client has logged out meanwhile.
    """

    default_message = "the session is over"
    default_code = "no_session"


class OnceError(EventError):
    """
    An event of a handler with ``once`` is not handled, or was, and its answer is not there to tell.

    ``code`` says why: "unavailable", "still_running", "interrupted", "key_reused", "too_many_keys"
    or "answer_lost".
    """

    default_message = "try again later"
    default_code = "unavailable"


class InvalidConsumer(RealtimeError, TypeError, ValueError):
    """
    A consumer's class, or what ``as_asgi()`` is given for it, cannot work as it is written.

    ``message`` says what is wrong, ``hint`` what to write instead.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


class ClientDisconnected(RealtimeError):
    """The client went away while its acknowledgement was awaited."""


class AckTimeout(RealtimeError, TimeoutError):
    """The client did not acknowledge within the time given."""


class UnknownNamespace(EventError, LookupError):
    """
    No route in ``REALTIME["NAMESPACES"]`` leads to the namespace.

    It is an EventError for handlers that get the name from a client.
    """

    default_code = "unknown_namespace"


class Unavailable(RealtimeError, RuntimeError):
    """What a call needs is not there; nothing is wrong with the call itself."""


class NotRunning(Unavailable):
    """This process serves no clients, and reaches no process that does."""


class PresenceDisabled(Unavailable):
    """Who is connected was asked for, and ``REALTIME["PRESENCE"]`` is False."""


class PresenceUnavailable(Unavailable):
    """Who is connected was asked for, and the database does not answer."""


class LayerUnavailable(Unavailable):
    """
    The channel layer did not take a message in time.

    It was not sent, unless only the layer's answer was lost. Nothing is kept for later.
    """


class ServerGone(Unavailable):
    """Another Realtime server was asked, and left or does not answer."""


class WouldDeadlock(RealtimeError, RuntimeError):
    """A blocking call on the event loop's own thread, which would wait for itself."""


class HandshakeError(RealtimeError):
    """
    An Engine.IO request that is refused, with the codes of the reference server.

    ``code`` is 0 to 5, ``status`` the HTTP status, ``message`` what the client is told;
    ``close_code`` ends a WebSocket that is open already. It may try again after ``retry_after``
    seconds, where that is not None.
    """

    close_code = 1008
    status = 400
    retry_after: int | None = None

    MESSAGES = {
        0: "Transport unknown",
        1: "Session ID unknown",
        2: "Bad handshake method",
        3: "Bad request",
        4: "Forbidden",
        5: "Unsupported protocol version",
    }
    UNKNOWN_TRANSPORT, UNKNOWN_SID, BAD_METHOD, BAD_REQUEST, FORBIDDEN, UNSUPPORTED_VERSION = range(
        6
    )

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        self.message = message or self.MESSAGES[code]
        if code == self.FORBIDDEN:
            self.status = 403
        super().__init__(self.message)


class TooManyConnections(HandshakeError):
    """A user or an address has as many connections as the settings allow (code 4, forbidden)."""

    def __init__(self, message: str) -> None:
        super().__init__(self.FORBIDDEN, message)


class ServerUnavailable(HandshakeError):
    """
    A client whose session cannot be looked up now, since the database or a backend fails.

    It may try again after ``retry_after`` seconds.
    """

    close_code = 1013
    status = 503
    retry_after = 5

    def __init__(self) -> None:
        super().__init__(self.BAD_REQUEST, "try again later")


class ServerDraining(HandshakeError):
    """A client that comes to a server which takes no more; another one may take it."""

    close_code = 1012
    status = 503
    retry_after = 1

    def __init__(self) -> None:
        super().__init__(self.BAD_REQUEST, "this server takes no more clients")


class ProtocolError(RealtimeError, ValueError):
    """The other side sent what the protocol does not allow."""


class EmptyPacket(ProtocolError):
    """A packet without a type."""


class UnknownPacketType(ProtocolError):
    """A packet whose type the protocol does not know."""


class UnexpectedPacket(ProtocolError):
    """A known packet that the other side must not send, or not now."""


class InvalidText(ProtocolError):
    """A text that is not UTF-8."""


class InvalidBase64(ProtocolError):
    """Bytes in a text that are not base64."""


class InvalidJSON(ProtocolError):
    """A payload that is not JSON, or is nested too deeply."""


class InvalidPayload(ProtocolError):
    """A payload that is JSON, but not of the packet's shape."""


class InvalidEventName(ProtocolError, InvalidName):
    """An event without a name, or with a reserved one."""


class InvalidNamespace(ProtocolError):
    """A namespace that does not start with a slash."""


class InvalidAckId(ProtocolError):
    """An acknowledgement id that is missing, or is no safe integer."""


class InvalidAttachments(ProtocolError):
    """A binary packet whose count of attachments is missing or too high."""


class InvalidPlaceholder(ProtocolError):
    """A placeholder for an attachment that the packet does not have."""


class MissingBinary(ProtocolError):
    """A text packet while attachments of the last packet were due."""


class UnexpectedBinary(ProtocolError):
    """An attachment that no packet announced."""


class TooLarge(ProtocolError):
    """A message over the size that the server accepts."""
