"""
Engine.IO v4: packets, polling payloads and the handshake.

Specification: https://github.com/socketio/engine.io-protocol (sections "Packet encoding",
"Protocol", "Heartbeat").
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from ..exceptions import EmptyPacket, InvalidBase64, InvalidText, UnknownPacketType
from .jsontext import dumps

PROTOCOL_VERSION = "4"
SEPARATOR = "\x1e"

# python-engineio's client refuses a payload of more packets than this.
PACKETS_PER_PAYLOAD = 16


class PacketType(StrEnum):
    """The packet types, as the digit that starts a text packet."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class Packet(NamedTuple):
    """One packet: its type and what follows it. Bytes are always a MESSAGE."""

    type: PacketType
    data: str | bytes = ""


_TYPES = {member.value: member for member in PacketType}
# Not the member: to put a plain text before another is faster.
MESSAGE = PacketType.MESSAGE.value


def decode_packet(frame: str | bytes) -> Packet:
    """
    Return the packet of one WebSocket frame ("Packet encoding"); a binary frame is a message.

    Raises EmptyPacket for an empty text, UnknownPacketType for a type that is not 0 to 6.
    """
    if isinstance(frame, bytes):
        return Packet(PacketType.MESSAGE, frame)
    if not frame:
        raise EmptyPacket("an empty Engine.IO packet")
    kind = _TYPES.get(frame[0])
    if kind is None:
        raise UnknownPacketType(f"unknown Engine.IO packet type {frame[0]!r}")
    return Packet(kind, frame[1:])


def encode_packet(packet: Packet) -> str | bytes:
    """Return the WebSocket frame of a packet: text, or the bytes themselves."""
    return packet.data if isinstance(packet.data, bytes) else packet.type + packet.data


def decode_payload(body: bytes) -> Iterator[Packet]:
    """
    Yield the packets of a polling request's body ("HTTP long-polling").

    Raises InvalidText, InvalidBase64, EmptyPacket or UnknownPacketType when that packet is reached.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidText(f"the payload is not UTF-8: {error}") from None
    for part in text.split(SEPARATOR):
        yield (
            Packet(PacketType.MESSAGE, _decode_base64(part[1:]))
            if part[:1] == "b"
            else decode_packet(part)
        )


def _decode_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise InvalidBase64(f"invalid base64: {error}") from None


def payload_part(frame: str | bytes) -> str:
    """Return a WebSocket frame as it stands in a polling payload: bytes become base64."""
    if isinstance(frame, bytes):
        return "b" + binascii.b2a_base64(frame, newline=False).decode()
    return frame


def encode_payload(frames: Iterable[str | bytes]) -> str:
    """Return a polling response's body for these WebSocket frames."""
    return SEPARATOR.join(payload_part(frame) for frame in frames)


def open_packet(
    sid: str,
    *,
    upgrades: Sequence[str],
    ping_interval: float,
    ping_timeout: float,
    max_payload: int,
) -> str:
    """
    Return the OPEN packet ("Handshake"). Times are given in seconds and sent in milliseconds.
    """
    return PacketType.OPEN + dumps(
        {
            "sid": sid,
            "upgrades": list(upgrades),
            "pingInterval": round(ping_interval * 1000),
            "pingTimeout": round(ping_timeout * 1000),
            "maxPayload": max_payload,
        }
    )
