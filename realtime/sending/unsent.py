"""What the log tells of events and commands that reached nobody: not a line for each of them."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import suppress
from typing import Any

from ..exceptions import RealtimeError
from ..logs import write
from ..outside.process import find_hub
from ..utils.limits import LOG_INTERVAL, LogLimiter


class Unsent:
    """
    Counts what was not sent, from any thread of a process.

    It is logged at once, then at most once in LOG_INTERVAL seconds, with the number since.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # which a signal's handler may take as well
        self._limiter = LogLimiter()
        self._untold = 0
        self._level = 0
        self._error: Exception | None = None
        self._fields: dict[str, Any] = {}
        self._timer: threading.Timer | None = None

    def note(self, level: int, error: Exception, fields: dict[str, Any]) -> None:
        """Take note of one more; `fields` tell of it, and are logged with it."""
        with self.lock:
            self._untold += 1
            self._level, self._error, self._fields = level, error, fields
            if (hub := find_hub()) is not None:
                hub.counters.unsent += 1
            now = self._limiter.should_log()
            if not now and (self._timer is None or not self._timer.is_alive()):
                self._timer = threading.Timer(LOG_INTERVAL, self._tell_in_turn)
                self._timer.daemon = True
                with suppress(RuntimeError):  # while the process ends: `tell` is called then
                    self._timer.start()
        if now:
            self.tell()

    def _tell_in_turn(self) -> None:
        with self.lock:
            self._timer = None
            self._limiter.should_log()  # this line counts as well
        self.tell()

    def tell(self) -> None:
        """Log now what was not told yet."""
        with self.lock:
            lost, self._untold = self._untold, 0
            level, error, fields = self._level, self._error, self._fields
            self._error = None
        if lost:
            traceback = None if isinstance(error, RealtimeError) else error
            write(level, "unsent", **fields, lost=lost, exc_info=traceback)


_unsent = Unsent()
atexit.register(_unsent.tell)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_unsent.lock.acquire,
        after_in_parent=_unsent.lock.release,
        after_in_child=_unsent.lock.release,
    )


def note(level: int, error: Exception, **fields: Any) -> None:
    """Count and log an event, or a command to sockets, that was not sent."""
    _unsent.note(level, error, {**fields, "error": f"{type(error).__name__}: {error}"})
