"""The log of lost messages: not a line for each of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..logs import write
from ..utils.limits import LOG_INTERVAL, LogLimiter


class LossLog:
    """
    Losses that have one cause, such as one server that was not heard.

    They are logged at once, then at most once in LOG_INTERVAL seconds, with the number since.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._limiter = LogLimiter(loop.time)
        self._untold = 0
        self._fields: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, lost: int, **fields: Any) -> None:
        """Take note of so many lost messages; `fields` tell of these, and are logged with them."""
        self._untold += lost
        self._fields = fields
        if self._limiter.should_log():
            self.tell()
        elif self._timer is None:
            self._timer = self._loop.call_later(LOG_INTERVAL, self._tell_in_turn)

    def _tell_in_turn(self) -> None:
        self._limiter.should_log()  # this line counts as well
        self.tell()

    def tell(self) -> None:
        """Log now what was not told yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._untold:
            write(logging.ERROR, "layer-lost", **self._fields, lost=self._untold)
            self._untold = 0
