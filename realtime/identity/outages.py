"""
Clients whom a database that is away keeps out: what they are told, and what the log says of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError

from ..exceptions import ServerUnavailable
from ..logs import describe, log
from ..utils.limits import LogLimiter

# What a database raises that does not answer, whatever it is asked.
ERRORS = (OperationalError, InterfaceError)

# What a client's connect error says.
MESSAGE = "try again later"
DATA = {"code": ServerUnavailable.status, "retry_after": ServerUnavailable.retry_after}


class Log:
    """The lines of this process about clients who were turned away: one a second, with a count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = LogLimiter(clock)
        self._untold = 0

    def note(
        self, error: BaseException, *, step: str, exc_info: bool = False, **fields: Any
    ) -> None:
        """Note that a client was turned away at a `step`; the next line tells how many were."""
        self._untold += 1
        if self._limiter.should_log() and log(
            logging.ERROR,
            "lookup-failed",
            step=step,
            error=describe(error),
            times=self._untold,
            exc_info=exc_info,
            **fields,
        ):
            self._untold = 0


lines = Log()


def name_timeout(error: BaseException, seconds: float) -> BaseException:
    """Return an error, or in the place of a TimeoutError one that says how long was waited."""
    if not isinstance(error, TimeoutError):
        return error
    return TimeoutError(f"no answer within {seconds} seconds")
