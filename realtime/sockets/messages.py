"""An event on its way to clients, encoded at most once for each wire format."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Any

from ..exceptions import MissingBinary
from ..protocol import plain, socketio
from ..protocol.decoding import Decoder
from ..protocol.engineio import MESSAGE
from ..protocol.frames import Frames
from .encoding import default, explain


class Format(Enum):
    """A wire format: what a connection speaks."""

    SOCKETIO = "socketio"
    PLAIN = "plain"

    __hash__ = object.__hash__  # Enum's is a function in Python, called for each receiver


_PLAIN = Format.PLAIN


class Message:
    """
    One event for any number of sockets of one namespace.

    Raises TypeError or ValueError (InvalidEventName) where `event` or `args` cannot be sent.
    """

    __slots__ = ("_frames", "args", "event", "namespace", "volatile")

    def __init__(
        self, namespace: str, event: str, args: tuple[Any, ...], volatile: bool = False
    ) -> None:
        socketio.check_event_name(event)
        self.namespace = namespace
        self.event = event
        self.args = args
        self.volatile = volatile
        self._frames: dict[Format, Frames] = {}

    def frames(self, wire_format: Format) -> Frames:
        """Return the frames for connections of this format."""
        frames = self._frames.get(wire_format)
        if frames is None:
            frames = self.encode(wire_format)
            self._frames[wire_format] = frames
        return frames

    def encode(self, wire_format: Format, ack_id: int | None = None) -> Frames:
        """Return frames that ask for an acknowledgement where `ack_id` is given."""
        try:
            if wire_format is _PLAIN:
                return Frames(plain.encode_event(self.event, list(self.args), ack_id, default))
            return encode(socketio.EVENT, self.namespace, [self.event, *self.args], ack_id)
        except (TypeError, ValueError, RecursionError) as error:
            explain(error, repr(self.event), [self.event, *self.args], 0)
            raise

    def within(self, namespace: str) -> Message:
        """Return this message's event, as it was encoded, for a socket of another namespace."""
        text, *attachments = self.frames(Format.SOCKETIO).frames
        name, *args = decode_args(str(text), tuple(attachments))  # type: ignore[arg-type]
        return Message(namespace, name, tuple(args), self.volatile)


class ForeignMessage(Message):
    """An event that another process encoded, and that is decoded only for who needs it."""

    __slots__ = ("_packet",)

    def __init__(
        self, namespace: str, text: str, attachments: tuple[bytes, ...], volatile: bool = False
    ) -> None:
        self.namespace = namespace
        self.volatile = volatile
        self._packet = (text, attachments)
        self._frames = {Format.SOCKETIO: Frames(text, attachments)}

    def encode(self, wire_format: Format, ack_id: int | None = None) -> Frames:
        name, *args = decode_args(*self._packet)
        return Message(self.namespace, name, tuple(args)).encode(wire_format, ack_id)


def encode(
    kind: socketio.PacketType, namespace: str, data: Any, ack_id: int | None = None
) -> Frames:
    """Return the frames of a Socket.IO packet."""
    text, attachments = socketio.encode_parts(kind, namespace, data, ack_id, default=default)
    return Frames(MESSAGE + text, attachments)


def with_offset(frames: Frames, wire_format: Format, offset: str) -> Frames:
    """Return the frames of an event with an offset: the last argument, or a key of plain ones."""
    text = frames.first
    assert isinstance(text, str)
    if wire_format is _PLAIN:
        return Frames(f'{text[:-1]},"offset":"{offset}"}}', frames.rest)
    return Frames(f'{text[:-1]},"{offset}"]', frames.rest)


def encode_ack(wire_format: Format, namespace: str, ack_id: int, args: list[Any]) -> Frames:
    """Return the frames of an acknowledgement."""
    try:
        if wire_format is _PLAIN:
            return Frames(plain.encode_ack(ack_id, args, default))
        return encode(socketio.ACK, namespace, args, ack_id)
    except (TypeError, ValueError, RecursionError) as error:
        explain(error, "the acknowledgement", args, 1)
        raise


def as_arguments(result: Any) -> list[Any]:
    """Return a handler's result as arguments of an acknowledgement: none, one or several."""
    if result is None:
        return []
    return list(result) if isinstance(result, tuple) else [result]


def encode_args(args: list[Any]) -> tuple[str, tuple[bytes, ...]]:
    """Return an acknowledgement's arguments as a text and attachments, for another process."""
    return socketio.encode(socketio.Packet(socketio.ACK, "/", args, 0), default)


def decode_args(text: str, attachments: tuple[bytes, ...]) -> list[Any]:
    """Return the list in a packet that another process encoded."""
    data: list[Any] = decode_packet(text, attachments).data
    return data


def decode_packet(text: str, attachments: tuple[bytes, ...]) -> socketio.Packet:
    """
    Return the packet of a text and all its attachments, with Engine.IO's type or without.

    Raises a ProtocolError for what is no such packet.
    """
    decoder = Decoder(max_attachments=len(attachments), max_bytes=sys.maxsize)
    packet = decoder.add(text.removeprefix(MESSAGE))
    for attachment in attachments:
        packet = decoder.add(attachment)
    if packet is None:
        raise MissingBinary(f"a packet has more attachments than the {len(attachments)} that came")
    return packet
