"""
The groups that this process is in: what is wanted, what the layer knows, and its refreshing.

One at a time speaks to the layer, so that no call overtakes another about the same group: the loop
that carries out changes and renews old memberships, or the restoring after an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from ..logs import log
from .envelopes import HUBS
from .layer_connection import CALL_TIMEOUT, PARALLEL, LayerConnection, LayerRefused

# How long a socket's start waits for its groups.
SUBSCRIBE_TIMEOUT = 5.0

# Memberships are renewed at least so often, and four times in the layer's `group_expiry`.
MAX_AGE = 3600.0


class Memberships:
    """Brings the layer's groups to what is wanted, in the order of the wishes."""

    def __init__(self, link: LayerConnection) -> None:
        self.channel = ""  # set before anything is carried out
        self._past: list[str] = []
        self._speaking = asyncio.Lock()
        self._limit: asyncio.Timeout | None = None  # of the call that is on its way
        self._link = link
        self._wanted: set[str] = set()
        self._joined: dict[str, float] = {}  # and when the layer was told last
        # Groups whose membership is to change, each with the number of its first open change.
        self._changed: dict[str, int] = {}
        self._sequence = 0
        self._old: dict[str, None] = {}  # memberships to be renewed
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def add(self, group: str) -> None:
        """Ask for a group's messages from now on; `flush` waits until that is in effect."""
        self._wanted.add(group)
        self._change(group)

    def discard(self, group: str) -> None:
        """Ask for a group's messages no more."""
        self._wanted.discard(group)
        self._change(group)

    def wants(self, group: str) -> bool:
        """Tell whether a group's messages are asked for."""
        return group in self._wanted

    def is_coming(self, group: str) -> bool:
        """Tell whether a group's messages are asked for, and do not come yet."""
        return group in self._wanted and group not in self._joined

    def is_leaving(self, group: str) -> bool:
        """Tell whether the layer may be between two memberships of a group, or behind the last."""
        return group not in self._joined or group in self._changed

    def _change(self, group: str) -> None:
        self._sequence += 1
        self._changed.setdefault(group, self._sequence)
        self._wake.set()

    async def flush(self) -> None:
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
        """Carry out changes, and renew memberships that are old, for ever: a layer forgets them."""
        looked = self._loop.time()
        while True:
            while self._changed:
                await self._apply(next(iter(self._changed)))
                self.release()
            age = self._max_age()
            if self._loop.time() - looked >= age / 4:
                looked = self._loop.time()
                self._old.update(dict.fromkeys(self._find_old(age)))
            if self._old:
                await self._renew(self._old.popitem()[0])
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(looked + age / 4):
                    await self._wake.wait()

    def _max_age(self) -> float:
        expiry = getattr(self._link.layer, "group_expiry", None) or MAX_AGE
        return min(MAX_AGE, float(expiry) / 4)

    def _find_old(self, age: float) -> list[str]:
        limit = self._loop.time() - age
        return [group for group, since in self._joined.items() if since < limit]

    async def _renew(self, group: str) -> None:
        """Tell the layer of a group again, unless it was left meanwhile."""
        if group not in self._wanted or group not in self._joined:
            return
        try:
            await self._link.call(lambda: self._speak(group, True))
        except LayerRefused as error:
            log(logging.ERROR, "layer-refused", group=group, error=error)

    async def _apply(self, group: str) -> None:
        """Bring one group's membership to what is wanted, unless that changes meanwhile."""
        wanted = group in self._wanted
        if wanted != (group in self._joined):
            try:
                await self._link.call(lambda: self._speak(group, wanted))
            except LayerRefused as error:
                log(logging.ERROR, "layer-refused", group=group, error=error)
                wanted = group in self._wanted
        if wanted == (group in self._wanted):
            self._changed.pop(group, None)

    async def _speak(self, group: str, wanted: bool) -> None:
        """
        Tell the layer of a group (`_tell`) when nobody else speaks to it, and until an outage.
        """
        async with self._speaking:
            try:
                async with asyncio.timeout(CALL_TIMEOUT) as self._limit:
                    await self._tell(group, wanted)
            finally:
                self._limit = None

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
        if down and self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._loop.time())  # restoring need not wait for that call
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

        async with self._speaking:
            # Who answers there is back.
            groups = sorted(self._wanted, key=lambda group: group == HUBS)
            await self._each(groups, tell)
            if anew:
                self._past.clear()

    async def leave_all(self) -> None:
        """Leave all groups; raises what the layer raises."""
        self._wanted.clear()
        async with self._speaking:
            await self._each(list(self._joined), partial(self._tell, wanted=False))

    async def _each(self, groups: list[str], tell: Callable[[str], Awaitable[None]]) -> None:
        """Await `tell` for each group, several side by side."""
        for start in range(0, len(groups), PARALLEL):
            await asyncio.gather(*map(tell, groups[start : start + PARALLEL]))
