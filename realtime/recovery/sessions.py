"""The sessions of clients that are away, as long as they may come back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from django.utils import timezone

from ..cluster.envelopes import LOG_OUT
from ..cluster.targets import Target
from ..identity.logins import user_key
from ..logs import log
from ..sockets.data import dump_data
from ..sockets.socket import Socket
from ..utils.recovery import RecoveryOptions
from .footprint import ROOM_BYTES, Footprint
from .holds import Holds
from .identities import Identity, identify_client
from .index import Groups, SessionIndex
from .interfaces import Hub
from .log import EventLog
from .session import Session


class Live:
    """Clients that are here and may come back, by their pids and users."""

    def __init__(self) -> None:
        self._sockets: dict[str, Socket] = {}
        self._users = Groups[str, Socket]()

    def get(self, pid: str) -> Socket | None:
        """Return the socket of a pid."""
        return self._sockets.get(pid)

    def __iter__(self) -> Iterator[Socket]:
        return iter(list(self._sockets.values()))

    def of_user(self, user: str) -> list[Socket]:
        """Return the sockets of a user's clients."""
        return list(self._users.of(user))

    def add(self, socket: Socket) -> None:
        """Let the client of a socket come back to it."""
        self._sockets[socket.pid] = socket
        if (user := _user_of(socket)) is not None:
            self._users.add(user, socket)

    def user_changed(self, socket: Socket, before: list[str]) -> None:
        """Take note that a socket is another user's, by the key of the one before, if any."""
        if self._sockets.get(socket.pid) is not socket:
            return
        for user in before:
            self._users.discard(user, socket)
        if (user_now := _user_of(socket)) is not None:
            self._users.add(user_now, socket)

    def remove(self, socket: Socket) -> bool:
        """Let nobody come back to a socket from here on; tell whether its client might."""
        if self._sockets.pop(socket.pid, None) is None:
            return False
        if (user := _user_of(socket)) is not None:
            self._users.discard(user, socket)
        return True


def _user_of(socket: Socket) -> str | None:
    key = user_key(socket.user)
    return None if key is None else str(key)


class Coming(Protocol):
    """Who is to know what is asked of a client that comes from another hub."""

    pid: str  # by which that client comes back

    def __hash__(self) -> int:
        """Return what tells it apart."""

    async def settle(self) -> None:
        """Wait until its session is here or elsewhere, and not on its way."""

    def hear(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Take note of what clients are to do (see `envelopes.Command`)."""


class Store(Protocol):
    """What writes sessions where others can read them."""

    def touch(self, pid: str, make: Callable[[], Session | None]) -> None:
        """Write a session soon."""

    def forget(self, pid: str, before: str = "") -> None:
        """Remove a session, which may be that of the hub `before` there."""

    async def flush(self) -> None:
        """Wait until what was touched so far is written."""


class Sessions:
    """The clients of a hub that are away."""

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
        self.live = Live()
        self._index = SessionIndex(hub.is_sid)
        self._footprint = Footprint()
        # Those that are just coming, with their sids, and how many there are of each.
        self._coming: dict[Coming, str] = {}
        self._sids = Counter[str]()
        self._pids = Groups[str, Coming]()
        # Those that still count as there.
        self._counting: dict[Session, None] = {}
        # What writes sessions where others can read them, and what is told of rooms that they join.
        self.store: Store | None = None
        self.noted: Callable[[Session, str], None] = lambda session, room: None

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._index)

    def get(self, pid: str) -> Session | None:
        """Return the session of a client that is away."""
        return self._index.get(pid)

    def has(self, pid: str) -> bool:
        """Tell whether the client of a pid is here, or is away and was here."""
        return self._index.get(pid) is not None or self.live.get(pid) is not None

    def find(self, pid: str, namespace: str, identity: Identity) -> Session | None:
        """
        Return the session of a pid, if it is the client's own.

        A connection that still has it is closed: its client is elsewhere now, and nobody has
        noticed.
        """
        holder = self.live.get(pid)
        if holder is not None:
            if (holder.namespace, identify_client(holder)) != (namespace, identity):
                return None
            holder.connection.close("transport close")
        session = self._index.get(pid)
        if session is None or (session.namespace, session.identity) != (namespace, identity):
            return None
        if session.claimant is not None:
            session.claimant.connection.close("transport close")
        return session

    def of_sid(self, sid: str) -> Session | None:
        """Return the session of the client that has, or had, this sid."""
        return self._index.of_sid(sid)

    def keep(self, socket: Socket, reason: str) -> bool:
        """
        Keep what a client comes back to, as its socket ends; tell whether it still counts as there.
        """
        session = self.describe(socket, reason)
        if session is None:
            return False
        self._add(session)
        if not (socket.observed and self._options.presence_seconds):
            return False
        self._count(session)
        self._hub.observers.away(session)
        return True

    def describe(self, socket: Socket, reason: str) -> Session | None:
        """Return what the client of a socket could come back to, or None where nobody can tell."""
        identity = identify_client(socket)
        if identity is None:
            return None
        try:
            data = dump_data(socket.consumer.__dict__["_data"])
        except (TypeError, ValueError) as error:
            socket.log(logging.WARNING, "data-not-kept", error=error)
            return None
        trail, connection = socket.trail, socket.connection
        assert trail is not None
        if not connection.watched:  # since when it is gone nobody knows
            trail.floor = max(trail.floor, self._log.expired)
        now = self._hub.loop.time()
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
            now + self._options.seconds,
            now + self._options.presence_seconds,
            asked=socket.asked,
            siblings=tuple(
                other.sid for other in connection.sockets.values() if other is not socket
            ),
        )

    def count_again(self, session: Session, socket: Socket) -> bool:
        """Count a client, which was about to come back, as away again; tell whether that is so."""
        if not socket.observed or self._index.get(session.pid) is not session:
            return False
        session.facts = socket.facts
        session.counts_until = self._hub.loop.time() + self._options.presence_seconds
        self._count(session)
        self._hub.observers.away(session)
        return True

    def _count(self, session: Session) -> None:
        session.counts = True
        self._counting[session] = None
        self._at(session.counts_until, session, self._count_out)

    def _add(self, session: Session) -> None:
        """Keep a session, for as long as its client may be away."""
        self._index.add(session)
        self._footprint.add(session)
        self.hold(session.namespace, session.rooms)
        self._make_room(session)
        self._at(session.until, session, self.end)
        self._store(session)

    @property
    def bytes(self) -> int:
        """About how much memory they take."""
        return self._footprint.bytes + self._index.rooms * ROOM_BYTES

    def _make_room(self, newest: Session | None = None) -> None:
        """End the oldest sessions but for the `newest`, until all are within their bound."""
        count = 0
        while self.bytes > self._options.away_bytes:
            oldest = self._index.oldest()
            if oldest is None or oldest is newest:
                break
            self.end(oldest)
            count += 1
        if count:
            log(logging.WARNING, "sessions-full", sessions=count)

    def _at(self, when: float, session: Session, call: Callable[[Session], None]) -> None:
        session.timers.append(self._hub.loop.call_at(when, call, session))

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

    def _count_out(self, session: Session) -> None:
        """Count a client as gone, which may still come back."""
        if self.count_no_more(session):
            self._hub.observers.closed(session, session.reason)

    def count_no_more(self, session: Session) -> bool:
        """Tell whether a client still counts as there, and count it no more."""
        counted, session.counts = session.counts, False
        self._counting.pop(session, None)
        return counted

    def counted(self) -> list[Session]:
        """Return those that still count as there."""
        return list(self._counting)

    def adopt(self, session: Session, *, counts: bool) -> None:
        """Keep a session that another hub had; with `counts` it is there for a while still."""
        self._add(session)
        if counts:
            self._count(session)
            self._hub.observers.adopted(session)

    def take(self, session: Session) -> None:
        """Forget a session whose client is back."""
        self._forget(session)

    def give(self, session: Session) -> None:
        """Forget a session that another hub has now."""
        self._forget(session)
        self.count_no_more(session)
        self._hub.observers.moved(session)

    def end(self, session: Session) -> None:
        """Forget a client: it may come back as a new one only."""
        self._forget(session)
        if self.store is not None:
            self.store.forget(session.pid, session.owner)
        self._count_out(session)
        self._hub.moves.forget(session.sid)

    def _forget(self, session: Session) -> None:
        self._footprint.remove(session)
        if not self._index.remove(session):
            return
        for timer in session.timers:
            timer.cancel()
        self.unhold(session.namespace, session.rooms)

    # Clients that come from other hubs

    def expect(self, coming: Coming, sid: str) -> None:
        """Keep what is sent to a client, and tell `coming` what is asked of any."""
        self._coming[coming] = sid
        self._sids[sid] += 1
        self._pids.add(coming.pid, coming)

    def expect_no_more(self, coming: Coming) -> None:
        """Take note that its client is here, or does not come."""
        if (sid := self._coming.pop(coming, None)) is not None:
            self._pids.discard(coming.pid, coming)
            self._sids[sid] -= 1
            if not self._sids[sid]:
                del self._sids[sid]

    async def settle(self, pid: str) -> None:
        """Wait while the session of a pid is on its way here to a client of its own."""
        for coming in list(self._pids.of(pid)):
            await coming.settle()

    def is_coming(self, sid: str) -> bool:
        """Tell whether the client of a sid is just coming from another hub."""
        return sid in self._sids

    # What is asked of clients that are away

    def find_client(self, target: Target) -> Session | None:
        """Return the session of a target that is one client."""
        return self._index.find_client(target)

    def execute(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the clients of a target that are away do something (see `envelopes.Command`)."""
        if action == LOG_OUT:
            self._end_live(*names)
        for session in self.meant(target, action, names):
            self.execute_for(session, action, names)
        self._make_room()
        for each in self._coming:
            each.hear(target, action, names)

    def meant(self, target: Target, action: str, names: tuple[str, ...]) -> list[Session]:
        """Return the sessions of clients that are away and are to do something."""
        return self._of_login(*names) if action == LOG_OUT else self._index.select(target)

    def execute_for(
        self, session: Session, action: str, names: tuple[str, ...], number: int | None = None
    ) -> None:
        """
        Let one client that is away do something; `number` is the place of that in a log that hubs
        share, or how far this hub had counted when it was asked, where its session has come here
        since.
        """
        number = self._log.number if number is None else number
        if action == "join":
            for room in names:
                self._join(session, room, number)
        elif action == "leave":
            for room in names:
                self._leave(session, room, number)
        elif action in ("close", LOG_OUT):
            self.end(session)
        elif action == "end":
            for other in self._index.of_connection(session.connection):
                self.end(other)
        self._footprint.update(session)

    def end_away(self, user: str, login: str) -> None:
        """End the sessions of a login of a user."""
        for session in self._of_login(user, login):
            self.end(session)

    def _of_login(self, user: str, login: str | None = None) -> list[Session]:
        """Return the sessions of a login of a user, or of all of them."""
        sessions = self._index.of_user(user)
        return [each for each in sessions if login is None or each.identity.login == login]

    def _end_live(self, user: str, login: str | None = None) -> None:
        """Let nobody come back to what a user has here now, in a login or in all of them."""
        for socket in self.live.of_user(user):
            if login is None or identify_client(socket) == (user, login):
                self.live.remove(socket)
                if self.store is not None:
                    self.store.forget(socket.pid)

    def _join(self, session: Session, room: str, number: int) -> None:
        if self._index.join(session, room):
            session.trail.join(room, number)
            self._holds.subscribe(session.namespace, room)
            self.noted(session, room)
            self._store(session)

    def _leave(self, session: Session, room: str, number: int) -> None:
        if self._index.leave(session, room):
            session.trail.leave(room, number)
            self._holds.unsubscribe(session.namespace, room)
            self._store(session)

    def close(self) -> None:
        """Forget all clients, but for what is stored of them: others may have that."""
        self.store = None
        for session in self:
            self.end(session)
