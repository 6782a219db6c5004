"""An Engine.IO session on its way to another process, in bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from ..sockets.moving import Shown, SocketForm

# What is told of the client's first request; all else in its scope is middleware's.
_TOLD = frozenset(
    (
        *("type", "http_version", "method", "scheme", "path", "raw_path", "root_path"),
        *("query_string", "headers", "client", "server"),
    )
)
# What servers put into scopes of either kind, and Django's own part.
_KNOWN = _TOLD | {"asgi", "extensions", "state", "subprotocols", "user", "session", "cookies"}


class Place(msgspec.Struct, array_like=True):
    """Where a socket is, and what its client has shown for a login of its own."""

    namespace: str
    sid: str
    rooms: list[str]
    shown: Shown | None = None


class Plan(msgspec.Struct, array_like=True):
    """
    What is to come, or why it is not (`refusal`): where it is `elsewhere`, that server has it.

    `scope` is the client's first request, `added` are the keys that middleware has added to it, and
    `identity` says who the client is, as `recovery.identities.identify_exactly` does.
    """

    refusal: str = ""
    places: list[Place] = []
    scope: dict[str, Any] = {}
    added: list[str] = []
    identity: str = ""
    elsewhere: str = ""


class Luggage(msgspec.Struct, array_like=True):
    """
    A session. `waiting` are packets for the client, each in frames, and `unread` frames of it, both
    in order; a frame is a text or bytes. `had` has the ids of what was done for it last. It was
    `pinged`, or is to be in so many `seconds`.
    """

    sockets: list[SocketForm]
    waiting: list[tuple[Any, ...]]
    unread: list[Any]
    had: list[str]
    entered: bool
    last_ack_id: int
    pinged: bool
    seconds: float


_encoder = msgspec.msgpack.Encoder()
_plans = msgspec.msgpack.Decoder(Plan)
_luggages = msgspec.msgpack.Decoder(Luggage)


def encode(form: Plan | Luggage) -> bytes:
    """Return the bytes of what one process tells another."""
    return _encoder.encode(form)


def decode_plan(body: bytes) -> Plan:
    """Return the plan of some bytes. Raises msgspec.MsgspecError."""
    return _plans.decode(body)


def decode_luggage(body: bytes) -> Luggage:
    """Return the session of some bytes. Raises msgspec.MsgspecError."""
    return _luggages.decode(body)


def describe_scope(scope: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a scope's request, and the keys that middleware has added."""
    told = {key: scope[key] for key in _TOLD if key in scope}
    return told, sorted(str(key) for key in scope.keys() - _KNOWN)


def join_scopes(here: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """
    Return the scope of a client that comes: of its first `request`, elsewhere, with what its
    WebSocket, or its request, `here` has brought beside that.
    """
    told = dict(request)
    told["headers"] = [(name, value) for name, value in request["headers"]]
    for key in ("client", "server"):
        if told.get(key) is not None:
            told[key] = tuple(told[key])
    others = {key: value for key, value in here.items() if key not in _TOLD}
    others.pop("subprotocols", None)
    return {**others, **told}
