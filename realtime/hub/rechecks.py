"""
What clients may, asked now and then: what nobody tells is found within REAUTHORIZE_SECONDS.

All clients are gone through once in that time, a part of them at a time, each with a few queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from ..sockets.socket import Socket
from ..transports.connection import Connection
from .interfaces import Hub
from .reasking import Holder, Reasking, Why, holders, key_of

# As many clients are looked up with one query of each kind.
AT_ONCE = 5_000


class Rechecks:
    """Goes through a hub's clients, again and again."""

    def __init__(self, hub: Hub, reasking: Reasking) -> None:
        self._hub = hub
        self._reasking = reasking

    async def run(self) -> None:
        """Go through them, as long as the hub is there."""
        while True:
            await self._go_through()

    async def _go_through(self) -> None:
        """Go through all once; who comes meanwhile has its turn the next time."""
        connections = list(self._hub.connections.values())
        parts = max(1, -(-len(connections) // AT_ONCE))
        pause = self._reasking.expiries.period / parts
        rest = iter(connections)
        for _ in range(parts):
            await asyncio.sleep(pause)
            if some := [each for each in islice(rest, AT_ONCE) if not each.closed.happened]:
                await self._recheck(some)

    async def _recheck(self, connections: Sequence[Connection]) -> None:
        """Ask for some of them until that can be done."""
        for holder in holders(connections):
            if isinstance(holder, Socket):
                self._reasking.note_login(holder)
        if not self._hub.settings.REAUTHORIZE_SECONDS:
            return
        asked: dict[Holder, Why] = {}
        for holder in holders(connections):
            if key_of(holder) is not None:
                asked[holder] = Why()
            else:
                self._reasking.ask_itself(holder)
        while asked:
            with suppress(Exception):  # which is told
                async with self._reasking.outages.noted():
                    await self._reasking.renew(asked)
                return
