"""What clients are told of errors: in an acknowledgement, and when they connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string

from .conf import get_settings
from .exceptions import ClientError, EventError


def acknowledge(error: EventError) -> Any:
    """Return what acknowledges an event with an error: the default of ``ERROR_ACK``."""
    return {"error": {"code": error.code, "message": error.message, "data": error.data}}


def find_shape() -> Callable[[EventError], Any]:
    """Return the function that ``REALTIME["ERROR_ACK"]`` names. Raises ImportError."""
    shape: Callable[[EventError], Any] = import_string(get_settings().ERROR_ACK)
    return shape


def connect_data(error: ClientError) -> Any:
    """
    Return the `data` of a connect error, where a code travels too: Socket.IO's clients hand their
    code a message and data, and nothing else.
    """
    if error.code is None or error.code == EventError.default_code:
        return error.data
    if error.data is None:
        return {"code": error.code}
    data = error.data if isinstance(error.data, dict) else {"data": error.data}
    return {**data, "code": error.code}
