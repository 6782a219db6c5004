"""What a client that comes back is given from the log in Redis, whoever had its session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..authority.changes import REAUTHORIZE, decode
from ..cluster.addressing import target_of
from ..cluster.envelopes import LOG_OUT
from ..cluster.targets import EVERYONE, Target
from .log import Lost
from .offsets import parse_offset
from .places import end_of, number_of, parse_place
from .session import Missed, Session
from .streams import Found, StreamLog

# How often it is read anew, where its client is made to join or leave meanwhile.
ATTEMPTS = 20


class Wanted(NamedTuple):
    """What others want a client to do (see `envelopes.Command`), and its place in the log."""

    place: int
    target: Target
    action: str
    names: tuple[str, ...]


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
        self._wanted: dict[int, Wanted] = {}
        # What it was in when the first part was read.
        self._state: Any = None
        # Up to which places the first part is read, and the rest.
        self.since = self.upto = 0
        self._events = events
        self._offset = offset
        self._heard = heard

    async def begin(self, *, alone: bool = False) -> None:
        """
        Read the first part; do what others wanted of the client, where it is `alone`: no hub has
        its session. Raises Lost.
        """
        place = self._place()
        self.first, self.since = await self._read(place)
        while alone and self._obey(self._known()):
            self.first, self.since = await self._read(place)
        self.upto = self.since
        self._state = self._snapshot()

    async def catch_up(self, registered: int, heard: Sequence[Wanted]) -> None:
        """
        Do what others wanted of the client until now. What this hub has `heard` of that is what
        came behind the place `registered`; it grows in here. Raises Lost.
        """
        await self._read(end_of(self._number))
        self._obey([each for each in self._known() if each.place <= registered])
        self._obey([each for each in heard if each.place > registered])

    @property
    def place(self) -> int:
        """The place of what this hub does now."""
        return self._events.number

    def _known(self) -> list[Wanted]:
        return [wanted for _, wanted in sorted(self._wanted.items())]

    def _check_login(self) -> None:
        """Raise Lost where the client's user has logged out since."""
        user, login = self.session.identity
        if user is None:
            return
        for wanted in self._wanted.values():
            if _ends(wanted, user, login):
                raise Lost("its user has logged out")

    def _obey(self, all_wanted: Iterable[Wanted]) -> bool:
        """Do what was wanted, and not done; tell whether that was anything. Raises Lost."""
        session, done = self.session, False
        for place, target, action, names in all_wanted:
            if (
                place <= session.seen
                or action in (LOG_OUT, REAUTHORIZE)
                or not _means(target, session)
            ):
                continue
            session.seen, done = place, True
            if action == "join":
                for room in set(names) - session.rooms:
                    session.rooms.add(room)
                    session.trail.join(room, place)
            elif action == "leave":
                for room in session.rooms & set(names):
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

        The first part is another one, where the client has joined or left since that was read.
        """
        found, is_all = await self._read_rest(rooms)
        self.upto = found.upto
        places = [(parse_place(missed.names[-1]) or 0, missed) for missed in found.missed]
        if is_all:
            self.first = [missed for place, missed in places if place <= end_of(self._number)]
        return [missed for place, missed in places if place > end_of(self._number)]

    async def _read_rest(self, rooms: Callable[[], set[str]]) -> tuple[Found, bool]:
        """Return what has come since; or, and then True, all: it may have joined others."""
        for _ in range(ATTEMPTS):
            self.session.rooms = rooms()
            before = self._snapshot()
            is_all = before != self._state
            found = await self._find(self._place() if is_all else end_of(self._number))
            if before == self._snapshot() and self.session.rooms == rooms():
                return found, is_all
        raise Lost("it joins and leaves all the time")

    @property
    def _number(self) -> int:
        return number_of(self.since)

    def _snapshot(self) -> tuple[Any, set[str]]:
        since, confirmed, floor, joined, past = self.session.trail.dump()
        return (since, confirmed, floor, dict(joined), list(past)), set(self.session.rooms)

    async def _read(self, after: int) -> tuple[list[Missed], int]:
        """Return the events behind a place, and up to where."""
        found = await self._find(after)
        return found.missed, found.upto

    async def _find(self, after: int) -> Found:
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
                for place, command in found.commands:
                    self._wanted[place] = Wanted(
                        place, target_of(command), command.action, command.names
                    )
                self._check_login()
                if before == self._snapshot():
                    return found
        except Lost:
            raise
        except Exception as error:
            raise Lost(f"the log cannot be read: {error!r}") from error
        raise Lost("it joins and leaves all the time")


def _ends(wanted: Wanted, user: str, login: str | None) -> bool:
    """Tell whether a login is over by what all hubs were told (see `envelopes.Command`)."""
    if wanted.action == LOG_OUT:
        return wanted.names in ((user,), (user, login))
    if wanted.action != REAUTHORIZE or wanted.target != EVERYONE:
        return False
    change = decode(wanted.names)
    return user in change.ended or (user, login) in change.logged_out | change.sessions


def _means(target: Target, session: Session) -> bool:
    """Tell whether a session is meant, which a client has by its own sid and by its others."""
    if not target.client:
        return target.means(session)
    (sid,) = target.rooms
    if sid == session.sid:
        return target.namespace in ("", session.namespace)
    return sid in session.siblings and target.namespace == session.namespace
