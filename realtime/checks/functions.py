"""Functions that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.checks import CheckMessage, Error, Tags, register
from django.utils.module_loading import import_string

from ..exceptions import ServerError
from ..sockets.messages import Format, encode_ack
from ..sockets.overrides import signature_of
from .settings import usable_settings

HINTS = {
    "PERMISSION": "Write def allowed(request), which returns None, or why it refuses, and give its "
    'dotted path, like "realtime.permissions.staff".',
    "ERROR_ACK": "Write def acknowledge(error), which returns what the client gets, and give its "
    'dotted path, like "realtime.error_answers.acknowledge".',
}


@register(Tags.compatibility)
def check_functions(**kwargs: Any) -> Iterator[CheckMessage]:
    """E013: a setting that names no function which can be called as it will be."""
    settings = usable_settings()
    if settings is None:
        return
    for name, hint in HINTS.items():
        problem = _find_problem(getattr(settings, name), probed=name == "ERROR_ACK")
        if problem is not None:
            yield Error(
                f"REALTIME[{name!r}] {problem}.", hint=hint, obj="REALTIME", id="realtime.E013"
            )


def _find_problem(path: str, *, probed: bool) -> str | None:
    """Return what is wrong with the function at a dotted path, or None."""
    try:
        function = import_string(path)
    except Exception as error:  # a module of the site, which may fail in any way
        return f"cannot be loaded: {error}"
    if not callable(function):
        return f"is no function: {path} is a {type(function).__name__}"
    if iscoroutinefunction(function):
        return f"is an async function, which is not awaited: {path}"
    try:
        signature_of(function).bind("the argument")
    except TypeError as error:
        return f"cannot be called with one argument: {error}"
    except ValueError:
        pass  # one that does not tell what it takes
    return _try(function) if probed else None


def _try(acknowledge: Any) -> str | None:
    """Return why an error cannot be acknowledged by this function, or None."""
    try:
        answer = acknowledge(ServerError())
        encode_ack(Format.SOCKETIO, "/", 0, list(answer) if isinstance(answer, tuple) else [answer])
    except Exception as error:
        return f"fails for a server error: {type(error).__name__}: {error}"
    return None
