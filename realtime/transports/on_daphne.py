"""
What is particular to daphne: its frames are written to Twisted's transport, and read from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from .direct import DirectReader
from .lighten import Diet, lighten
from .readers import Receive
from .writers import Spawn, TransportWriter, Writer

if TYPE_CHECKING:
    from ..hub import Hub


class DaphneWriter(TransportWriter):
    """
    Writes to the Twisted transport under daphne's Autobahn protocol.

    Twisted would first have the event loop tell it that the socket can be written to, and then
    that it need not be told any more: three system calls in the place of one.
    """

    __slots__ = ("_paused", "protocol", "transport")

    def __init__(self, send: Any, spawn: Spawn) -> None:
        super().__init__()
        self.protocol = send.args[0]
        self.transport = self.protocol.transport
        self._paused = False

    @staticmethod
    def fits(send: Any) -> bool:
        """Tell whether `send` is daphne's, over a plain Twisted TCP or UNIX transport."""
        if not isinstance(send, partial) or not send.args:
            return False
        protocol = send.args[0]
        transport = getattr(protocol, "transport", None)
        shape = (
            *("dataBuffer", "offset", "_tempDataLen", "write", "writeSomeData"),
            *("abortConnection", "connected", "disconnecting"),
            *("pauseProducing", "resumeProducing", "fileno"),
        )
        return (
            type(protocol).__module__ == "daphne.ws_protocol"
            and all(hasattr(transport, name) for name in shape)
            # Not TLS, which has the attributes of what is below it.
            and hasattr(type(transport), "writeSomeData")
        )

    def _descriptor(self) -> int:
        return int(self.transport.fileno())

    def _unsent(self) -> int:
        transport = self.transport
        if not transport.connected:  # a lost connection keeps what it could not send
            return 0
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # type: ignore[no-any-return]

    def _put(self, parts: list[bytes]) -> None:
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        protocol, transport = self.protocol, self.transport
        if protocol.state != protocol.STATE_OPEN:
            return
        if transport.connected and not transport.disconnecting and not self._unsent():
            sent = transport.writeSomeData(data)
            if isinstance(sent, int):  # else an error, which Twisted is left to find again
                data = data[sent:]
        if data:
            transport.write(data)

    def close(self, code: int, reason: str) -> None:
        self.flush()
        if self.protocol.state == self.protocol.STATE_OPEN:
            # Not sendClose(), which refuses the codes that RFC 6455 has for servers.
            self.protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode())
        else:
            self._cut_unless_sent()

    def abort(self) -> None:
        self._forget()
        self.transport.abortConnection()

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if self.transport.connected and not self.transport.disconnecting:
                self.transport.resumeProducing()


def find_scheme(send: Any) -> str:
    """Return the scheme of the WebSocket that daphne's `send` is for; its scope has none."""
    protocol: Any = send.args[0] if isinstance(send, partial) and send.args else None
    if type(protocol).__module__ != "daphne.ws_protocol":
        return "ws"
    from twisted.internet.interfaces import ISSLTransport  # noqa: PLC0415 - daphne has it

    # What the proxy said, where daphne is told to believe it.
    told = getattr(protocol, "client_scheme", None)
    secure = told in ("https", "wss") if told else ISSLTransport.providedBy(protocol.transport)
    return "wss" if secure else "ws"


def _make_future(protocol: Any) -> Any:
    from twisted.internet.defer import Deferred  # noqa: PLC0415 - daphne has imported them

    return Deferred()


def _make_statistics(protocol: Any) -> Any:
    from autobahn.websocket.protocol import TrafficStats  # noqa: PLC0415

    return TrafficStats()  # type: ignore[no-untyped-call]


def _make_validator(protocol: Any) -> Any:
    from autobahn.websocket.utf8validator import Utf8Validator  # noqa: PLC0415

    return Utf8Validator()  # type: ignore[no-untyped-call]


# What daphne and Autobahn keep of the handshake is most of what they keep of a connection.
DIET = Diet(
    packages=(("daphne", (4, 2)), ("autobahn", (26, 10)), ("twisted", (26, 10))),
    shared=frozenset(("factory", "server", "versions", "allowedOrigins", "allowedOriginsPatterns")),
    needless=(
        *("http_request_data", "http_status_line", "http_headers", "http_request_uri"),
        *("http_request_path", "http_request_params", "http_request_host", "http_response_data"),
        *("websocket_protocols", "websocket_extensions", "perMessageCompressionAccept", "_wskey"),
        *("_raw_query_string", "clean_headers", "server_addr", "application_deferred", "is_open"),
        *("_transport_details", "_valid_events", "_results"),
    ),
    made={
        "application_queue": lambda protocol: asyncio.Queue(),
        "is_closed": _make_future,
        "request": lambda protocol: SimpleNamespace(path=protocol.path.decode("ascii")),
        "send_queue": lambda protocol: deque(),
        "trafficStats": _make_statistics,
        "utf8validator": _make_validator,
        "websocket_extensions_in_use": lambda protocol: [],
    },
)


class DaphneReader(DirectReader):
    """Stands between Twisted's transport and daphne's protocol."""

    __slots__ = ("_transport",)

    queue_name = "application_queue"

    @staticmethod
    def fits(writer: Writer) -> bool:
        """Tell whether it is daphne's protocol of the known shape that the transport has."""
        return (
            isinstance(writer, DaphneWriter)
            and getattr(writer.transport, "protocol", None) is writer.protocol
            and hasattr(writer.protocol, "dataReceived")
        )

    def __init__(self, hub: Hub, receive: Any, writer: Any) -> None:
        self._transport = writer.transport
        super().__init__(hub, receive, writer, direct=_is_fresh(receive, writer.protocol))

    def _replace_server(self) -> None:
        self._transport.protocol = self

    def _receive_from_server(self) -> Receive:
        return self._server.application_queue.get  # type: ignore[no-any-return]

    def _quieten_server(self) -> None:
        protocol = self._server
        protocol.last_ping = inf  # too long ago never comes, until a message comes through ASGI
        if getattr(protocol, "autoPingTimeoutCall", None):  # the answer is not seen any more
            protocol._cancelAutoPingTimeoutCall()

    def _lighten_server(self) -> None:
        protocol, transport = self._server, self._transport
        if protocol._perMessageCompress is None:
            lighten(protocol, DIET)
        if transport.producer is not protocol:
            transport.unregisterProducer()  # the HTTP channel, with the request

    def _mute_server(self) -> None:
        protocol = self._server
        protocol.muted = True
        queue = protocol.application_queue
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait({"type": "websocket.disconnect", "code": 1005})

    def _is_closing(self) -> bool:
        # Autobahn would keep all that comes once it has cut the connection.
        transport, protocol = self._transport, self._server
        return (
            not transport.connected
            or transport.disconnecting
            or protocol.state == protocol.STATE_CLOSED
        )

    def _give(self, data: bytes) -> None:
        self._server.dataReceived(data)

    def _end_with_server(self, error: Any) -> None:
        self._server.connectionLost(error)

    def _pause(self) -> None:
        self.writer.pause_reading()

    def _resume(self) -> None:
        self.writer.resume_reading()

    # What Twisted calls them
    dataReceived = DirectReader.data_received  # noqa: N815
    connectionLost = DirectReader.connection_lost  # noqa: N815


def _is_fresh(receive: Any, protocol: Any) -> bool:
    """Tell whether nothing has come to the protocol, nor from it to the application."""
    queue = getattr(receive, "__self__", None)
    return (
        isinstance(queue, asyncio.Queue)
        and queue.empty()
        and getattr(protocol, "data", None) == b""
    )
