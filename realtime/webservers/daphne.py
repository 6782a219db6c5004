"""
What is particular to daphne: its frames are written to Twisted's transport, and read from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cache, cached_property, partial
from math import inf
from types import SimpleNamespace
from typing import Any

from .adapters import Adapter, Package, Receive, Spawn, TakesBytes
from .direct import DirectReader
from .slimming import named_as_base, slim


class DaphneReader(DirectReader):
    """Stands between Twisted's transport and daphne's protocol."""

    __slots__ = ()

    # What Twisted calls them
    dataReceived = DirectReader.data_received  # noqa: N815
    connectionLost = DirectReader.connection_lost  # noqa: N815

    def resumeProducing(self) -> None:  # noqa: N802
        """Take note that the transport has sent everything, and ask no more for that."""
        if not self.adapter.unsent():
            self.adapter.transport.unregisterProducer()
            self.writer.tell_drained()

    def stopProducing(self) -> None:  # noqa: N802
        """Do nothing: that the connection is lost is told as well."""


class DaphneAdapter(Adapter):
    """
    daphne, over a plain TCP or UNIX transport of Twisted's; its TLS is left to ASGI.

    Twisted would first have the event loop tell it that the socket can be written to, and then
    that it need not be told any more: three system calls in the place of one.
    """

    __slots__ = ("_slowed",)

    server = "daphne"
    reader = DaphneReader
    packages = (
        Package("daphne", (4, 2), (4, 2)),
        Package("autobahn", (24, 4), (26, 10)),
        Package("twisted", (24, 11), (26, 10)),
    )
    names = {
        "protocol": (
            *("transport", "state", "STATE_OPEN", "STATE_CLOSED", "data", "application_queue"),
            *("dataReceived", "connectionLost", "sendCloseFrame", "last_ping", "muted"),
            *("autoPingTimeoutCall", "_cancelAutoPingTimeoutCall", "_perMessageCompress", "path"),
        ),
        "protocol.application_queue": ("get", "get_nowait", "put_nowait", "empty"),
        "transport": (
            *("protocol", "connected", "disconnecting", "abortConnection"),
            *("dataBuffer", "offset", "_tempDataLen", "write", "writeSomeData"),
            *("producer", "registerProducer", "unregisterProducer"),
            *("pauseProducing", "resumeProducing", "fileno"),
        ),
    }

    def __init__(self, protocol: Any, spawn: Spawn) -> None:
        super().__init__(protocol, spawn)
        self._slowed = False

    @staticmethod
    def find_protocol(send: Any) -> Any:
        protocol = _protocol_of(send)
        if protocol is None or _is_tls(protocol):
            return None
        return protocol

    def _is_whole(self) -> bool:
        return self.transport.protocol is self.protocol

    def is_fresh(self, receive: Any) -> bool:
        queue: Any = self.protocol.application_queue
        is_own = getattr(receive, "__self__", None) is queue
        return is_own and queue.empty() and not self.protocol.data

    @property
    def receive(self) -> Receive:
        return self.protocol.application_queue.get  # type: ignore[no-any-return]

    def take_over(self, reader: TakesBytes) -> None:
        transport = self.transport
        if transport.producer is not None:
            transport.unregisterProducer()  # the HTTP channel, with the request
        transport.protocol = reader

    def quieten(self) -> None:
        protocol = self.protocol
        protocol.last_ping = inf  # too long ago never comes, until a message comes through ASGI
        if protocol.autoPingTimeoutCall:  # the answer is not seen any more
            protocol._cancelAutoPingTimeoutCall()

    def slim(self) -> None:
        if self.protocol._perMessageCompress is None:
            slim(self.protocol, slim_class())

    def mute(self) -> None:
        protocol = self.protocol
        protocol.muted = True
        queue = protocol.application_queue
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait({"type": "websocket.disconnect", "code": 1005})

    def is_closing(self) -> bool:
        # Autobahn would keep all that comes once it has cut the connection.
        transport, protocol = self.transport, self.protocol
        return (
            not transport.connected
            or transport.disconnecting
            or protocol.state == protocol.STATE_CLOSED
        )

    def give(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def end(self, error: Any) -> None:
        self.protocol.connectionLost(error)

    def pause(self) -> None:
        if not self._slowed:
            self._slowed = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        if self._slowed:
            self._slowed = False
            if self.transport.connected and not self.transport.disconnecting:
                self.transport.resumeProducing()

    slow_down, speed_up = pause, resume

    def unsent(self) -> int:
        transport = self.transport
        if not transport.connected:  # a lost connection keeps what it could not send
            return 0
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # type: ignore[no-any-return]

    def descriptor(self) -> int:
        return int(self.transport.fileno())

    def put(self, parts: list[bytes]) -> None:
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        protocol, transport = self.protocol, self.transport
        if protocol.state != protocol.STATE_OPEN:
            return
        if transport.connected and not transport.disconnecting and not self.unsent():
            sent = transport.writeSomeData(data)
            if isinstance(sent, int):  # else an error, which Twisted is left to find again
                data = data[sent:]
        if data:
            transport.write(data)

    def ask_for_drained(self) -> None:
        if self.transport.producer is None:  # one that is asked each time all has been sent
            self.transport.registerProducer(self.transport.protocol, False)

    def close(self, code: int, reason: str) -> None:
        if self.protocol.state == self.protocol.STATE_OPEN:
            # Not sendClose(), which refuses the codes that RFC 6455 has for servers.
            self.protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode())
        else:
            self._cut_unless_sent()

    def abort(self) -> None:
        self.transport.abortConnection()


@cache
def slim_class() -> type:
    """Return the slim class of daphne's protocol."""
    from autobahn.websocket.protocol import TrafficStats  # noqa: PLC0415
    from autobahn.websocket.utf8validator import Utf8Validator  # noqa: PLC0415
    from daphne.ws_protocol import WebSocketProtocol  # noqa: PLC0415
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    # What daphne and Autobahn keep of the handshake is most of what they keep of a connection.
    class SlimProtocol(WebSocketProtocol):  # type: ignore[misc]
        http_request_data = http_status_line = http_headers = http_request_uri = None
        http_request_path = http_request_params = http_request_host = http_response_data = None
        websocket_protocols = websocket_extensions = perMessageCompressionAccept = None  # noqa: N815
        clean_headers = server_addr = application_deferred = is_open = None
        _wskey = _raw_query_string = _transport_details = _valid_events = _results = None

        @cached_property
        def application_queue(self) -> asyncio.Queue[Any]:
            return asyncio.Queue()

        @cached_property
        def is_closed(self) -> Deferred[Any]:
            return Deferred()

        @cached_property
        def request(self) -> SimpleNamespace:
            return SimpleNamespace(path=self.path.decode("ascii"))

        @cached_property
        def send_queue(self) -> deque[Any]:
            return deque()

        @cached_property
        def trafficStats(self) -> Any:  # noqa: N802
            return TrafficStats()  # type: ignore[no-untyped-call]

        @cached_property
        def utf8validator(self) -> Any:
            return Utf8Validator()  # type: ignore[no-untyped-call]

        @cached_property
        def websocket_extensions_in_use(self) -> list[Any]:
            return []

    return named_as_base(SlimProtocol)


def _protocol_of(send: Any) -> Any:
    """Return the protocol behind daphne's `send`, or None."""
    protocol: Any = send.args[0] if isinstance(send, partial) and send.args else None
    return protocol if type(protocol).__module__ == "daphne.ws_protocol" else None


def _is_tls(protocol: Any) -> bool:
    from twisted.internet.interfaces import ISSLTransport  # noqa: PLC0415 - daphne has it

    return bool(ISSLTransport.providedBy(protocol.transport))


def find_scheme(send: Any) -> str:
    """Return the scheme of the WebSocket that daphne's `send` is for; its scope has none."""
    protocol = _protocol_of(send)
    if protocol is None:
        return "ws"
    # What the proxy said, where daphne is told to believe it.
    told = getattr(protocol, "client_scheme", None)
    secure = told in ("https", "wss") if told else _is_tls(protocol)
    return "wss" if secure else "ws"


def refuse_for_now(send: Any, status: int, reason: str, retry_after: int) -> None:
    """Have a handshake that is about to be refused answered so: daphne always says 403."""
    protocol = _protocol_of(send)
    fail = getattr(protocol, "failHandshake", None)
    if fail is None:
        return
    headers = [("Retry-After", retry_after), ("Content-Length", 0), ("Connection", "close")]

    def fail_for_now(*_: object) -> None:
        del vars(protocol)["failHandshake"]  # which refers to itself
        fail(reason, status, headers)

    vars(protocol)["failHandshake"] = fail_for_now


def with_empty_frames(send: Any) -> Any:
    """Return an ASGI `send` that sends empty frames, too: daphne's drops them, without a word."""
    protocol = _protocol_of(send)
    put = getattr(protocol, "serverSend", None)
    if put is None:
        return send

    async def send_all(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send" and not (
            message.get("text") or message.get("bytes")
        ):
            is_binary = "bytes" in message
            put(b"" if is_binary else "", is_binary)
        else:
            await send(message)

    return send_all
