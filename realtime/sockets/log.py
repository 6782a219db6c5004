"""What the log tells of one socket."""

from __future__ import annotations

import logging
from typing import Any

from ..exceptions import EventError
from ..execution.calls import raise_if_stopping
from ..identity.logins import user_key
from ..logs import is_logged, write
from .overrides import path_of
from .whose import Whose


class SocketLog(Whose):
    """The part of a socket that writes its lines in the log."""

    __slots__ = ("_is_told",)

    namespace: str
    sid: str

    def __init__(self) -> None:
        super().__init__()
        # Whether the log has a line of the socket's start.
        self._is_told = False

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """
        Log something about this socket, unless its client caused too much of it; tell whether that
        was done.
        """
        return is_logged(level) and self.connection.log(level, what, **self._described(), **fields)

    def log_connect(self, **fields: Any) -> None:
        """Log that the client is let in."""
        self._is_told = self.log(logging.INFO, "connect", **fields)

    def log_end(self, reason: str) -> None:
        """Log that the socket is gone, wherever the log says that it came."""
        if self._is_told:
            write(logging.INFO, "disconnect", **self._described(), reason=reason)
        else:
            self.log(logging.INFO, "disconnect", reason=reason)

    def log_error(self, hook: str) -> None:
        """Log the error that is being handled, of a hook."""
        consumer = path_of(type(self.consumer))
        self.log(logging.ERROR, "error", event=hook, consumer=consumer, exc_info=True)

    def log_failure(self, what: str, error: BaseException) -> None:
        """Log what the site's code has raised, unless that is the end of the hub."""
        if isinstance(error, EventError):
            self.log(logging.WARNING, "event-error", event=what, message=error.message)
        else:
            raise_if_stopping(error, self.hub)
            self.log_error(what)

    def _described(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "sid": self.sid,
            "user": user_key(self.user) or "-",
            "transport": self.connection.transport,
        }
