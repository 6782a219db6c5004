"""The groups that this process is in: what is wanted, what the layer knows, and its refreshing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from ..logs import log
from .envelopes import HUBS
from .link import CALL_TIMEOUT, PARALLEL, LayerRefused, Link

# How long a socket's start waits for its groups.
SUBSCRIBE_TIMEOUT = 5.0

# Memberships are renewed at least so often, and four times in the layer's `group_expiry`.
MAX_AGE = 3600.0


class Memberships:
    """Brings the layer's groups to what is wanted, in the order of the wishes."""

    def __init__(self, link: Link) -> None:
        self.channel = ""  # set before anything is carried out
        self._past: list[str] = []
        self._link = link
        self._wanted: set[str] = set()
        self._joined: dict[str, float] = {}  # and when the layer was told last
        # Groups whose membership is to change, each with the number of its first open change.
        self._changed: dict[str, int] = {}
        self._sequence = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def add(self, group: str) -> None:
        """Ask for a group's messages from now on; `settled` tells when that is in effect."""
        self._wanted.add(group)
        self._change(group)

    def discard(self, group: str) -> None:
        """Ask for a group's messages no more."""
        self._wanted.discard(group)
        self._change(group)

    def _change(self, group: str) -> None:
        self._sequence += 1
        self._changed.setdefault(group, self._sequence)
        self._wake.set()

    async def settled(self) -> None:
        """
        Wait until the memberships asked for so far are in effect.

        A layer that is slow delays a client by SUBSCRIBE_TIMEOUT and no longer, one that is known
        to be down not at all: its memberships come back with it.
        """
        if not self._changed or not self._link.up.is_set():
            return
        waiter = self._loop.create_future()
        self._waiters.append((self._sequence, waiter))
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                await waiter
        except TimeoutError:
            log(logging.WARNING, "layer-slow", waiting=len(self._changed))

    async def run(self) -> None:
        """Carry out changes, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed:
                await self._apply(next(iter(self._changed)))
                self.release()

    async def _apply(self, group: str) -> None:
        """Bring one group's membership to what is wanted, unless that changes meanwhile."""
        wanted = group in self._wanted
        if wanted != (group in self._joined):
            try:
                await self._link.call(lambda: self._tell(group, wanted))
            except LayerRefused as error:
                log(logging.ERROR, "layer-refused", group=group, error=error)
                wanted = group in self._wanted
        if wanted == (group in self._wanted):
            self._changed.pop(group, None)

    async def _tell(self, group: str, wanted: bool) -> None:
        if wanted:
            await self._link.layer.group_add(group, self.channel)
            self._joined[group] = self._loop.time()
        else:
            await self._link.layer.group_discard(group, self.channel)
            self._joined.pop(group, None)

    def release(self) -> None:
        """Wake whoever waits only for changes that are done, or for a layer that is down."""
        down = not self._link.up.is_set()
        oldest = next(iter(self._changed.values()), self._sequence + 1)
        while self._waiters and (down or self._waiters[0][0] < oldest):
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def move(self) -> None:
        """Let go of the channel; the next one is to be set before groups are restored for it."""
        self._past.append(self.channel)
        self.channel = ""

    async def restore(self, *, anew: bool) -> None:
        """
        Tell the layer of every group again, since it may have forgotten them; raises what it
        raises. `anew` leaves each group first, for layers that take a known member for granted,
        and for those that keep a place for a channel that nobody reads any more.
        """

        async def tell(group: str) -> None:
            async with asyncio.timeout(CALL_TIMEOUT):
                for channel in (self.channel, *self._past) if anew else ():
                    await self._link.layer.group_discard(group, channel)
                if group in self._wanted:
                    await self._tell(group, True)

        groups = sorted(self._wanted, key=lambda group: group == HUBS)  # who answers there is back
        await self._each(groups, tell)
        if anew:
            self._past.clear()

    async def keep(self) -> None:
        """Renew the memberships that are old, for ever: a layer forgets them."""
        expiry = getattr(self._link.layer, "group_expiry", None) or MAX_AGE
        age = min(MAX_AGE, expiry / 4)
        while True:
            await asyncio.sleep(age / 4)
            limit = self._loop.time() - age
            for group in [group for group, since in self._joined.items() if since < limit]:
                if group in self._wanted:
                    with contextlib.suppress(LayerRefused):
                        await self._link.call(partial(self._tell, group, True))

    async def leave_all(self) -> None:
        """Leave all groups; raises what the layer raises."""
        self._wanted.clear()
        await self._each(list(self._joined), partial(self._tell, wanted=False))

    async def _each(self, groups: list[str], tell: Callable[[str], Awaitable[None]]) -> None:
        """Await `tell` for each group, several side by side."""
        for start in range(0, len(groups), PARALLEL):
            await asyncio.gather(*map(tell, groups[start : start + PARALLEL]))
