"""What a client that comes back is given from the log in Redis, whoever had its session."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from ..sockets.socket import Socket
from ..sockets.trail import Trail
from .claims import Claim
from .interfaces import Hub
from .log import Lost
from .offsets import parse_offset
from .places import end_of, number_of, parse_place
from .session import Missed, Session
from .sessions import Sessions
from .streams import StreamLog

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
        # Up to which places the first part is read, and the rest.
        self.since = self.upto = 0
        self._events = events
        self._offset = offset
        self._heard = heard

    async def begin(self) -> None:
        """Read the first part. Raises Lost."""
        self.first, self.since = await self._read(self._place())
        self.upto = self.since

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

    async def go_on(self) -> list[Missed]:
        """Return what has come since. Raises Lost."""
        rest, self.upto = await self._read(end_of(number_of(self.since)))
        return rest

    async def _read(self, after: int) -> tuple[list[Missed], int]:
        """
        Return what is behind a place, for the rooms that the client was in by what was sent: others
        may let it join and leave meanwhile.
        """
        session = self.session
        try:
            await self._heard()
            for _ in range(ATTEMPTS):
                before = session.trail.dump(), set(session.rooms)
                found = await self._events.read(session, after, self.owner, session.pid)
                await self._heard()
                self._events.reach(found[1])
                if before == (session.trail.dump(), session.rooms):
                    return found
        except Lost:
            raise
        except Exception as error:
            raise Lost(f"the log cannot be read: {error!r}") from error
        raise Lost("it joins and leaves all the time")


class Recalled:
    """A claim to a session, wherever that is, whose events are in Redis."""

    def __init__(self, claim: Claim, recall: Recall, socket: Socket) -> None:
        self.session = claim.session
        self.recall = recall
        self._claim = claim
        self._socket = socket

    async def finish(self) -> list[Missed]:
        """Take the session over, and return what came since the first part of what was missed."""
        await self._claim.finish()
        if self._socket.gone:
            return []
        if self._claim.session is not self.session:  # it was changed where it was
            self.session.trail.merge(self._claim.session.trail)
        self.session.rooms = self._socket.rooms
        try:
            return await self.recall.go_on()
        except Lost as lost:  # it comes again, and is told
            self._socket.log(logging.INFO, "not-recovered", error=lost)
            self.session.trail.floor = Trail.NEVER
            self._socket.connection.close("transport error")
            return []

    def go_on(self) -> Trail | None:
        """Return the trail, which goes on."""
        return self.session.trail

    def count(self) -> bool:
        """Tell whether the client still counts as there, as it was."""
        return self._claim.count()

    def release(self, socket: Socket) -> bool:
        """Leave the session as it was, since the client is gone again."""
        return self._claim.release(socket)

    def refuse(self) -> None:
        """End the session: its client is not let in."""
        self._claim.refuse()


class OrphanClaim:
    """A claim to a session of a hub that is gone, as Redis has it."""

    def __init__(self, hub: Hub, sessions: Sessions, session: Session) -> None:
        self.session = session
        self._hub = hub
        self._sessions = sessions
        self._rooms = set(session.rooms)
        hub.moves.expect(session.sid)
        sessions.hold(session.namespace, self._rooms)

    async def finish(self) -> list[Missed]:
        """Take the session over; return nothing, since that is in the log."""
        self._hub.moves.adopt(self.session.sid)
        self._sessions.unhold(self.session.namespace, self._rooms)
        return []

    def go_on(self) -> Trail | None:
        """Return the trail, which goes on."""
        return self.session.trail

    def count(self) -> bool:
        """Tell whether the client still counts as there: nobody has told that it left."""
        return self.session.opened_at is not None

    def release(self, socket: Socket) -> bool:
        """Leave the session where it is."""
        self._hub.moves.give_up(self.session.sid)
        self._sessions.unhold(self.session.namespace, self._rooms)
        return False

    def refuse(self) -> None:
        """Leave the session to time: nobody else is let in by it."""
        self.release(None)  # type: ignore[arg-type]
