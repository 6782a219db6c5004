"""The other hubs, as far as their beats tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .envelopes import Beat

# Seconds from beat to beat, and until a hub that is not heard is taken for dead.
BEAT = 2.0
EXPIRY = 3 * BEAT

# Hubs at a time: more would do nothing but greet each other, and are made up.
MAX_PEERS = 1_000

# Ids of hubs, past ones too, that are remembered.
MAX_KNOWN = 10_000

# When a hub has left of which only others have told.
HEARSAY = float("-inf")

# How long a hub that is there may be unheard of here, since others have told of it.
ARRIVAL = 1.0


class Peer:
    """
    Another hub: its channel, its last report, and when it was heard last.

    `scattered` says whether other hubs may have clients of it; None where nobody has told.
    """

    __slots__ = ("channel", "heard", "report", "scattered", "server")

    def __init__(self, server: str) -> None:
        self.server = server
        self.channel = ""
        self.heard = 0.0
        self.report: dict[str, Any] = {}
        self.scattered: bool | None = None


class Peers:
    """
    Who is there. `gone(server, left)` is called for each that left, or died otherwise.

    `heard_self` is when this hub's own beat came back last: while it does not, the layer is at
    fault, and nobody is taken for dead.
    """

    def __init__(self, now: Callable[[], float], gone: Callable[[str, bool], None]) -> None:
        self._now = now
        self._gone = gone
        self._peers: dict[str, Peer] = {}
        self._known: dict[str, float | None] = {}  # and when it has left
        self._told: dict[str, float] = {}  # of whom only others have told, and when
        self._arrived = asyncio.Event()
        self.heard_self = now()
        # When the last one that truly did was sent: others may get their time anew without that.
        self.echoed = self.heard_self

    def __contains__(self, server: str) -> bool:
        return server in self._peers

    def __len__(self) -> int:
        return len(self._peers)

    @property
    def met(self) -> bool:
        """Whether there is, or was, any peer."""
        return bool(self._known)

    def knew(self, server: str) -> bool:
        """Tell whether this id is, or was, a peer's."""
        return server in self._known

    def names(self) -> list[str]:
        """Return the ids of all peers."""
        return list(self._peers)

    def reports(self) -> dict[str, dict[str, Any]]:
        """Return the last report of every peer that has told any, by its server's id."""
        return {peer.server: peer.report for peer in self._peers.values() if peer.report}

    def channel(self, server: str) -> str | None:
        """Return the channel of a peer, or None for one that is not there."""
        peer = self._peers.get(server)
        return peer.channel if peer else None

    def direct_channel(self, server: str) -> str | None:
        """Return the channel of a peer that has all of its clients itself, or else None."""
        peer = self._peers.get(server)
        return peer.channel if peer and peer.scattered is False else None

    def note_scattered(self, server: str) -> None:
        """Take note that other hubs are about to have clients of a peer."""
        if (peer := self._peers.get(server)) is not None:
            peer.scattered = True

    def learn(self, server: str) -> None:
        """Take note that this id is, or was, a hub's."""
        if server not in self._known:
            self._remember(server, left=HEARSAY)
            self._told[server] = self._now()

    def has_met(self, server: str) -> bool:
        """Tell whether a hub is, or was, a peer: not only whether others have told of it."""
        return server in self._known and server not in self._told

    def expected_until(self, server: str) -> float:
        """
        Return until when a hub may be heard for the first time, by what is known of it alone: one
        that is, or was, a peer may not. One of which others have told for long would have been.
        """
        if server in self._told:
            return self._told[server] + BEAT + ARRIVAL
        return HEARSAY if server in self._known else self._now() + ARRIVAL

    def heard(self, beat: Beat) -> None:
        """
        Take note of a beat.

        One that has left is not back for its last beats, which are late; but one that goes on has
        not left at all.
        """
        if beat.leaving:
            self._remember(beat.server, left=self._now())
            self._drop(beat.server, left=True)
            return
        left = self._known.get(beat.server)
        if left is not None and self._now() - left <= EXPIRY:
            return
        peer = self._peers.get(beat.server)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                return
            peer = self._peers[beat.server] = Peer(beat.server)
            self._remember(beat.server, left=None)
            self._arrived.set()  # for who waits now; who waits later waits for the next one
            self._arrived = asyncio.Event()
        peer.channel, peer.heard = beat.channel, self._now()
        if beat.report:
            peer.report = beat.report
            # What was sent before a hub scattered may be late.
            peer.scattered = bool(peer.scattered or beat.report.get("scattered"))
            for server in (*beat.report.get("adopted", ()), *beat.report.get("heir_of", ())):
                self.learn(server)

    async def meet(self, server: str, until: float) -> bool:
        """Tell whether a hub is there, or is heard of before a time of the event loop's."""
        while server not in self._peers:
            if not await self.wait_for_more(until):
                return False
        return True

    async def wait_for_more(self, until: float) -> bool:
        """Tell whether any hub is heard for the first time before a time of the event loop's."""
        try:
            async with asyncio.timeout_at(until):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def _remember(self, server: str, left: float | None) -> None:
        self._known[server] = left
        self._told.pop(server, None)
        while len(self._known) > MAX_KNOWN:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._told.pop(oldest, None)
            if oldest in self._peers and len(self._peers) < MAX_KNOWN:
                self._known[oldest] = None  # who is there is not forgotten

    def heard_own(self, sent: float | None = None) -> None:
        """
        Take note of this hub's own beat, which came back through the layer, and when it was sent.

        After a silence of the layer all others get their time anew.
        """
        if self.deaf:
            self.grant_time()
        self.heard_self = self._now()
        self.echoed = max(self.echoed, self.heard_self if sent is None else sent)

    def grant_time(self) -> None:
        """Give everybody their time anew, after what was not their fault."""
        self.heard_self = self._now()
        for peer in self._peers.values():
            peer.heard = self.heard_self

    @property
    def deaf(self) -> bool:
        """Whether this hub has not heard itself for so long that it may hear nobody."""
        return self._now() - self.heard_self > EXPIRY

    def expire(self) -> None:
        """Drop those that were not heard for EXPIRY seconds."""
        now = self._now()
        if now - self.heard_self > 2 * BEAT:
            return
        for peer in [peer for peer in self._peers.values() if now - peer.heard > EXPIRY]:
            self._drop(peer.server, left=False)

    def _drop(self, server: str, left: bool) -> None:
        if self._peers.pop(server, None) is not None:
            self._gone(server, left)
