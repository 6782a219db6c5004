"""
Socket.IO v5: packets from texts and attachments.

Specification: https://github.com/socketio/socket.io-protocol (sections "Packet encoding",
"Packet types").
"""

from __future__ import annotations

import re
from typing import Any

from ..exceptions import (
    EmptyPacket,
    InvalidAckId,
    InvalidAttachments,
    InvalidPayload,
    InvalidPlaceholder,
    MissingBinary,
    TooLarge,
    UnexpectedBinary,
    UnknownPacketType,
)
from .parsing import LONG_TO_WALK, Replace, loads, replace_objects
from .socketio import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    EVENT,
    MAX_ACK_ID,
    RESERVED_EVENTS,
    Packet,
    PacketType,
    check_payload,
)

_MAX_ID_DIGITS = 16
_TYPES = {str(int(member)): member for member in PacketType}
_TEXT = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}

# What nearly all packets are: events and acknowledgements, with what stands before their lists.
_BEFORE_A_LIST = rf"(?:(/[^,?]*+),)?(\d{{0,{_MAX_ID_DIGITS - 1}}})(?=\[)"
_match_text_list = re.compile(rf"[23]{_BEFORE_A_LIST}", re.ASCII).match
_match_binary_list = re.compile(
    rf"[56](\d{{1,{_MAX_ID_DIGITS - 2}}})-{_BEFORE_A_LIST}", re.ASCII
).match

# Stands for an attachment that has its place: any other bytes that are equal are not the same.
_PLACED = bytes(bytearray(b"placed"))

# What stands before a packet's data: its type, namespace, acknowledgement id and query, and where
# the data begins.
_Head = tuple[PacketType, str, int | None, str, int]


class Decoder:
    """
    Puts packets together from the texts and attachments of one connection.

    At most `max_attachments` attachments, of `max_bytes` bytes in all, are kept for one packet.
    `completed` has the frames of the last packet that attachments completed.
    """

    __slots__ = (
        *("_attachments", "_data", "_head", "_max_attachments", "_max_bytes", "_missing", "_room"),
        *("_namespace", "_text", "_usual", "completed"),
    )

    def __init__(self, *, max_attachments: int, max_bytes: int) -> None:
        self._max_attachments = max_attachments
        self._max_bytes = max_bytes
        # How the client's last event began, before its id, and its namespace.
        self._usual, self._namespace = "2", "/"
        self._attachments: list[bytes] = []
        # The packet that they belong to; the data of a long one is not parsed yet: it would take
        # more memory.
        self._text: str | None = None
        self._head: _Head
        self._data: Any = None
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
        if self._text is not None:
            raise MissingBinary(f"{self._missing} attachments were due, a text packet came")
        if frame.startswith(self._usual, start):
            first = start + len(self._usual)
            position = frame.find("[", first, first + _MAX_ID_DIGITS)
            if position == first:
                return _parse_event(frame, position, self._namespace, None)
            digits = frame[first:position]
            if digits.isdecimal() and digits.isascii() and position > 0:
                return _parse_event(frame, position, self._namespace, int(digits))
        match = _match_text_list(frame, start)
        if match is None:
            return self._add_other(frame, start)
        namespace, digits = match.groups("/")
        ack_id = int(digits) if digits else None
        if frame[start] == "3":
            return _parse((ACK, namespace, ack_id, "", match.end()), frame)
        self._usual, self._namespace = frame[start : match.start(2)], namespace
        return _parse_event(frame, match.end(), namespace, ack_id)

    def unfinished(self) -> list[str | bytes]:
        """Return the frames of a packet whose attachments have not all come."""
        return [] if self._text is None else [self._text, *self._attachments]

    def _add_other(self, frame: str, start: int) -> Packet | None:
        match = _match_binary_list(frame, start)
        if match is not None:
            count, namespace, digits = match.groups("/")
            kind = EVENT if frame[start] == "5" else ACK
            ack_id = int(digits) if digits else None
            return self._announce(frame, int(count), (kind, namespace, ack_id, "", match.end()))
        announced, head = _parse_head(frame, start)
        if announced is None:
            return _parse(head, frame)
        return self._announce(frame, announced, head)

    def _announce(self, frame: str, count: int, head: _Head) -> Packet | None:
        """Take a packet that attachments follow."""
        if count > self._max_attachments:
            raise InvalidAttachments(
                f"{count} attachments, at most {self._max_attachments} are accepted"
            )
        if count == 0:
            self.completed = frame, ()
            return _parse(head, frame, _placing([]))
        if len(frame) <= LONG_TO_WALK or head[-1] >= len(frame):
            self._data = _load(head, frame)
        self._text, self._head = frame, head
        self._missing, self._room = count, self._max_bytes
        return None

    def _add_attachment(self, data: bytes) -> Packet | None:
        if self._text is None:
            raise UnexpectedBinary("an attachment came that no packet announced")
        self._room -= len(data)
        if self._room < 0:
            raise TooLarge(f"the attachments of one packet exceed {self._max_bytes} bytes")
        self._attachments.append(data)
        self._missing -= 1
        if self._missing:
            return None
        text, value, attachments = self._text, self._data, self._attachments
        self._text, self._data, self._attachments = None, None, []
        self.completed = text, tuple(attachments)
        place = _placing(attachments)
        if value is None:
            return _parse(self._head, text, place)
        kind, namespace, ack_id, query, _ = self._head
        return Packet(kind, namespace, replace_objects(value, place), ack_id, query)


def _parse_event(text: str, position: int, namespace: str, ack_id: int | None) -> Packet:
    """Return the event whose list begins there."""
    data = loads(text[position:])
    if not data or type(name := data[0]) is not str or name in RESERVED_EVENTS:
        check_payload(EVENT, data, ack_id)
    return Packet(EVENT, namespace, data, ack_id)


def _parse(head: _Head, text: str, replace: Replace | None = None) -> Packet:
    """Return the packet that begins so; `replace` is for the objects in its data."""
    kind, namespace, ack_id, query, _ = head
    return Packet(kind, namespace, _load(head, text, replace), ack_id, query)


def _load(head: _Head, text: str, replace: Replace | None = None) -> Any:
    kind, _, ack_id, _, position = head
    data = None
    if position < len(text):
        data = loads(text[position:], replace)
        if data is None:
            raise InvalidPayload("a payload is an object, a list or a text, not null")
    check_payload(kind, data, ack_id)
    return data


def _parse_head(text: str, start: int) -> tuple[int | None, _Head]:
    """Return how many attachments a packet has, if it is of a binary type, and its head."""
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
    return count, (kind, namespace, ack_id, query, position)


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


def _placing(left: list[bytes]) -> Replace:
    """
    Return what puts attachments in the place of their placeholders, and takes them from the list.

    Each stands in one place only: many for one would let a small packet become a huge answer.
    """

    def place(value: dict[str, Any]) -> Any:
        if "_placeholder" not in value or value["_placeholder"] is not True:
            return value
        number = value.get("num")
        if type(number) is int and 0 <= number < len(left):
            part, left[number] = left[number], _PLACED
            if part is not _PLACED:
                return part
        raise InvalidPlaceholder("a placeholder whose attachment is missing, or already placed")

    return place
