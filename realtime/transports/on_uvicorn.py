"""
What is particular to uvicorn: its frames are written to asyncio's transport, and read from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from .direct import DirectReader
from .lighten import Diet, lighten
from .readers import Receive
from .writers import CLOSE_TIMEOUT, Spawn, TransportWriter, Writer, finished

if TYPE_CHECKING:
    from ..hub import Hub


class UvicornWriter(TransportWriter):
    """Writes to uvicorn's asyncio transport."""

    __slots__ = ("_closing", "_spawn", "protocol", "transport")

    def __init__(self, send: Any, spawn: Spawn) -> None:
        super().__init__()
        self.protocol: Any = send.__self__
        self._spawn = spawn
        self.transport: asyncio.Transport = self.protocol.transport
        self._closing: asyncio.Task[Any] | None = None

    @staticmethod
    def fits(send: Any) -> bool:
        """Tell whether `send` belongs to one of uvicorn's two protocols of the known shape."""
        protocol = getattr(send, "__self__", None)
        kind = type(protocol)
        return (
            kind.__module__.startswith("uvicorn.protocols.websockets.")
            and kind.__name__ in ("WebSocketsSansIOProtocol", "WSProtocol")
            and hasattr(getattr(protocol, "transport", None), "get_write_buffer_size")
        )

    def _descriptor(self) -> int:
        socket: Any = self.transport.get_extra_info("socket")
        return -1 if socket is None else int(socket.fileno())

    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _put(self, data: list[bytes]) -> None:
        if self.transport.is_closing():
            return
        if len(data) == 1:
            self.transport.write(data[0])
        else:  # uvloop keeps them as they are: the same bytes for all clients that are behind
            self.transport.writelines(data)

    def close(self, code: int, reason: str) -> None:
        self.flush()
        if self.transport.is_closing():  # the client has been told already, or has told us
            self._cut_unless_sent()
        elif self._closing is None:
            self._closing = self._spawn(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        message = {"type": "websocket.close", "code": code, "reason": reason}
        with contextlib.suppress(Exception):  # the client may be gone, or read nothing any more
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.protocol.send(message)
                # uvicorn itself would wait for ever until a client reads that is not there.
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.transport.abort)
                return
        self.abort()

    def abort(self) -> None:
        self._forget()
        self.transport.abort()

    async def closed(self) -> None:
        await finished(self._closing)


def _make_set_event(protocol: Any) -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _make_connection(protocol: Any) -> Any:
    """Return the state of a WebSocket that is open, and without extensions."""
    from websockets.protocol import OPEN  # noqa: PLC0415 - uvicorn has imported them
    from websockets.server import ServerProtocol  # noqa: PLC0415

    limit = protocol.config.ws_max_size
    return ServerProtocol(state=OPEN, max_size=limit, logger=protocol.logger)


# The handshake's headers alone are some kilobytes, and so are the queue and the event, empty.
DIET = Diet(
    packages=(("uvicorn", (0, 54)), ("websockets", (17, 4))),
    shared=frozenset(
        ("config", "app", "loop", "logger", "app_state", "connections", "tasks", "default_headers")
    ),
    needless=("request", "response"),
    made={
        "conn": _make_connection,
        "frames": lambda protocol: [],
        "queue": lambda protocol: asyncio.Queue(),
        "writable": _make_set_event,
    },
)


class UvicornReader(DirectReader, asyncio.Protocol):
    """Stands between asyncio's transport and uvicorn's protocol."""

    __slots__ = ("_transport",)

    queue_name = "queue"

    @staticmethod
    def fits(writer: Writer) -> bool:
        """Tell whether it is uvicorn's protocol of the known shape that the transport has."""
        return (
            isinstance(writer, UvicornWriter) and writer.transport.get_protocol() is writer.protocol
        )

    def __init__(self, hub: Hub, receive: Any, writer: Any) -> None:
        self._transport: asyncio.Transport = writer.transport
        super().__init__(hub, receive, writer, direct=_is_fresh(receive, writer.protocol))

    def _replace_server(self) -> None:
        self._transport.set_protocol(self)

    def _receive_from_server(self) -> Receive:
        return self._server.receive  # type: ignore[no-any-return]

    def _quieten_server(self) -> None:
        if hasattr(self._server, "stop_keepalive"):
            self._server.stop_keepalive()

    def _lighten_server(self) -> None:
        if not self._server.conn.extensions:
            lighten(self._server, DIET)

    def _mute_server(self) -> None:
        """Nothing: it discards messages after its close frame, and reads no two before that."""

    def _is_closing(self) -> bool:
        return self._transport.is_closing()

    def _give(self, data: bytes) -> None:
        self._server.data_received(data)

    def _end_with_server(self, error: Exception | None) -> None:
        self._server.connection_lost(error)

    def _pause(self) -> None:
        if not self._transport.is_closing():  # uvloop minds
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool | None:
        """Take note that the client is gone: what it does not read may keep the transport long."""
        try:
            return self._server.eof_received()  # type: ignore[no-any-return]
        finally:
            self._lose()

    def pause_writing(self) -> None:
        """Take note that the client reads slowly, as the server does."""
        self._server.pause_writing()

    def resume_writing(self) -> None:
        """Take note that it has read, as the server does."""
        self._server.resume_writing()


def _is_fresh(receive: Any, protocol: Any) -> bool:
    """Tell whether it is the protocol that may be done without, to which nothing has come."""
    parser = getattr(getattr(protocol, "conn", None), "reader", None)
    queue = getattr(protocol, "queue", None)
    return (
        type(protocol).__name__ == "WebSocketsSansIOProtocol"
        and getattr(receive, "__self__", None) is protocol
        and getattr(parser, "buffer", None) == b""
        and isinstance(queue, asyncio.Queue)
        and queue.empty()
    )
