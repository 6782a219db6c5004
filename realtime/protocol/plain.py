"""
The JSON frames of the plain WebSocket, for clients without a Socket.IO library.

Specification: docs/reference/wire-formats.md, section "Plain WebSocket".
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, NamedTuple

from ..exceptions import InvalidAckId, InvalidBase64, InvalidPayload
from .jsontext import dumps, is_plain, replace_bytes, unsupported
from .parsing import loads
from .socketio import MAX_ACK_ID, check_event_name

BYTES_KEY = "$bytes"
_EVENT_KEYS = frozenset({"event", "args", "id"})
_ACK_KEYS = frozenset({"ack", "args"})
_RECOVER_KEYS = frozenset({"recover"})
_SESSION_KEYS = frozenset({"pid", "offset"})

# Close codes of the plain WebSocket (4000 to 4999 are an application's own).
MALFORMED = 4400
UNAUTHENTICATED = 4401
REFUSED = 4403
NOT_FOUND = 4404
TIMEOUT = 4408


class EventFrame(NamedTuple):
    """An event: its name, its arguments, and the id where an acknowledgement is wanted."""

    event: str
    args: list[Any]
    id: int | None = None


class AckFrame(NamedTuple):
    """The acknowledgement of the event that had this id."""

    id: int
    args: list[Any]


class RecoverFrame(NamedTuple):
    """A client that comes back: its "pid" and "offset", as far as it has them."""

    session: dict[str, str]


def encode_event(
    event: str,
    args: list[Any],
    ack_id: int | None = None,
    default: Callable[[Any], Any] = unsupported,
) -> str:
    """Return the frame of an event."""
    frame: dict[str, Any] = {"event": event, "args": _without_bytes(args, default)}
    if ack_id is not None:
        frame["id"] = ack_id
    return dumps(frame)


def encode_ack(ack_id: int, args: list[Any], default: Callable[[Any], Any] = unsupported) -> str:
    """Return the frame of an acknowledgement."""
    return dumps({"ack": ack_id, "args": _without_bytes(args, default)})


def encode_connected(sid: str, pid: str = "") -> str:
    """Return the first frame that the server sends; `pid` is what the client comes back with."""
    return dumps({"connected": sid, "pid": pid} if pid else {"connected": sid})


def decode(text: str) -> EventFrame | AckFrame | RecoverFrame:
    """
    Return what one text frame holds.

    Raises InvalidJSON, InvalidPayload, InvalidEventName, InvalidAckId or InvalidBase64.
    """
    may_have_bytes = BYTES_KEY in text or "\\u" in text
    frame = loads(text, _with_bytes if may_have_bytes else None)
    if not isinstance(frame, dict):
        raise InvalidPayload("a frame is a JSON object")
    args = frame.get("args", [])
    if not isinstance(args, list):
        raise InvalidPayload('"args" is a list')
    if "event" in frame:
        _check_keys(frame, _EVENT_KEYS)
        check_event_name(frame["event"])
        ack_id = _check_id(frame["id"]) if "id" in frame else None
        return EventFrame(frame["event"], args, ack_id)
    if "ack" in frame:
        _check_keys(frame, _ACK_KEYS)
        return AckFrame(_check_id(frame["ack"]), args)
    if "recover" in frame:
        _check_keys(frame, _RECOVER_KEYS)
        return RecoverFrame(_check_session(frame["recover"]))
    raise InvalidPayload('a frame has "event", "ack" or "recover"')


def _check_keys(frame: dict[str, Any], known: frozenset[str]) -> None:
    if not frame.keys() <= known:
        raise InvalidPayload(f"there are no keys but {', '.join(sorted(known))} in it")


def _check_id(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ACK_ID:
        raise InvalidAckId(f"an id is an integer from 0 to {MAX_ACK_ID}")
    return value


def _check_session(value: Any) -> dict[str, str]:
    """Return what is there: null is what a client has that knows nothing yet."""
    if not isinstance(value, dict):
        raise InvalidPayload('"recover" is an object')
    _check_keys(value, _SESSION_KEYS)
    session = {name: part for name, part in value.items() if part is not None}
    if not all(isinstance(part, str) for part in session.values()):
        raise InvalidPayload('"pid" and "offset" are texts, or null')
    return session


def _without_bytes(args: list[Any], default: Callable[[Any], Any]) -> list[Any]:
    """Return arguments with bytes as objects that hold them in base64."""
    plain: list[Any] = args if is_plain(args) else replace_bytes(args, _as_base64, default)
    return plain


def _as_base64(data: bytes) -> dict[str, str]:
    return {BYTES_KEY: binascii.b2a_base64(data, newline=False).decode()}


def _with_bytes(value: dict[str, Any]) -> Any:
    """Return the bytes that an object `{"$bytes": "<base64>"}` means; any other as it is."""
    return _from_base64(value[BYTES_KEY]) if len(value) == 1 and BYTES_KEY in value else value


def _from_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise InvalidBase64('"$bytes" is a base64 text')
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise InvalidBase64(f"invalid base64: {error}") from None
