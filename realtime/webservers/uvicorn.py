"""
What is particular to uvicorn: its frames are written to asyncio's transport, and read from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import cache, cached_property
from typing import Any

from .adapters import CLOSE_TIMEOUT, Adapter, Package, Receive, Spawn, TakesBytes
from .direct import DirectReader
from .slimming import named_as_base, slim
from .writers import HIGH_WATER, finished

UVICORN = Package("uvicorn", (0, 50), (0, 54))

# What uvicorn's two protocols have alike.
_PROTOCOL = (
    *("transport", "send", "receive", "data_received", "eof_received", "connection_lost"),
    *("pause_writing", "resume_writing"),
)
_TRANSPORT = (
    *("get_protocol", "set_protocol", "is_closing", "abort", "pause_reading", "resume_reading"),
    *("get_extra_info", "write", "writelines", "get_write_buffer_size", "set_write_buffer_limits"),
)


class UvicornReader(DirectReader, asyncio.Protocol):
    """Stands between asyncio's transport and uvicorn's protocol."""

    __slots__ = ()

    def eof_received(self) -> bool | None:
        """Take note that the client is gone: what it does not read may keep the transport long."""
        try:
            return self.adapter.protocol.eof_received()  # type: ignore[no-any-return]
        finally:
            self.lose()

    def pause_writing(self) -> None:
        """Take note that the client reads slowly, as the server does."""
        self.adapter.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Take note that it has read, as the server does."""
        try:
            self.adapter.protocol.resume_writing()
        finally:
            self.writer.tell_drained()


class _UvicornAdapter(Adapter):
    """What both protocols of uvicorn have alike."""

    __slots__ = ("_closing",)

    server = "uvicorn"
    reader = UvicornReader

    def __init__(self, protocol: Any, spawn: Spawn) -> None:
        super().__init__(protocol, spawn)
        self._closing: asyncio.Task[Any] | None = None

    def _is_whole(self) -> bool:
        return self.transport.get_protocol() is self.protocol

    @property
    def receive(self) -> Receive:
        return self.protocol.receive  # type: ignore[no-any-return]

    def take_over(self, reader: TakesBytes) -> None:
        self.transport.set_protocol(reader)

    def mute(self) -> None:
        """Do nothing: it discards messages after its close frame, and reads no two before that."""

    def is_closing(self) -> bool:
        return self.transport.is_closing()  # type: ignore[no-any-return]

    def give(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def end(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)

    def pause(self) -> None:
        if not self.transport.is_closing():  # uvloop minds
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()  # type: ignore[no-any-return]

    def descriptor(self) -> int:
        socket: Any = self.transport.get_extra_info("socket")
        return -1 if socket is None else int(socket.fileno())

    def put(self, parts: list[bytes]) -> None:
        transport = self.transport
        if transport.is_closing():
            return
        if len(parts) == 1:
            transport.write(parts[0])
        else:  # uvloop keeps them as they are: the same bytes for all clients that are behind
            transport.writelines(parts)

    def ask_for_drained(self) -> None:
        # What is above that already counts, and TLS has another limit by default.
        self.transport.set_write_buffer_limits(high=HIGH_WATER)

    def close(self, code: int, reason: str) -> None:
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
        self.transport.abort()

    async def closed(self) -> None:
        await finished(self._closing)


def _find_protocol(send: Any, name: str) -> Any:
    """Return uvicorn's protocol behind its `send`, if it is of the class with that name."""
    protocol = getattr(send, "__self__", None)
    kind = type(protocol)
    is_uvicorns = kind.__module__.startswith("uvicorn.protocols.websockets.")
    return protocol if is_uvicorns and kind.__name__ == name else None


class UvicornAdapter(_UvicornAdapter):
    """uvicorn with websockets, as of ``--ws websockets-sansio``."""

    __slots__ = ()

    packages = (UVICORN, Package("websockets", (15, 0), (17, 4)))
    names = {
        "protocol": (
            *_PROTOCOL,
            *("conn", "config", "logger", "frames", "queue", "writable", "request", "response"),
            "stop_keepalive",
        ),
        "protocol.conn": ("extensions", "reader"),
        "protocol.conn.reader": ("buffer",),
        "protocol.config": ("ws_max_size",),
        "protocol.queue": ("empty",),
        "protocol.writable": ("is_set",),
        "transport": _TRANSPORT,
    }

    @staticmethod
    def find_protocol(send: Any) -> Any:
        return _find_protocol(send, "WebSocketsSansIOProtocol")

    def is_fresh(self, receive: Any) -> bool:
        protocol = self.protocol
        is_own: bool = getattr(receive, "__self__", None) is protocol
        return is_own and not protocol.conn.reader.buffer and protocol.queue.empty()

    def quieten(self) -> None:
        self.protocol.stop_keepalive()

    def slim(self) -> None:
        protocol = self.protocol
        if not protocol.conn.extensions and protocol.writable.is_set():
            slim(protocol, slim_class())


@cache
def slim_class() -> type:
    """Return the slim class of uvicorn's protocol."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import (  # noqa: PLC0415
        WebSocketsSansIOProtocol,
    )
    from websockets.protocol import OPEN  # noqa: PLC0415
    from websockets.server import ServerProtocol  # noqa: PLC0415

    # The handshake's headers alone are some kilobytes, and so are the queue and the event, empty.
    class SlimProtocol(WebSocketsSansIOProtocol):
        request = response = None  # type: ignore[assignment]

        @cached_property
        def conn(self) -> ServerProtocol:  # type: ignore[override]
            """The state of a WebSocket that is open, and without extensions."""
            limit = self.config.ws_max_size
            return ServerProtocol(state=OPEN, max_size=limit, logger=self.logger)

        @cached_property
        def frames(self) -> list[bytes]:  # type: ignore[override]
            return []

        @cached_property
        def queue(self) -> asyncio.Queue[Any]:  # type: ignore[override]
            return asyncio.Queue()

        @cached_property
        def writable(self) -> asyncio.Event:  # type: ignore[override]
            event = asyncio.Event()
            event.set()
            return event

    return named_as_base(SlimProtocol)


class WsprotoAdapter(_UvicornAdapter):
    """uvicorn with wsproto, which parses all frames itself."""

    __slots__ = ()

    packages = (UVICORN, Package("wsproto", (1, 2), (1, 3)))
    names = {"protocol": _PROTOCOL, "transport": _TRANSPORT}

    @staticmethod
    def find_protocol(send: Any) -> Any:
        return _find_protocol(send, "WSProtocol")

    def is_fresh(self, receive: Any) -> bool:
        return False

    def quieten(self) -> None:
        """Do nothing: this protocol never asks whether the client is there."""

    def slim(self) -> None:
        """Do nothing: all of it is needed."""
