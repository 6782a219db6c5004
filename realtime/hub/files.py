"""Whether this process may open more files, as each connection of a client is one."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable

from ..logs import log

# Seconds from one check to the next, and so from line to line.
INTERVAL = 1.0


class Files:
    """
    Looks whether a file could be opened. `connections()` is how many the process serves.

    Servers refuse clients without a word of their own where none can: uvicorn on asyncio prints a
    traceback a second, on uvloop and daphne nothing.
    """

    def __init__(self, connections: Callable[[], int]) -> None:
        self.exhausted = False
        self._connections = connections

    async def run(self) -> None:
        """Check every INTERVAL seconds, for ever."""
        while True:
            self.check()
            await asyncio.sleep(INTERVAL)

    def check(self) -> None:
        """Try to open a file; log that clients are refused, and when that is over."""
        error = _try_to_open()
        if error is not None:
            log(
                logging.ERROR,
                "files-exhausted",
                error=error,
                connections=self._connections(),
                limit=_limit(),
                hint="new clients are refused; raise LimitNOFILE (ulimit -n)",
            )
        elif self.exhausted:
            log(logging.WARNING, "files-free", connections=self._connections())
        self.exhausted = error is not None


def _try_to_open() -> str | None:
    """Return the error's name where this process, or the machine, has no free descriptor."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return errno.errorcode[error.errno]
    return None


def _limit() -> int | str:
    """Return how many files this process may have open, where the system tells."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return "-"
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
