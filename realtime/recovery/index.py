"""The sessions of clients that are away, by whatever names them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..cluster.targets import Target
from .session import Session

Key = TypeVar("Key", bound=Hashable)
Member = TypeVar("Member", bound=Hashable)


class Groups(Generic[Key, Member]):
    """Members of what several of them have in common."""

    def __init__(self) -> None:
        self._members: dict[Key, dict[Member, None]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, key: Key, member: Member) -> None:
        """Take note of a member."""
        self._members.setdefault(key, {})[member] = None

    def discard(self, key: Key, member: Member) -> None:
        """Take note that it is none any more."""
        members = self._members.get(key)
        if members is None or member not in members:
            return
        del members[member]
        if not members:
            del self._members[key]

    def of(self, key: Key) -> Iterable[Member]:
        """Return the members, in the order in which they came; not to be changed meanwhile."""
        return self._members.get(key, ())


class SessionIndex:
    """
    Finds sessions for what it costs to go through those that are found.

    `is_sid(name)` tells which names are clients' and never rooms, as in the hub's registry.
    """

    def __init__(self, is_sid: Callable[[str], bool]) -> None:
        self._is_sid = is_sid
        self._by_pid: dict[str, Session] = {}
        self._by_sid: dict[str, Session] = {}
        self._namespaces = Groups[str, Session]()
        self._rooms = Groups[tuple[str, str], Session]()
        self._connections = Groups[str, Session]()
        self._users = Groups[str, Session]()

    def __len__(self) -> int:
        return len(self._by_pid)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_pid.values()))

    @property
    def rooms(self) -> int:
        """How many rooms they are in, together."""
        return len(self._rooms)

    def oldest(self) -> Session | None:
        """Return the one that is here for the longest, of those that nobody is coming back to."""
        return next((each for each in self._by_pid.values() if each.claimant is None), None)

    def get(self, pid: str) -> Session | None:
        """Return the session of a pid."""
        return self._by_pid.get(pid)

    def of_sid(self, sid: str) -> Session | None:
        """Return the session of the client that has, or had, this sid."""
        return self._by_sid.get(sid)

    def of_connection(self, connection: str) -> list[Session]:
        """Return the sessions that one connection has left."""
        return list(self._connections.of(connection))

    def of_user(self, user: str) -> list[Session]:
        """Return the sessions of a user's clients."""
        return list(self._users.of(user))

    def add(self, session: Session) -> None:
        """Find a session from now on."""
        self._by_pid[session.pid] = self._by_sid[session.sid] = session
        for groups, key in self._places(session):
            groups.add(key, session)

    def remove(self, session: Session) -> bool:
        """Find it no more; tell whether it was there."""
        if self._by_pid.get(session.pid) is not session:
            return False
        del self._by_pid[session.pid]
        if self._by_sid.get(session.sid) is session:
            del self._by_sid[session.sid]
        for groups, key in self._places(session):
            groups.discard(key, session)
        return True

    def _places(self, session: Session) -> Iterator[tuple[Groups[Any, Session], Any]]:
        """Return the groups that a session is in, each with its key."""
        yield self._namespaces, session.namespace
        yield self._connections, session.connection
        if (user := session.whose) is not None:
            yield self._users, user
        for room in session.rooms:
            yield self._rooms, (session.namespace, room)

    def join(self, session: Session, room: str) -> bool:
        """Put the client of a session into a room; tell if it is new there."""
        if room in session.rooms:
            return False
        session.rooms.add(room)
        self._rooms.add((session.namespace, room), session)
        return True

    def leave(self, session: Session, room: str) -> bool:
        """Take the client of a session out of a room; tell if it was there."""
        if room not in session.rooms:
            return False
        session.rooms.remove(room)
        self._rooms.discard((session.namespace, room), session)
        return True

    def select(self, target: Target) -> list[Session]:
        """Return the sessions that a target means, each once."""
        if not self._by_pid:
            return []
        if target.client:
            session = self.find_client(target)
            return [] if session is None else [session]
        if not target.rooms:
            chosen = self._namespaces.of(target.namespace)
        elif len(target.rooms) == 1:
            chosen = self._members(target.namespace, target.rooms[0])
        else:
            chosen = self._in_any(target.namespace, target.rooms)
        if not target.excluded:
            return list(chosen)
        excluded = self._in_any(target.namespace, target.excluded)
        return [session for session in chosen if session not in excluded]

    def find_client(self, target: Target) -> Session | None:
        """Return the session of a target that is one client."""
        session = self._by_sid.get(target.rooms[0])
        if session is None or target.namespace in ("", session.namespace):
            return session
        others = self._connections.of(session.connection)
        return next((each for each in others if each.namespace == target.namespace), None)

    def _in_any(self, namespace: str, names: Iterable[str]) -> dict[Session, None]:
        return dict.fromkeys(
            session for name in names for session in self._members(namespace, name)
        )

    def _members(self, namespace: str, name: str) -> Iterable[Session]:
        """Return the sessions in a room; a client's own id names that client and nobody else."""
        session = self._by_sid.get(name)
        if session is not None and session.namespace == namespace:
            return (session,)
        return () if self._is_sid(name) else self._rooms.of((namespace, name))
