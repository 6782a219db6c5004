"""The session of one client that is away: who it was, and what it has missed."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from ..identity.clients import ClientFacts
from ..identity.logins import user_key
from ..logs import log
from ..sockets.membership import NONE
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from .heard import Heard
from .identities import Identity
from .log import Entry, EventLog, Lost, Packet
from .offsets import Offset, is_known, parse_offset

# Of one event, as many names are kept: a client that wanders has had it from several hubs.
MAX_NAMES = 8

# How far a session is in a log that hubs share, where they share none.
NOTHING = -1
_stays = itertools.count(1)


class Missed(NamedTuple):
    """
    An event that a client has not got, and the names by which it may have it all the same: its
    offsets, each perhaps with a limit (see `offsets.limit_name`).
    """

    names: tuple[str, ...]
    packet: Packet

    def is_known(self, place: Offset) -> bool:
        """Tell whether who is at a place has it."""
        return any(is_known(name, place) for name in self.names)


@dataclass(slots=True, eq=False, repr=False)
class Session:
    """
    A client that is away, and what it comes back to.

    `counts` tells whether it still counts as there: then it is what observers see of it (see
    `interfaces.Observed`). It does until `counts_until`, and is over at `until`, as the loop tells
    the time. `asked` are those of its rooms that the client has asked for itself. `claimant` is its
    new socket, while that is not let in yet. `tail` is what another hub had for it before. `stay`
    is its own number in this process: who comes back and drops again leaves another session.

    `siblings` are the sids that its connection had in other namespaces, `owner` is the hub that had
    it before, and `seen` up to which place of a shared log that has done with it what others
    wanted.
    """

    sid: str
    namespace: str
    identity: Identity
    trail: Trail
    rooms: set[str]
    data: str
    shared: str
    connection: str
    facts: ClientFacts
    user: Any
    consumer_class: type
    opened_at: datetime | None
    away_since: datetime
    reason: str
    until: float
    counts_until: float
    tail: tuple[Missed, ...] = ()
    asked: frozenset[str] = NONE
    siblings: tuple[str, ...] = ()
    owner: str = ""
    seen: int = NOTHING
    counts: bool = False
    claimant: Socket | None = None
    stay: int = field(default_factory=partial(next, _stays))
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def whose(self) -> str | None:
        """The primary key of the client's user, which the site's code may have set."""
        key = user_key(self.user)
        return self.identity.user if key is None else str(key)

    @property
    def pid(self) -> str:
        """The secret by which the client comes back."""
        return self.trail.pid

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something about the client."""
        described: dict[str, Any] = {
            "namespace": self.namespace,
            "sid": self.sid,
            "user": self.whose or "-",
            "transport": self.facts.transport,
        }
        return log(level, what, **described, **fields)

    def missed(self, events: EventLog, offset: str | None) -> list[Missed]:
        """
        Return what the client has missed, in order; `offset` is the last one that it has got.

        One from before the session's start is the last of another session, and says that nothing
        of this one has come: clients keep it until the next event.

        Raises Lost where that cannot be told, or is not kept any more.
        """
        place = None if offset is None else parse_offset(offset)
        if place is None and offset is not None:
            raise Lost("its offset is none of ours")
        position = self.trail.since if place is None else self._position(place, events)
        earlier = self._earlier(place) if position == self.trail.since else []
        # What this hub has heard too, of which that tells what the client has got.
        heard = Heard({missed.packet.id for missed in self.tail}) if self.tail else None
        where = self.namespace, self.sid, self.trail, self.rooms
        later: dict[str, Missed] = {}
        for entry in events.missed(*where, position, heard=heard):
            missed = self._name(events, entry)
            # One that was put off has two numbers, and was sent with the second.
            later.pop(missed.packet.id, None)
            later[missed.packet.id] = missed
        return [*earlier, *later.values()]

    def _position(self, place: Offset, events: EventLog) -> int:
        """Return up to which number who is at a place has got everything."""
        since = self.trail.since
        if place.server == events.server and place.number >= since:
            return min(place.number, events.number)
        known = (
            number
            for number, names in self.trail.names.items()
            if any(is_known(name, place) for name in names)
        )
        return max(known, default=since)

    def _earlier(self, place: Offset | None) -> list[Missed]:
        """Return what other hubs had for who is at a place."""
        if place is not None:
            for index in reversed(range(len(self.tail))):
                if self.tail[index].is_known(place):
                    return list(self.tail[index + 1 :])
        return list(self.tail)

    def _name(self, events: EventLog, entry: Entry) -> Missed:
        """Return an entry's packet with its names, and an id."""
        offset = events.offset_of(entry.number)
        names = (*self.trail.names.get(entry.number, ()), offset)[-MAX_NAMES:]
        return Missed(names, entry.packet._replace(id=events.id_of(entry)))
