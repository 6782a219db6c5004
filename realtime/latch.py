"""An event that happens once."""

from __future__ import annotations

import asyncio


class Latch:
    """
    Like `asyncio.Event`, but it is never cleared, and small: there is one for each connection.
    `happened` tells whether it has.
    """

    __slots__ = ("_waiters", "happened")

    def __init__(self) -> None:
        self.happened = False
        self._waiters: list[asyncio.Future[None]] | None = None

    def set(self) -> None:
        """Let it happen: whoever waits goes on."""
        self.happened = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until it has happened."""
        if self.happened:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters is not None:
                self._waiters.remove(waiter)
