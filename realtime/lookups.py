"""Where a hub looks up sessions and users: a few threads, with the connections that they have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from django.db import close_old_connections, reset_queries

from .threads import Result, Threads, with_connections

# Threads for lookups. There are more while the database is slow, or some of them are stuck.
SIZE = 4

# How long a thread keeps its connection while it has nothing to look up, and how long before it
# looks whether to keep it otherwise.
LINGER = 0.1
KEEP = 1.0

# How long the hub's end waits for the last lookup.
CLOSE_TIMEOUT = 1.0


class Lookups:
    """
    Calls functions that read from the database, at most `most` at a time.

    Connections are kept as Django keeps them between requests: `CONN_MAX_AGE` and
    `CONN_HEALTH_CHECKS` hold. Lookups that follow each other closely (within `LINGER`, for up to
    `KEEP`) count as one request there. So one connection serves many clients that come at once,
    and with a `CONN_MAX_AGE` of 0 it is closed right after the last of them. A lookup that finds
    the connection broken is made again with a new one.
    """

    def __init__(self, most: int) -> None:
        self.threads = Threads(
            "realtime-lookup", size=min(SIZE, most), most=most, linger=LINGER, rest=_rest
        )

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Return or raise what a function does, in the context of the caller."""
        return await self.threads.run(_call, copy_context().run, function, *args)

    async def close(self) -> None:
        """End the threads, which closes their connections."""
        await self.threads.close(CLOSE_TIMEOUT)


class _Rested(threading.local):
    """When a thread looked last at its connections."""

    at = 0.0


_rested = _Rested()


def _rest() -> None:
    """Do with this thread's connections what Django does between requests."""
    _rested.at = time.monotonic()
    reset_queries()
    close_old_connections()


def _call(function: Callable[..., Result], *args: Any) -> Result:
    if time.monotonic() - _rested.at > KEEP:
        _rest()
    return with_connections(function, *args)
