"""
Clients that have moved from server to server, and what is on its way to them.

A sid names one server for good: the client's home. What is for one client goes to its home's group,
which every hub is in that has clients of it, so who sends need not know where each one is. The home
knows it, for questions, and for what was sent while the client moved.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from ..cluster.addressing import target_of
from ..cluster.cluster import Cluster
from ..cluster.envelopes import Command, Emit, Forward, Moved
from ..cluster.reports import MAX_SERVERS
from ..cluster.sids import server_of
from ..cluster.standalone import LocalCluster
from ..cluster.targets import Target
from ..execution.tasks import Tasks
from . import deduplication
from .deduplication import Deduplicator, past
from .registry import Registry

# How often a message may be sent on after a client that moves again and again.
MAX_HOPS = 8

# Clients elsewhere that are remembered before those of dead servers are looked for.
MANY = 1_000


class Away(NamedTuple):
    """
    Where a client is now, and since when this hub has sent it there. What has come here since
    `heard`, in its last stay or behind that, it has, or it was sent on. `first` is when the first
    of its stays began.
    """

    server: str
    since: float
    heard: float
    first: float


class Stay(NamedTuple):
    """
    Since when a client of another server, or one that is back, is here, or is expected, and by how
    many; and since when it was for the `first` time, where it had been here before. One that is
    `wanted` is here, but another hub is about to have it.
    """

    since: float
    first: float
    here: bool = False
    expecting: int = 1
    wanted: bool = False


class Hub(Protocol):
    """What is needed of the hub."""

    server_id: str
    loop: asyncio.AbstractEventLoop
    services: Tasks
    news: dict[str, Any]

    @property
    def cluster(self) -> Cluster | LocalCluster:
        """The other servers."""

    @property
    def registry(self) -> Registry:
        """The sockets of this process."""


class Moves:
    """
    Which clients of this server are elsewhere, and which of other servers are here.

    `scattered` says whether any client of this server may ever be elsewhere.
    """

    def __init__(self, hub: Hub, scattered: bool) -> None:
        self.scattered = scattered
        self._scattering: asyncio.Task[Any] | None = None
        self._hub = hub
        self._given = False  # whether any client of this server has moved, or is about to
        self._away: dict[str, Away] = {}
        self._stays: dict[str, Stay] = {}
        self._homes: Counter[str] = Counter()  # other servers, and how many of their clients
        self._left: dict[str, float] = {}  # clients of other servers that moved on, and until when
        self._seen = Deduplicator(hub.loop.time, self._look_later)
        self._timer: asyncio.TimerHandle | None = None
        self._limit = MANY
        hub.news["scattered"] = lambda: self.scattered
        hub.news["adopted"] = lambda: list(self._homes)[-MAX_SERVERS:]
        hub.news["heir_of"] = hub.cluster.claimed

    # Clients that come

    def expect(self, sid: str) -> None:
        """
        Ask for what is for a client that another hub is about to give away.

        `cluster.flush_local` and then `cluster.fence` wait until that is in effect for all hubs:
        what the other hub does not get before it gives the client away comes here.
        """
        if (stay := self._stays.get(sid)) is not None:
            self._stays[sid] = stay._replace(expecting=stay.expecting + 1)
            return
        now, away = self._hub.loop.time(), self._away.get(sid)
        self._stays[sid] = Stay(now, now if away is None else away.first)
        self._seen.watch(sid)
        if self._left.pop(sid, None) is None:
            self._count(sid)

    def give_up(self, sid: str) -> None:
        """Take note that a client that was expected does not come: not to who expected it."""
        stay = self._stays.get(sid)
        if stay is None:
            return
        if stay.here or stay.expecting > 1:
            self._stays[sid] = stay._replace(expecting=max(0, stay.expecting - 1))
            return
        del self._stays[sid]
        if sid in self._away and not self._is_own(sid):
            self._left[sid] = self._hub.loop.time() + deduplication.GRACE
        else:
            self._discount(sid)

    def adopt(self, sid: str) -> None:
        """Take note that a client is here now, and tell its home."""
        self.expect(sid)
        self._away.pop(sid, None)
        self._stays[sid] = self._stays[sid]._replace(here=True, expecting=0, wanted=False)
        self._seen.watch(sid)
        self._tell_home(sid, here=True)

    def note_had(self, sid: str, ids: Iterable[str]) -> None:
        """Take note of events that a client has got where it was, and that may come once more."""
        self._seen.note_had(sid, ids)

    def had(self, sid: str, id: str) -> bool:
        """Tell whether a client has got what has this id where it was."""
        return sid in self._seen.who_had(id)

    # Clients that go

    async def scatter(self) -> None:
        """
        Wait until no hub takes it for granted any more that all clients of this server are here.

        To be awaited before a client of this server is given away.
        """
        if self._scattering is None:
            if self.scattered:
                return
            self.scattered = True
            self._scattering = self._hub.services.spawn(self._hub.cluster.scatter())
        await asyncio.shield(self._scattering)

    def want(self, sid: str) -> None:
        """
        Take note that another hub is about to have a client: what is for it, or asked of it, here
        is to be heard there too from now on.
        """
        if (stay := self._stays.get(sid)) is not None:
            self._stays[sid] = stay._replace(wanted=True)
        elif self._is_own(sid):
            self._given = True

    def note(self, sid: str, server: str) -> None:
        """Take note that a client is given to another hub."""
        stay, before = self._stays.pop(sid, None), self._away.get(sid)
        now = self._hub.loop.time()
        # Without either it was here from its start.
        heard, first = 0.0, 0.0
        if stay is not None:
            heard, first = stay.since, stay.first
        elif before is not None:
            heard, first = before.heard, before.first
        if self._is_own(sid):
            self._given = True
        elif stay is not None:
            self._left.pop(sid, None)
            self._left[sid] = now + deduplication.GRACE  # what is on its way here is sent on
        else:
            return
        self._away[sid] = Away(server, now, heard, first)
        if len(self._away) > self._limit:
            self._forget_dead()
        self._look_later()

    def forget(self, sid: str) -> None:
        """Take note that a client is gone for good; one that never moved may be given too."""
        self._away.pop(sid, None)
        if self._stays.pop(sid, None) is not None:
            self._discount(sid)
            self._tell_home(sid, here=False)

    # Where they are

    def where(self, sid: str) -> str | None:
        """Return the other hub that a client is at now, or None: it is here, or nobody knows."""
        away = self._away.get(sid)
        return None if away is None else away.server

    def is_here(self, sid: str) -> bool:
        """Tell whether a client, if there is one, can only be at this hub, and stays there."""
        if self._stays and (stay := self._stays.get(sid)) is not None:
            return stay.here and not stay.wanted
        if not sid.startswith(self._hub.server_id):  # most are no sids, but rooms
            return False
        if sid in self._hub.registry.sockets:
            return True
        return not self._given and self._is_own(sid)

    def _is_own(self, sid: str) -> bool:
        return server_of(sid) == self._hub.server_id

    # What comes

    @property
    def active(self) -> bool:
        """Whether anything that comes is to be shown to `screen`."""
        return bool(self._away) or self._seen.active

    def screen(self, server: str, envelope: Emit | Command, direct: bool) -> Target | None:
        """
        Return whom to give what has come from a server, without those who have got it; None for
        nobody. What is for a client that was given away is sent on, unless that is sure to have it.
        """
        target = target_of(envelope)
        self._seen.note(envelope.id)
        if had := self._seen.who_had(envelope.id):
            if len(target.rooms) == 1 and target.rooms[0] in had:
                return None
            target = target._replace(excluded=(*target.excluded, *had))
        if len(target.rooms) == 1:
            away = self._away.get(target.rooms[0])
            if away is not None and away.server != server and self._misses(away, envelope, direct):
                self.forward(target.rooms[0], envelope, server)
        return target

    def _misses(self, away: Away, envelope: Emit | Command, direct: bool) -> bool:
        """Tell whether a client may get something only if it is sent on."""
        return direct or (
            bool(envelope.id) and self._hub.loop.time() - away.since < deduplication.GRACE
        )

    def forward(self, sid: str, envelope: Emit | Command, origin: str, hops: int = 0) -> None:
        """Send what a server has sent on to a client that was given away, and to it alone."""
        away = self._away.get(sid)
        if away is not None and hops < MAX_HOPS:
            self._hub.cluster.tell(away.server, Forward(sid, envelope, origin, hops + 1))

    def take_forward(self, forward: Forward) -> Target | None:
        """Return whom to give what was sent on, or None where they have got it, or moved on."""
        sid, envelope = forward.sid, forward.envelope
        stay, away = self._stays.get(sid), self._away.get(sid)
        if stay is None and away is not None:
            if not self._has_had(forward, away.heard, away.first):
                self.forward(sid, envelope, forward.origin, forward.hops)
            return None
        since, first = (0.0, 0.0) if stay is None else (stay.since, stay.first)
        if self._has_had(forward, since, first):
            return None
        if envelope.id:
            self._seen.note_had(sid, (envelope.id,))
        return Target(envelope.namespace, (sid,), envelope.excluded, envelope.client)

    def _has_had(self, forward: Forward, heard: float, first: float) -> bool:
        """
        Tell whether a client has got something here, or elsewhere, or it was sent on.

        What came here while the client was elsewhere, between two stays, came there too, or this
        hub sent it on: who sends it here straight from where it came has not heard of that. But
        what was sent on, and comes back from there, the client has not got.
        """
        if forward.origin == self._hub.server_id:
            return True  # this hub gives it its clients, and who is expected
        id = forward.envelope.id
        since = first if forward.hops <= 1 else heard
        return bool(id) and (
            self._seen.has_come(id, since) or forward.sid in self._seen.who_had(id)
        )

    def take_note(self, server: str, moved: Moved) -> None:
        """Take note of where another hub says that a client of this server is."""
        sid = moved.sid
        if not self._is_own(sid) or sid in self._stays or sid in self._hub.registry.sockets:
            return
        if moved.here:
            self.note(sid, server)
        elif self.where(sid) == server:
            self.forget(sid)

    # Others' groups

    def _tell_home(self, sid: str, here: bool) -> None:
        home = server_of(sid)
        if home is not None and home != self._hub.server_id:
            self._hub.cluster.tell(home, Moved(sid, here))

    def _count(self, sid: str) -> None:
        home = server_of(sid)
        if home is None or home == self._hub.server_id:
            return
        self._homes[home] += 1
        if self._homes[home] == 1:
            self._hub.cluster.join_server(home)

    def _discount(self, sid: str) -> None:
        home = server_of(sid)
        if home is None or home == self._hub.server_id:
            return
        self._homes[home] -= 1
        if not self._homes[home]:
            del self._homes[home]
            self._hub.cluster.leave_server(home)

    # What is kept for a while

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = self._hub.loop.call_later(deduplication.GRACE, self._look)

    def _look(self) -> None:
        """Forget what is too old to matter, and look again while there is anything."""
        self._timer = None
        now = self._hub.loop.time()
        for sid in past(self._left, now):
            del self._left[sid]
            self._away.pop(sid, None)
            self._discount(sid)
        self._seen.sweep()
        if self._left or self._seen:
            self._look_later()

    def _forget_dead(self) -> None:
        """Forget the clients of servers that have died with them."""
        peers = {away.server for away in self._away.values()} & self._hub.cluster.reports().keys()
        self._away = {sid: away for sid, away in self._away.items() if away.server in peers}
        self._limit = max(MANY, 2 * len(self._away))
