"""The sessions of clients that are away, as long as they may come back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from django.utils import timezone

from ..cluster.targets import Target
from ..sockets.data import dump_data
from ..sockets.socket import Socket
from ..utils.recovery import RecoveryOptions
from .holds import Holds
from .identities import Identity, identify
from .interfaces import Hub
from .log import EventLog
from .session import Session, is_meant


class Store(Protocol):
    """What writes sessions where others can read them."""

    def touch(self, pid: str, make: Callable[[], Session | None]) -> None:
        """Write a session soon."""

    def forget(self, pid: str) -> None:
        """Remove a session."""

    async def flush(self) -> None:
        """Wait until what was touched so far is written."""


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
        # What writes sessions where others can read them, and what is told of rooms that they join.
        self.store: Store | None = None
        self.noted: Callable[[Session, str], None] = lambda session, room: None

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
        session = self.describe(socket, reason)
        if session is None:
            return False
        trail = session.trail
        if not socket.connection.watched:  # since when it is gone nobody knows
            trail.floor = max(trail.floor, self._log.expired)
        self.add(session)
        if not (socket.observed and self._options.presence_seconds):
            return False
        self._count(session)
        self._hub.observers.away(session)
        return True

    def describe(self, socket: Socket, reason: str) -> Session | None:
        """Return what the client of a socket comes back to; None where it cannot."""
        identity = identify(socket.connection.scope)
        if identity is None:
            return None
        try:
            data = dump_data(socket.consumer.__dict__["_data"])
        except (TypeError, ValueError) as error:
            socket.log(logging.WARNING, "data-not-kept", error=error)
            return None
        trail, connection = socket.trail, socket.connection
        assert trail is not None
        return Session(
            socket.sid,
            socket.namespace,
            identity,
            trail,
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
            siblings=tuple(
                other.sid for other in connection.sockets.values() if other is not socket
            ),
        )

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
        self._store(session)

    def _store(self, session: Session) -> None:
        if self.store is not None:
            self.store.touch(session.pid, lambda: session)

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
        if self.store is not None:
            self.store.forget(session.pid)
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
            self.noted(session, room)
            self._store(session)

    def _leave(self, session: Session, room: str) -> None:
        if room in session.rooms:
            session.rooms.remove(room)
            session.trail.leave(room, self._log.number)
            self._holds.unsubscribe(session.namespace, room)
            self._store(session)

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
        """Forget all clients, but for what is stored of them: others may have that."""
        self.store = None
        for session in self:
            self.end(session)
