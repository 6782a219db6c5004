"""A one-shot event: it happens once."""

from __future__ import annotations

import asyncio


class OneShotEvent:
    """
    Like `asyncio.Event`, but it is never cleared, and small: there is one for each connection.
    `happened` tells whether it has.
    """

    __slots__ = ("_waiters", "happened")

    def __init__(self) -> None:
        self.happened = False
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def set(self) -> None:
        """Let what is waited for happen: whoever waits goes on."""
        self.happened = True
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Return what may be awaited until it has happened."""
        waiter = asyncio.get_running_loop().create_future()
        if self.happened:
            waiter.set_result(None)
        else:  # those that were cancelled wait no more
            self._waiters = (*(each for each in self._waiters if not each.done()), waiter)
        return waiter
