"""
Socket.IO v5: packets and their text and binary encoding.

Specification: https://github.com/socketio/socket.io-protocol (sections "Packet encoding",
"Packet types").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from ..exceptions import (
    EmptyPacket,
    InvalidAckId,
    InvalidAttachments,
    InvalidEventName,
    InvalidNamespace,
    InvalidPayload,
    InvalidPlaceholder,
    MissingBinary,
    TooLarge,
    UnexpectedBinary,
    UnknownPacketType,
)
from .jsontext import (
    LONG_TO_WALK,
    Replace,
    dumps,
    is_plain,
    loads,
    replace_bytes,
    replace_objects,
    unsupported,
)

RESERVED_EVENTS = frozenset(
    {
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    }
)

# JavaScript's largest safe integer: no client counts further.
MAX_ACK_ID = 2**53 - 1
_MAX_ID_DIGITS = 16


class PacketType(IntEnum):
    """The packet types, as the digit that starts a packet."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = PacketType
_TYPES = {str(int(member)): member for member in PacketType}
_DIGITS = tuple(_TYPES)
# What nearly all packets are: a text event, with its namespace and its id, before its list.
_TEXT_EVENT = re.compile(rf"2(?:(/[^,?]*+),)?(\d{{0,{_MAX_ID_DIGITS - 1}}})(?=\[)", re.ASCII)
_BINARY = {EVENT: BINARY_EVENT, ACK: BINARY_ACK}
_TEXT = {binary: text for text, binary in _BINARY.items()}


class Packet(msgspec.Struct, frozen=True, gc=False):
    """
    One packet.

    `data` is a dict or None (CONNECT), None (DISCONNECT), a list that starts with the event's
    name (EVENT), a list (ACK), a dict or text (CONNECT_ERROR). `query` is what followed "?" in
    the namespace. A decoded packet is never of a binary type: its bytes are in `data`.
    """

    type: PacketType
    namespace: str = "/"
    data: Any = None
    id: int | None = None
    query: str = ""


def encode(
    packet: Packet, default: Callable[[Any], Any] = unsupported
) -> tuple[str, tuple[bytes, ...]]:
    """
    Return the packet's text and its attachments ("Packet encoding").

    EVENT and ACK become BINARY_EVENT and BINARY_ACK where there are bytes in the data. `default`
    is given what has no JSON form, and returns a plainer value or raises TypeError.

    Raises TypeError or ValueError for what cannot be sent, as bytes in a packet of another type.
    """
    return encode_parts(
        packet.type, packet.namespace, packet.data, packet.id, packet.query, default=default
    )


def encode_parts(
    kind: PacketType,
    namespace: str,
    data: Any,
    ack_id: int | None,
    query: str = "",
    *,
    default: Callable[[Any], Any] = unsupported,
) -> tuple[str, tuple[bytes, ...]]:
    """Do that with what would be in a packet."""
    attachments: tuple[bytes, ...] = ()
    if data is None:
        payload = ""
    elif is_plain(data):
        payload = dumps(data)
    else:
        payload, attachments = _take_bytes(data, default)
    head = _DIGITS[kind]
    if attachments:
        if kind not in _BINARY:
            raise TypeError(f"bytes cannot be sent in a {kind.name} packet")
        head = f"{_BINARY[kind]:d}{len(attachments)}-"
    if namespace != "/" or query:
        head += _encode_namespace(namespace, query)
    return head + payload if ack_id is None else f"{head}{ack_id}{payload}", attachments


def _take_bytes(data: Any, default: Callable[[Any], Any]) -> tuple[str, tuple[bytes, ...]]:
    """Return data as JSON with placeholders for bytes, and these as attachments."""
    attachments: list[bytes] = []

    def attach(part: bytes) -> dict[str, Any]:
        attachments.append(part)
        return {"_placeholder": True, "num": len(attachments) - 1}

    return dumps(replace_bytes(data, attach, default)), tuple(attachments)


def _encode_namespace(namespace: str, query: str) -> str:
    if namespace != "/":
        check_namespace(namespace)
    return f"{namespace}?{query}," if query else f"{namespace},"


class Decoder:
    """
    Puts packets together from the texts and attachments of one connection.

    At most `max_attachments` attachments, of `max_bytes` bytes in all, are kept for one packet.
    `completed` has the frames of the last packet that attachments completed.
    """

    __slots__ = (
        *("_attachments", "_max_attachments", "_max_bytes", "_missing", "_pending", "_room"),
        "completed",
    )

    def __init__(self, *, max_attachments: int, max_bytes: int) -> None:
        self._max_attachments = max_attachments
        self._max_bytes = max_bytes
        self._attachments: list[bytes] = []
        # The packet that they belong to; a long one as it came: parsed, it takes more memory.
        self._pending: tuple[str, _Head, Packet | None] | None = None
        self._missing = 0
        self._room = max_bytes
        self.completed: tuple[str, tuple[bytes, ...]] = ("", ())

    def add(self, frame: str | bytes, start: int = 0) -> Packet | None:
        """
        Return the packet that this frame completes, or None while attachments are due.

        In a text the packet begins at `start`: what is before that is another layer's.

        Raises a ProtocolError of the kind that is named in `realtime.exceptions`.
        """
        if isinstance(frame, bytes):
            return self._add_attachment(frame)
        if self._pending is not None:
            raise MissingBinary(f"{self._missing} attachments were due, a text packet came")
        match = _TEXT_EVENT.match(frame, start)
        if match is not None:
            return _parse_text_event(frame, match)
        head = _parse_head(frame, start)
        count = head[1]
        if count is None:
            return _parse_packet(frame, head)
        if count > self._max_attachments:
            raise InvalidAttachments(
                f"{count} attachments, at most {self._max_attachments} are accepted"
            )
        if count == 0:
            return self._complete(frame, head, None, ())
        packet = None
        if len(frame) <= LONG_TO_WALK or head[-1] >= len(frame):
            packet = _parse_packet(frame, head)
        self._pending = frame, head, packet
        self._missing, self._room = count, self._max_bytes
        return None

    def _add_attachment(self, data: bytes) -> Packet | None:
        if self._pending is None:
            raise UnexpectedBinary("an attachment came that no packet announced")
        self._room -= len(data)
        if self._room < 0:
            raise TooLarge(f"the attachments of one packet exceed {self._max_bytes} bytes")
        self._attachments.append(data)
        self._missing -= 1
        if self._missing:
            return None
        pending, attachments = self._pending, tuple(self._attachments)
        self._pending, self._attachments = None, []
        return self._complete(*pending, attachments)

    def _complete(
        self, text: str, head: _Head, packet: Packet | None, attachments: tuple[bytes, ...]
    ) -> Packet:
        self.completed = text, attachments
        place = _placing(attachments)
        if packet is None:
            return _parse_packet(text, head, place)
        return msgspec.structs.replace(packet, data=replace_objects(packet.data, place))


def _parse_text_event(text: str, match: re.Match[str]) -> Packet:
    """Return the packet that `_TEXT_EVENT` found, the same that `_parse` would return."""
    namespace, digits = match.groups("/")
    data = loads(text[match.end() :])
    ack_id = int(digits) if digits else None
    _check_event(data, ack_id)
    return Packet(EVENT, namespace, data, ack_id)


# What stands before a packet's data: its type, how many attachments it has if it is of a binary
# type, namespace, query and acknowledgement id, and where the data begins.
_Head = tuple[PacketType, int | None, str, str, int | None, int]


def _parse_head(text: str, start: int) -> _Head:
    try:
        kind = _TYPES[text[start]]
    except IndexError:
        raise EmptyPacket("an empty Socket.IO packet") from None
    except KeyError:
        raise UnknownPacketType(f"unknown Socket.IO packet type {text[start]!r}") from None
    position, count, namespace, query = start + 1, None, "/", ""
    if kind in _TEXT:
        kind = _TEXT[kind]
        count, position = _parse_attachment_count(text, position)
    if text.startswith("/", position):
        namespace, query, position = _parse_namespace(text, position)
    ack_id, position = _parse_id(text, position)
    return kind, count, namespace, query, ack_id, position


def _parse_packet(text: str, head: _Head, replace: Replace | None = None) -> Packet:
    """Return the packet that begins so; `replace` is for the objects in its data."""
    kind, _, namespace, query, ack_id, position = head
    data = None
    if position < len(text):
        data = loads(text[position:], replace)
        if data is None:
            raise InvalidPayload("a payload is an object, a list or a text, not null")
    _VALIDATORS[kind](data, ack_id)
    return Packet(kind, namespace, data, ack_id, query)


def _parse_attachment_count(text: str, start: int) -> tuple[int, int]:
    end = text.find("-", start, start + _MAX_ID_DIGITS - 1)
    digits = text[start:end]
    if end < 0 or not (digits.isascii() and digits.isdigit()):
        raise InvalidAttachments("a binary packet without its count of attachments")
    return int(digits), end + 1


def _parse_namespace(text: str, start: int) -> tuple[str, str, int]:
    end = text.find(",", start)
    if end < 0:
        end = len(text)
    name, _, query = text[start:end].partition("?")
    return name, query, end + 1


def _parse_id(text: str, start: int) -> tuple[int | None, int]:
    head = text[start : start + _MAX_ID_DIGITS + 1]
    count = len(head) - len(head.lstrip("0123456789"))
    if count == 0:
        return None, start
    if count > _MAX_ID_DIGITS or (value := int(head[:count])) > MAX_ACK_ID:
        raise InvalidAckId("the acknowledgement id is larger than the largest safe integer")
    return value, start + count


def _check_connect(data: Any, ack_id: int | None) -> None:
    if ack_id is not None or not (data is None or isinstance(data, dict)):
        raise InvalidPayload("CONNECT takes an object or nothing")


def _check_disconnect(data: Any, ack_id: int | None) -> None:
    if ack_id is not None or data is not None:
        raise InvalidPayload("DISCONNECT takes nothing")


def _check_connect_error(data: Any, ack_id: int | None) -> None:
    if ack_id is not None or not isinstance(data, (dict, str)):
        raise InvalidPayload("CONNECT_ERROR takes an object or a text")


def _check_event(data: Any, ack_id: int | None) -> None:
    if not isinstance(data, list) or not data:
        raise InvalidPayload("EVENT takes a list that starts with the event's name")
    name = data[0]
    if type(name) is str and name not in RESERVED_EVENTS:
        return
    if type(name) in (int, float):
        name = data[0] = dumps(name)  # JavaScript lets a number be a name, and means its text
    check_event_name(name)


def _check_ack(data: Any, ack_id: int | None) -> None:
    if ack_id is None:
        raise InvalidAckId("ACK without an id")
    if not isinstance(data, list):
        raise InvalidPayload("ACK takes a list")


_VALIDATORS: dict[PacketType, Callable[[Any, int | None], None]] = {
    CONNECT: _check_connect,
    DISCONNECT: _check_disconnect,
    EVENT: _check_event,
    ACK: _check_ack,
    CONNECT_ERROR: _check_connect_error,
}


def check_event_name(name: Any) -> None:
    """Raise InvalidEventName for what is no text, or is a name that clients reserve."""
    if not isinstance(name, str):
        raise InvalidEventName(f"an event's name is a text, not {type(name).__name__}")
    if name in RESERVED_EVENTS:
        raise InvalidEventName(f"the event name {name!r} is reserved")


def check_namespace(name: Any) -> None:
    """Raise InvalidNamespace for what cannot stand as a namespace in a packet."""
    if not isinstance(name, str) or not name.startswith("/") or "," in name or "?" in name:
        raise InvalidNamespace(f'a namespace is a text like "/users", not {name!r}')


def _placing(attachments: tuple[bytes, ...]) -> Replace:
    """
    Return what puts attachments in the place of their placeholders.

    Each stands in one place only: many for one would let a small packet become a huge answer.
    """
    left = dict(enumerate(attachments))

    def place(value: dict[str, Any]) -> Any:
        if value.get("_placeholder") is not True:
            return value
        number = value.get("num")
        if type(number) is not int or number not in left:
            raise InvalidPlaceholder("a placeholder whose attachment is missing, or already placed")
        return left.pop(number)

    return place
