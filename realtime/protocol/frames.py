"""The frames of one message, put into each transport's bytes at most once."""

from __future__ import annotations

import struct

import msgspec

from .engineio import payload_part

_TEXT, _BINARY = 0x81, 0x82  # RFC 6455, section 5.2: FIN and the opcode


_SHORT_TEXT, _SHORT_BINARY = (
    [bytes((opcode, size)) for size in range(126)] for opcode in (_TEXT, _BINARY)
)


def websocket_frame(data: str | bytes) -> bytes:
    """Return one unmasked, unfragmented WebSocket frame (RFC 6455, section 5.2)."""
    if isinstance(data, str):
        opcode, short, body = _TEXT, _SHORT_TEXT, data.encode()
    else:
        opcode, short, body = _BINARY, _SHORT_BINARY, data
    size = len(body)
    if size < 126:
        return short[size] + body
    if size < 65_536:
        return struct.pack("!BBH", opcode, 126, size) + body
    return struct.pack("!BBQ", opcode, 127, size) + body


class Frames(msgspec.Struct, gc=False, eq=False):
    """
    The frames of one message: texts and bytes that must leave together and in order.

    A broadcast's frames are shared by all its receivers: `wire` is what `make_wire` returned, and
    None until it was called.
    """

    first: str | bytes
    rest: tuple[str | bytes, ...] = ()
    wire: bytes | None = None
    _payload: tuple[str, ...] | None = None

    @property
    def frames(self) -> tuple[str | bytes, ...]:
        """All frames of the message, in order."""
        return (self.first, *self.rest)

    @property
    def size(self) -> int:
        """About how many bytes the frames take on the wire."""
        return sum(len(each) + 8 for each in self.frames)

    def make_wire(self) -> bytes:
        """Return the WebSocket frames, ready for the socket, and keep them."""
        wire = websocket_frame(self.first)
        if self.rest:
            wire += b"".join(map(websocket_frame, self.rest))
        self.wire = wire
        return wire

    @property
    def payload(self) -> tuple[str, ...]:
        """The packets as they stand in a polling payload."""
        if self._payload is None:
            self._payload = tuple(map(payload_part, self.frames))
        return self._payload
