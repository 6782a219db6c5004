"""
Socket.IO v5: packets, what may be in them, and how they are encoded.

Specification: https://github.com/socketio/socket.io-protocol (sections "Packet encoding",
"Packet types").
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from ..exceptions import InvalidAckId, InvalidEventName, InvalidNamespace, InvalidPayload
from .jsontext import dumps, is_plain, replace_bytes, unsupported

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
_DIGITS = tuple(str(int(member)) for member in PacketType)
_BINARY = {EVENT: BINARY_EVENT, ACK: BINARY_ACK}


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
    """
    Return the text and the attachments of a packet, as `encode` does, without making that packet.

    `kind`, `namespace`, `data`, `ack_id` and `query` are what it would have.
    """
    attachments: tuple[bytes, ...] = ()
    if data is None:
        payload = ""
    elif is_plain(data):
        payload = dumps(data)
    else:
        payload, attachments = _extract_bytes(data, default)
    head = _DIGITS[kind]
    if attachments:
        if kind not in _BINARY:
            raise TypeError(f"bytes cannot be sent in a {kind.name} packet")
        head = f"{_BINARY[kind]:d}{len(attachments)}-"
    if namespace != "/" or query:
        head += _encode_namespace(namespace, query)
    return head + payload if ack_id is None else f"{head}{ack_id}{payload}", attachments


def _extract_bytes(data: Any, default: Callable[[Any], Any]) -> tuple[str, tuple[bytes, ...]]:
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


def check_payload(kind: PacketType, data: Any, ack_id: int | None) -> None:
    """Raise a ProtocolError where a packet of a text type cannot have such data, or such an id."""
    _CHECKS[kind](data, ack_id)


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


_CHECKS: tuple[Callable[[Any, int | None], None], ...] = (
    _check_connect,
    _check_disconnect,
    _check_event,
    _check_ack,
    _check_connect_error,
)


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
