"""The thread in which presence talks to the database, with a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..execution.threads import Result, Threads, with_connections


class DatabaseThread(Threads):
    """
    Calls functions in one thread, in order. Its connection stays open between them.

    Where the connection turns out to be broken, they are called once more with a new one.
    """

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        return await super().run(with_connections, function, *args)
