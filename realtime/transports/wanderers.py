"""
Sessions whose polling comes through this process for good, while another one has them.

A load balancer that leads a client's requests to one process may lead them to another one later,
and to that one from then on. Each request costs two messages of the layer then (`relay`), so the
session goes to where its requests are, by the steps of `claims`. Its owner counts them (`courses`),
and says with an answer when it is time.

Such a client knows of nothing: there is no moment at which it lets its requests end. A POST under
way ends before the owner gives the session. A poll that waits there is answered, with nothing; the
next one comes here, and to the session, as does any request that still reaches the old owner. At
any step a failure leaves the client where it is (KEEP).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..identity.scopes import identify
from ..logs import log
from .claims import FAILURES, Claim, Refused
from .departure import PREPARE_POLLING
from .interfaces import Hub
from .polling import PollingWriter

# So many come at a time: when a load balancer changes its mind it does so for many.
MAX_COMING = 16


class Wanderers:
    """The sessions that this hub takes over from others, as their requests come here."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._approached: Counter[str] = Counter()

    def begin(self, owner: str, sid: str, scope: dict[str, Any]) -> None:
        """
        Take a session over from its owner, in a task. `scope` is a request of its client.

        Nothing happens where that cannot be begun now: the owner says so with the next one again.
        """
        if (
            self._hub.draining
            or len(self._coming) >= MAX_COMING
            or sid in self._coming
            or self.approached(sid)
        ):
            return
        task = self._coming[sid] = self._hub.spawn(self._take_over(owner, sid, scope))
        task.add_done_callback(lambda _: self._coming.pop(sid, None))

    async def _take_over(self, owner: str, sid: str, scope: dict[str, Any]) -> None:
        claim = Claim(self._hub, owner, sid)
        try:
            await self._prepare(claim, scope)
            session, unread = await claim.take(PollingWriter())
        except FAILURES as reason:
            self._hub.counters.not_moved += 1
            log(logging.WARNING, "not-moved", **claim.fields(reason))
            return
        finally:
            claim.end()
        # In one go with the arrival: what the client sends here from now on comes behind that.
        inbox = session.require_inbox()
        inbox.put(unread)
        self._hub.spawn(session.read(inbox.receive))

    async def _prepare(self, claim: Claim, scope: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._hub.settings.UPGRADE_TIMEOUT):
                await claim.prepare(PREPARE_POLLING, scope, identify)
        except TimeoutError:
            raise Refused("it was not ready in time") from None

    # A WebSocket of such a client

    @asynccontextmanager
    async def approach(self, sid: str) -> AsyncIterator[None]:
        """
        Let a session go nowhere in the block, in which a WebSocket of it is here. If it is just
        about to, here or from here, the block begins behind that.
        """
        self._approached[sid] += 1
        try:
            if (task := self._coming.get(sid)) is not None:
                await asyncio.wait({task})
            await self._hub.departures.settled(sid)
            yield
        finally:
            self._approached[sid] -= 1
            if not self._approached[sid]:
                del self._approached[sid]

    def approached(self, sid: str) -> bool:
        """Tell whether a WebSocket of a session is here."""
        return sid in self._approached
