"""The sessions of clients that are away, as long as they may come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from ..cluster.targets import Target
from ..identity.clients import ClientFacts
from ..logs import log
from ..sockets.data import dump_data
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from ..utils.recovery import RecoveryOptions
from .holds import Holds
from .identities import Identity, identify
from .interfaces import Hub
from .log import Entry, EventLog, Lost, Packet
from .offsets import Offset, parse_offset

# Of one event, as many names are kept: a client that wanders has had it from several hubs.
MAX_NAMES = 8


class Missed(NamedTuple):
    """An event that a client has not got, and the offsets by which it may have it all the same."""

    names: tuple[str, ...]
    packet: Packet

    def is_known(self, place: Offset) -> bool:
        """Tell whether who is at a place has it."""
        return _are_known(self.names, place)


def _are_known(names: tuple[str, ...], place: Offset) -> bool:
    """Tell whether who is at a place has the event of these names."""
    offsets = map(parse_offset, names)
    return any(
        offset is not None and offset.server == place.server and offset.number <= place.number
        for offset in offsets
    )


@dataclass(slots=True, eq=False, repr=False)
class Session:
    """
    A client that is away, and what it comes back to.

    `counts` tells whether it still counts as there: then it is what observers see of it (see
    `interfaces.Observed`). `claimant` is its new socket, while that is not let in yet. `tail` is
    what another hub had for it before.
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
    tail: tuple[Missed, ...] = ()
    counts: bool = False
    claimant: Socket | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def pid(self) -> str:
        """The secret by which the client comes back."""
        return self.trail.pid

    def log(self, level: int, what: str, **fields: Any) -> bool:
        """Log something about the client."""
        described: dict[str, Any] = {
            "namespace": self.namespace,
            "sid": self.sid,
            "user": self.identity.user or "-",
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
        before = {missed.packet.id for missed in earlier}
        later: dict[str, Missed] = {}
        for entry in events.missed(self.namespace, self.sid, self.trail, self.rooms, position):
            missed = self._name(events, entry)
            # One that was put off has two numbers, and was sent with the second.
            later.pop(missed.packet.id, None)
            if missed.packet.id not in before:
                later[missed.packet.id] = missed
        return [*earlier, *later.values()]

    def _position(self, place: Offset, events: EventLog) -> int:
        """Return up to which number who is at a place has got everything."""
        since = self.trail.since
        if place.server == events.server and place.number >= since:
            return min(place.number, events.number)
        known = (number for number, names in self.trail.names.items() if _are_known(names, place))
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
        offset, packet = events.offset_of(entry.number), entry.packet
        names = (*self.trail.names.get(entry.number, ()), offset)[-MAX_NAMES:]
        return Missed(names, packet if packet.id else packet._replace(id=offset))


class Sessions:
    """The clients of a hub that are away, by their pids and sids."""

    def __init__(
        self,
        hub: Hub,
        log: EventLog,
        holds: Holds,
        options: RecoveryOptions,
    ) -> None:
        self._hub = hub
        self._log = log
        self._holds = holds
        self._options = options
        # Clients that are here, by their pids.
        self.live: dict[str, Socket] = {}
        self._by_pid: dict[str, Session] = {}
        self._by_sid: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_pid)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_pid.values()))

    def get(self, pid: str) -> Session | None:
        """Return the session of a client that is away."""
        return self._by_pid.get(pid)

    def find(self, pid: str, namespace: str, identity: Identity) -> Session | None:
        """
        Return the session of a pid, if it is the client's own.

        A connection that still has it is closed: its client is elsewhere now, and nobody has
        noticed.
        """
        holder = self.live.get(pid)
        if holder is not None:
            if (holder.namespace, identify(holder.connection.scope)) != (namespace, identity):
                return None
            holder.connection.close("transport close")
        session = self._by_pid.get(pid)
        if session is None or (session.namespace, session.identity) != (namespace, identity):
            return None
        if session.claimant is not None:
            session.claimant.connection.close("transport close")
        return session

    def of_sid(self, sid: str) -> Session | None:
        """Return the session of the client that has, or had, this sid."""
        return self._by_sid.get(sid)

    def keep(self, socket: Socket, reason: str) -> bool:
        """
        Keep what a client comes back to, as its socket ends; tell whether it still counts as there.
        """
        identity = identify(socket.connection.scope)
        if identity is None:
            return False
        try:
            data = dump_data(socket.consumer.__dict__["_data"])
        except (TypeError, ValueError) as error:
            socket.log(logging.WARNING, "data-not-kept", error=error)
            return False
        assert socket.trail is not None
        connection = socket.connection
        session = Session(
            socket.sid,
            socket.namespace,
            identity,
            socket.trail,
            set(self._hub.registry.rooms_of(socket)),
            data,
            socket.shared,
            connection.sid,
            socket.facts,
            socket.user,
            socket.consumer_class,
            socket.opened_at,
            timezone.now(),
            reason,
        )
        self.add(session)
        if not (socket.observed and self._options.presence_seconds):
            return False
        self._count(session)
        self._hub.observers.away(session)
        return True

    def count_again(self, session: Session, socket: Socket) -> bool:
        """Count a client, which was about to come back, as away again; tell whether that is so."""
        if not socket.observed or session.pid not in self._by_pid:
            return False
        session.facts = socket.facts
        self._count(session)
        self._hub.observers.away(session)
        return True

    def _count(self, session: Session) -> None:
        session.counts = True
        self._later(
            session,
            self._options.presence_seconds,
            lambda: self._count_out(session, session.reason),
        )

    def add(self, session: Session) -> None:
        """Keep a session, for as long as its client may be away."""
        self._by_pid[session.pid] = self._by_sid[session.sid] = session
        self.hold(session.namespace, session.rooms)
        self._later(session, self._options.seconds, lambda: self.end(session))

    def hold(self, namespace: str, rooms: Iterable[str]) -> None:
        """Hear what is sent to a namespace and to these rooms of it."""
        for room in (None, *rooms):
            self._holds.subscribe(namespace, room)

    def unhold(self, namespace: str, rooms: Iterable[str]) -> None:
        """Hear that no more, as far as this one was held."""
        for room in (None, *rooms):
            self._holds.unsubscribe(namespace, room)

    def _later(self, session: Session, seconds: float, call: Callable[[], None]) -> None:
        session.timers.append(self._hub.loop.call_later(seconds, call))

    def _count_out(self, session: Session, reason: str) -> None:
        """Count a client as gone, which may still come back."""
        if session.counts:
            session.counts = False
            self._hub.observers.closed(session, reason)

    def counted(self) -> list[Session]:
        """Return those that still count as there."""
        return [session for session in self if session.counts]

    def adopt(self, session: Session, *, counts: bool) -> None:
        """Keep a session that another hub had; with `counts` it is there for a while still."""
        self.add(session)
        if counts:
            self._count(session)
            self._hub.observers.adopted(session)

    def take(self, session: Session) -> None:
        """Forget a session whose client is back."""
        self._forget(session)

    def give(self, session: Session) -> None:
        """Forget a session that another hub has now."""
        self._forget(session)
        session.counts = False
        self._hub.observers.moved(session)

    def end(self, session: Session, reason: str = "") -> None:
        """Forget a client: it may come back as a new one only."""
        reason = reason or session.reason
        self._forget(session)
        self._count_out(session, reason)
        self._hub.moves.forget(session.sid)

    def _forget(self, session: Session) -> None:
        if self._by_pid.pop(session.pid, None) is None:
            return
        if self._by_sid.get(session.sid) is session:
            del self._by_sid[session.sid]
        for timer in session.timers:
            timer.cancel()
        self.unhold(session.namespace, session.rooms)

    # What is asked of clients that are away

    def execute(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the clients of a target that are away do something (see `envelopes.Command`)."""
        for session in self.select(target):
            self.execute_for(session, action, names)

    def execute_for(self, session: Session, action: str, names: tuple[str, ...]) -> None:
        """Let one client that is away do something."""
        if action == "join":
            for room in names:
                self._join(session, room)
        elif action == "leave":
            for room in names:
                self._leave(session, room)
        elif action == "close":
            self.end(session)
        elif action == "end":
            for other in self._of_connection(session.connection):
                self.end(other)

    def _join(self, session: Session, room: str) -> None:
        if room not in session.rooms:
            session.rooms.add(room)
            session.trail.join(room, self._log.number)
            self._holds.subscribe(session.namespace, room)

    def _leave(self, session: Session, room: str) -> None:
        if room in session.rooms:
            session.rooms.remove(room)
            session.trail.leave(room, self._log.number)
            self._holds.unsubscribe(session.namespace, room)

    def select(self, target: Target) -> list[Session]:
        """Return the sessions of clients that are away and meant."""
        if not self._by_pid:
            return []
        if target.client:
            session = self.find_client(target)
            return [] if session is None else [session]
        return [session for session in self if is_meant(session, target)]

    def find_client(self, target: Target) -> Session | None:
        """Return the session of a target that is one client."""
        session = self._by_sid.get(target.rooms[0])
        if session is None or target.namespace in ("", session.namespace):
            return session
        others = self._of_connection(session.connection)
        return next((each for each in others if each.namespace == target.namespace), None)

    def _of_connection(self, connection: str) -> list[Session]:
        return [session for session in self if session.connection == connection]

    def close(self) -> None:
        """Forget all clients."""
        for session in self:
            self.end(session)


def is_meant(session: Session, target: Target) -> bool:
    if session.namespace != target.namespace:
        return False
    names = {session.sid, *session.rooms}
    if names & set(target.excluded):
        return False
    return not target.rooms or bool(names & set(target.rooms))
