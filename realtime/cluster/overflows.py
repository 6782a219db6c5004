"""What this process has had no room for: others leave notes of it, which are looked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ..logs import log
from ..utils.limits import LogLimiter
from .capacity import UNNUMBERED, forget_notes, read_notes
from .layer_connection import CALL_TIMEOUT, LayerConnection
from .peers import BEAT

# Of the time that messages wait in the layer before they expire, how much a process may stand still
# before some are taken for lost: they are not read all at once when it goes on.
EXPIRED = 0.5


class Overflows:
    """
    Looks for notes. `lose(lanes, unnumbered, since)` is told of what was lost since a time of the
    event loop's: of which lanes (None: any), and how many messages of those that have no numbers.
    """

    def __init__(
        self, link: LayerConnection, lose: Callable[[Iterable[str | None], int, float], None]
    ) -> None:
        self.channel = ""
        self._link = link
        self._lose = lose
        self._loop = asyncio.get_running_loop()
        self._looked = self._loop.time()
        self._looking = asyncio.Lock()
        self._faults = LogLimiter()

    async def run(self) -> None:
        """Look every BEAT seconds, for ever."""
        while True:
            await asyncio.sleep(BEAT)
            await self.look()

    async def look(self) -> None:
        """Tell of what was noted so far, as far as the layer answers."""
        asked = self._loop.time()
        async with self._looking:
            if self._looked >= asked:
                return
            if not self._link.up.is_set():  # what is lost meanwhile is told when it is back
                self._looked = asked
                return
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    await self._look()
            except Exception as error:
                if await self._link.examine(error) and self._faults.should_log():
                    log(logging.ERROR, "layer-error", error=repr(error))

    async def _look(self) -> None:
        layer, since, now = self._link.layer, self._looked, self._loop.time()
        notes = await read_notes(layer, self.channel)
        self._looked = now
        if now - since > EXPIRED * getattr(layer, "expiry", float("inf")):
            self._lose([None], 0, since)
        if notes:
            lanes = [lane for lane in notes if lane != UNNUMBERED]
            self._lose(lanes, notes.get(UNNUMBERED, 0), since)
            await forget_notes(layer, self.channel, notes)
