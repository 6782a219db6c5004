"""Acknowledgements as they are kept for an event that comes again."""

from __future__ import annotations

from typing import Any

import msgspec

from ..exceptions import EventError, OnceError, ServerError
from .messages import as_arguments, decode_args, encode_args

# How large one may be, in bytes.
MAX_ANSWER = 65_536

# What one begins with: the arguments of an acknowledgement, the code, message and data of an
# EventError, or nothing, where the answer was too large.
_ANSWER, _REFUSAL, _LOST = "answer", "refusal", "lost"

LOST = msgspec.msgpack.encode((_LOST, "", ()))


def encode_result(result: Any) -> bytes:
    """Return what a handler has returned. Raises TypeError or ValueError for what has no JSON."""
    return msgspec.msgpack.encode((_ANSWER, *encode_args(as_arguments(result))))


def encode_refusal(error: EventError) -> bytes:
    """Return an error that a handler has raised, without data that cannot be sent."""
    told = ([error.code, error.message, error.data], [error.code, error.message, None])
    for args in (*told, [ServerError.default_code, ServerError.default_message, None]):
        try:
            return msgspec.msgpack.encode((_REFUSAL, *encode_args(args)))
        except Exception:  # of the site's own objects, too
            continue
    return LOST


def decode_result(stored: bytes) -> Any:
    """Return what a handler has returned. Raises the EventError that it has raised."""
    kind, text, attachments = msgspec.msgpack.decode(stored)
    if kind == _LOST:
        raise OnceError(
            "this was done, and its answer was too large to be kept", code="answer_lost"
        )
    args = decode_args(text, tuple(attachments))
    if kind == _REFUSAL:
        code, message, data = args
        raise EventError(message, data, code=code)
    if not args:
        return None
    return args[0] if len(args) == 1 and args[0] is not None else tuple(args)
