"""What a client that comes back is given from the log in Redis, whoever had its session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..sockets.socket import Socket
from ..sockets.trail import Trail
from .claims import Claim
from .interfaces import Hub
from .log import Lost
from .places import end_of, number_of, parse_place
from .session import Missed, Session
from .sessions import Sessions
from .streams import StreamLog


class Recall:
    """
    Reads what the client of a session has missed: a first part before it is let in, so that a loss
    is known then, and the rest after that. `offset` is the last that it has got; `owner` has its
    session.
    """

    def __init__(self, events: StreamLog, session: Session, offset: str | None, owner: str) -> None:
        self.session = session
        self.owner = owner
        self._events = events
        self._offset = offset
        # Up to which place it is read.
        self.upto = 0

    async def begin(self) -> list[Missed]:
        """Return the first part. Raises Lost."""
        since = self.session.trail.since
        place: int | None = since
        if self._offset is not None:
            place = parse_place(self._offset)
        if place is None:
            raise Lost("its offset is none of ours")
        # One from before the session's start is the last of another session.
        return await self._read(max(place, since))

    async def go_on(self) -> list[Missed]:
        """Return what has come since. Raises Lost."""
        return await self._read(end_of(number_of(self.upto)))

    async def _read(self, after: int) -> list[Missed]:
        session = self.session
        try:
            missed, upto = await self._events.read(session, after, self.owner, session.pid)
        except Lost:
            raise
        except Exception as error:
            raise Lost(f"the log cannot be read: {error!r}") from error
        self.upto = max(upto, self.upto)
        return missed


class Recalled:
    """
    A claim to a session, wherever that is, whose events are in Redis.

    `heard()` waits until this hub has heard all that was sent so far.
    """

    def __init__(
        self,
        claim: Claim,
        recall: Recall,
        first: list[Missed],
        socket: Socket,
        heard: Callable[[], Awaitable[None]],
    ) -> None:
        self.session = claim.session
        self.recall = recall
        self._claim = claim
        self._first = first
        self._socket = socket
        self._heard = heard

    async def finish(self) -> list[Missed]:
        """Take the session over, and return what the client has missed."""
        await self._claim.finish()
        if self._socket.gone:
            return []
        if self._claim.session is not self.session:  # it was changed where it was
            self.session.trail.merge(self._claim.session.trail)
        try:
            self.recall.session = self._with_rooms()
            rest = await self.recall.go_on()
            await self._heard()
        except (Lost, TimeoutError):
            # It comes again, and is told.
            self.session.trail.floor = Trail.NEVER
            self._socket.connection.close("transport error")
            return []
        return [*self._first, *rest]

    def _with_rooms(self) -> Session:
        """Return the session with the rooms that its client is in now."""
        self.session.rooms = set(self._socket.rooms)
        return self.session

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
