"""Claims to sessions whose events are in Redis, wherever they are themselves."""

from __future__ import annotations

import asyncio
import logging

from ..cluster.targets import Target
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from .claims import Claim, LocalClaim, RemoteClaim
from .forms import Parcel
from .interfaces import Hub
from .log import Lost
from .recalls import Recall, Wanted
from .session import Missed, Session
from .sessions import Sessions


class LoggedClaim(RemoteClaim):
    """
    A claim to a session of another hub, with which no events go: these are in the log, and so is
    what its client is asked to do meanwhile.
    """

    logged = True

    async def _take_in_step(self) -> Parcel | None:
        return await self._take(None)

    def _keep(self, session: Session) -> None:
        self._sessions.adopt(session, counts=False)
        for place, action, names in self._commands:
            if place > session.seen:
                self._sessions.execute_for(session, action, names, place)


class Recalled:
    """
    A claim to a session, wherever that is, whose events are in Redis.

    It hears what others want of the client while no session or socket does that here: before the
    new socket has its rooms, and where that is gone before it is let in.
    """

    def __init__(
        self, hub: Hub, claim: Claim, recall: Recall, socket: Socket, sessions: Sessions
    ) -> None:
        self.session = claim.session
        self.pid = claim.session.pid
        self.recall = recall
        # Rooms that the new socket has joined or left itself.
        self.moved = set[str]()
        self._hub = hub
        self._sessions = sessions
        self._claim = claim
        self._socket = socket
        self._rooms = set(claim.session.rooms)
        self._heard: list[Wanted] = []
        self._is_caught_up = isinstance(claim, LocalClaim)
        self._is_finishing = False
        self._settled = asyncio.Event()
        sessions.expect(self, claim.session.sid)

    def hear(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Take note of what clients are to do, where nobody does it for this one."""
        if not self._is_caught_up or self._socket.gone:
            self._heard.append(Wanted(self.recall.place, target, action, names))

    async def catch_up(self, registered: int) -> None:
        """
        Let the session do what others wanted of it, up to now: this hub hears that since the place
        `registered`. Raises Lost.
        """
        await self.recall.catch_up(registered, self._heard)
        self._heard.clear()
        self._is_caught_up = True

    async def finish(self) -> list[Missed]:
        """Take the session over, and return what came since the first part of what was missed."""
        self._is_finishing = True
        try:
            return await self._finish()
        finally:
            self._sessions.expect_no_more(self)
            self._settled.set()

    async def settle(self) -> None:
        """Wait until the session is here, if it is on its way."""
        if self._is_finishing:
            await self._settled.wait()

    def log_out(self) -> None:
        """End the session as far as it is here."""
        self._claim.log_out()

    async def _finish(self) -> list[Missed]:
        await self._claim.finish()
        if self._socket.gone:
            return []
        if self._claim.session is not self.session:  # something may have been lost where it was
            self.session.trail.merge(self._claim.session.trail)
        await self._hub.cluster.flush_local()  # to hear of all its rooms, before the log is read
        try:
            rest = await self.recall.go_on(self._rooms_here)
        except Lost as lost:  # it comes again, and is told
            self._socket.log(logging.INFO, "not-recovered", error=lost)
            self.session.trail.floor = Trail.NEVER
            self._socket.connection.close("transport error")
            return []
        if self._socket.gone:  # meanwhile, and nobody else has the session
            self._keep()
            return []
        return rest

    def _keep(self) -> None:
        self.session.claimant = None
        self._sessions.adopt(self.session, counts=False)
        for place, target, action, names in self._heard:
            if self.session in self._sessions.meant(target, action, names):
                self._sessions.execute_for(self.session, action, names, place)

    def _rooms_here(self) -> set[str]:
        """Return the rooms that the client is in here, or was as it went."""
        if not self._socket.gone:
            self._rooms = set(self._socket.hub.registry.rooms_of(self._socket))
        return self._rooms

    def go_on(self) -> Trail | None:
        """Return the trail, which goes on."""
        return self.session.trail

    def count(self) -> bool:
        """Tell whether the client still counts as there, as it was."""
        return self._claim.count()

    def release(self, socket: Socket) -> bool:
        """Leave the session as it was, since the client is gone again."""
        self._hear_no_more()
        return self._claim.release(socket)

    def refuse(self) -> None:
        """End the session: its client is not let in."""
        self._hear_no_more()
        self._claim.refuse()

    def _hear_no_more(self) -> None:
        if not self._is_finishing:
            self._sessions.expect_no_more(self)


class OrphanClaim:
    """A claim to a session of a hub that is gone, as Redis has it."""

    def __init__(self, hub: Hub, sessions: Sessions, session: Session) -> None:
        self.session = session
        self._hub = hub
        self._sessions = sessions
        self._rooms = set(session.rooms)
        self._is_taken = False
        hub.moves.expect(session.sid)
        sessions.hold(session.namespace, self._rooms)

    def follow(self) -> None:
        """Hear for the rooms that the client is in by now."""
        rooms, self._rooms = self._rooms, set(self.session.rooms)
        self._sessions.hold(self.session.namespace, self._rooms)
        self._sessions.unhold(self.session.namespace, rooms)

    async def finish(self) -> list[Missed]:
        """Take the session over; return nothing, since that is in the log."""
        self._is_taken = True
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
        """Leave the session where it is, unless it is taken over, and its rooms with it."""
        if self._is_taken:
            return False
        self._hub.moves.give_up(self.session.sid)
        self._sessions.unhold(self.session.namespace, self._rooms)
        return False

    def refuse(self) -> None:
        """Leave the session to time: nobody else is let in by it."""
        self.release(None)  # type: ignore[arg-type]

    def log_out(self) -> None:
        """Do nothing: the log says that its client has logged out."""

    async def settle(self) -> None:
        """Return at once: nothing of the session is on its way."""
