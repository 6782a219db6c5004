"""What a client that comes back is given from the log in Redis, whoever had its session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..cluster.addressing import target_of
from ..cluster.envelopes import LOG_OUT, Command
from ..cluster.targets import Target
from ..sockets.trail import NOW
from .log import Lost
from .offsets import parse_offset
from .places import end_of, number_of, parse_place
from .session import Missed, Session
from .streams import Found, StreamLog

# How often it is read anew, where its client is made to join or leave meanwhile.
ATTEMPTS = 20


class Recall:
    """
    Reads what the client of a session has missed: a first part before it is let in, so that a loss
    is known then, and the rest after that. `offset` is the last that it has got; `owner` has its
    session. `heard()` waits until this hub has done all that was sent so far.
    """

    def __init__(
        self,
        events: StreamLog,
        session: Session,
        offset: str | None,
        owner: str,
        heard: Callable[[], Awaitable[None]],
    ) -> None:
        self.session = session
        self.owner = owner
        self.first: list[Missed] = []
        # Up to where this hub has done what others want of its clients, when the new one was there.
        self.registered = 0
        self._commands: list[tuple[int, Command]] = []
        # What it was in when the first part was read.
        self._state: Any = None
        # Up to which places the first part is read, and the rest.
        self.since = self.upto = 0
        # Rooms that it was made to join or leave before this hub could see to it.
        self.joined, self.left = set[str](), set[str]()
        self._events = events
        self._offset = offset
        self._heard = heard

    async def begin(self, *, alone: bool = False) -> None:
        """
        Read the first part; do what others wanted of the client, where it is `alone`: no hub has
        its session. Raises Lost.
        """
        place = self._place()
        self.first, _, self.since = await self._read(place)
        while alone and self._obey(NOW):
            self.first, _, self.since = await self._read(place)
        self.upto = self.since
        self._state = self._snapshot()

    def _check_login(self) -> None:
        """Raise Lost where the client's user has logged out since: see `envelopes.LOG_OUT`."""
        user, login = self.session.identity
        if user is None:
            return
        for _, command in self._commands:
            if command.action == LOG_OUT and command.names in ((user,), (user, login)):
                raise Lost("its user has logged out")

    def _obey(self, until: int) -> bool:
        """Do what was wanted up to a place, and not done; tell whether that was anything."""
        session, done = self.session, False
        for place, command in self._commands:
            if not session.seen < place <= until or not _aim(command, session).means(session):
                continue
            session.seen, done = place, True
            if command.action == "join":
                for room in set(command.names) - session.rooms:
                    self.joined.add(room)
                    self.left.discard(room)
                    session.rooms.add(room)
                    session.trail.join(room, place)
            elif command.action == "leave":
                for room in session.rooms & set(command.names):
                    self.left.add(room)
                    self.joined.discard(room)
                    session.rooms.discard(room)
                    session.trail.leave(room, place)
            else:
                raise Lost("it was disconnected")
        return done

    def _place(self) -> int:
        since = self.session.trail.since
        if self._offset is None:
            return since
        place = parse_place(self._offset)
        if place is not None:
            return max(place, since)
        if parse_offset(self._offset) is None:
            raise Lost("its offset is none of ours")
        # It is the last of another session: clients keep that until the next event.
        return since

    async def go_on(self, rooms: Callable[[], set[str]]) -> list[Missed]:
        """
        Return what has come since; `rooms()` are those that the client is in here. Raises Lost.

        The first part is another one, where the client was made to join or leave since that was
        read.
        """
        self.joined, self.left = set(), set()
        found, is_all = await self._read_rest(rooms)
        self.upto = found.upto
        places = [(parse_place(missed.names[-1]) or 0, missed) for missed in found.missed]
        if is_all:
            self.first = [missed for place, missed in places if place <= end_of(self._number)]
        return [missed for place, missed in places if place > end_of(self._number)]

    async def _read_rest(self, rooms: Callable[[], set[str]]) -> tuple[Found, bool]:
        """Return what has come since; or, and then True, all: others may let it join meanwhile."""

        def now() -> set[str]:
            return (rooms() | self.joined) - self.left

        for _ in range(ATTEMPTS):
            self.session.rooms = now()
            before = self._snapshot()
            is_all = before != self._state
            found = await self._read(self._place() if is_all else end_of(self._number))
            if self._obey(self.registered):
                continue
            if before == self._snapshot() and self.session.rooms == now():
                return found, is_all
        raise Lost("it joins and leaves all the time")

    @property
    def _number(self) -> int:
        return number_of(self.since)

    def _snapshot(self) -> tuple[Any, set[str]]:
        since, confirmed, floor, joined, past = self.session.trail.dump()
        return (since, confirmed, floor, dict(joined), list(past)), set(self.session.rooms)

    async def _read(self, after: int) -> Found:
        """
        Return what is behind a place, for the rooms that the client was in by what was sent: others
        may let it join and leave meanwhile.
        """
        session = self.session
        try:
            await self._heard()
            for _ in range(ATTEMPTS):
                before = self._snapshot()
                found = await self._events.read(session, after, self.owner, session.pid)
                await self._heard()
                self._events.reach(found.upto)
                known = {place for place, _ in self._commands}
                self._commands += [each for each in found.commands if each[0] not in known]
                self._check_login()
                if before == self._snapshot():
                    return found
        except Lost:
            raise
        except Exception as error:
            raise Lost(f"the log cannot be read: {error!r}") from error
        raise Lost("it joins and leaves all the time")


def _aim(command: Command, session: Session) -> Target:
    """Return whom a command means, as seen from a session that it reaches."""
    if command.client:
        return Target(session.namespace, (session.sid,))
    return target_of(command)
