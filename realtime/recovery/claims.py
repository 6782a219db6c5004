"""A client's claim to its session, from its CONNECT until it is let in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple, Protocol

import msgspec

from ..cluster.envelopes import Take
from ..exceptions import ServerGone
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from .forms import Parcel, SessionForm, decode_parcel, open_session
from .interfaces import Hub
from .log import EventLog
from .session import Missed, Session
from .sessions import Sessions

# How long the search for a session may take, in seconds.
TIMEOUT = 10.0


class Claim(Protocol):
    """What a client comes back to."""

    session: Session

    async def finish(self) -> list[Missed]:
        """Take the session over, and return what the client has missed."""

    def go_on(self) -> Trail | None:
        """Return the trail that goes on, or None where all that was missed begins a new one."""

    def count(self) -> bool:
        """
        Tell whether the client still counts as there, as it was; from now on as it comes back.
        """

    def release(self, socket: Socket) -> bool:
        """
        Leave the session as it was, since the client is gone again; tell whether it still counts
        as there.
        """

    def refuse(self) -> None:
        """End the session: its client is not let in."""


class LocalClaim:
    """A claim to a session of this hub; `missed` is what came before the new socket."""

    def __init__(self, sessions: Sessions, session: Session, missed: list[Missed]) -> None:
        self.session = session
        self._sessions = sessions
        self._missed = missed

    async def finish(self) -> list[Missed]:
        """Return what the client has missed, and forget the session."""
        self._sessions.take(self.session)
        return self._missed

    def go_on(self) -> Trail | None:
        """Return the trail that goes on, unless another hub had something before."""
        return None if self.session.tail else self.session.trail

    def count(self) -> bool:
        """
        Tell whether the client still counts as there, as it was; from now on as it comes back.
        """
        counted, self.session.counts = self.session.counts, False
        return counted

    def release(self, socket: Socket) -> bool:
        """
        Leave the session as it was, since the client is gone again; tell whether it still counts
        as there.
        """
        self.session.claimant = None
        return self._sessions.count_again(self.session, socket)

    def refuse(self) -> None:
        """End the session: its client is not let in."""
        self._sessions.end(self.session)


class Here(NamedTuple):
    """What a session of another hub comes to: this hub, and the new socket of its client."""

    hub: Hub
    sessions: Sessions
    log: EventLog
    socket: Socket


class RemoteClaim:
    """
    A claim to a session of another hub, which keeps it until this one has all of it.

    What is for the session is heard here from now on.
    """

    def __init__(self, here: Here, server: str, question: Take, parcel: Parcel) -> None:
        (self._form,) = parcel.sessions
        self._hub, self._sessions, self._socket = here.hub, here.sessions, here.socket
        self._since = here.log.number
        self.session = open_session(parcel, self._form, self._since)
        self.server = server
        self._question = question
        self._is_taking = False
        self._hub.moves.expect(self._form.sid)
        self._sessions.hold(self._form.namespace, self._form.rooms)

    def go_on(self) -> Trail | None:
        """Return None: this hub has logged nothing of it."""
        return None

    async def finish(self) -> list[Missed]:
        """
        Take the session over, and return what the client has missed.

        Where that fails the connection ends: its client comes again, and is told what is lost.
        """
        await self._hub.cluster.fence()
        if self._socket.gone:  # and its client perhaps elsewhere
            return []
        self._is_taking = True
        parcel = await self._take()
        if parcel is None or not parcel.sessions:
            self._leave()
            self._socket.connection.close("transport error")
            return []
        (form,) = parcel.sessions
        self._hub.moves.adopt(form.sid)
        self._hub.moves.note_had(form.sid, (packet.id for packet in parcel.packets))
        self.session = open_session(parcel, form, self._since)
        if self._socket.gone:
            self._sessions.adopt(self.session, counts=False)
        else:
            self._follow(form)
        self._sessions.unhold(self._form.namespace, self._form.rooms)
        return [Missed(names, parcel.packets[place]) for names, place in form.missed]

    async def _take(self) -> Parcel | None:
        question = msgspec.structs.replace(self._question, final=True)
        with contextlib.suppress(TimeoutError):
            return await _ask(self._hub, self.server, question)
        return None

    def _follow(self, form: SessionForm) -> None:
        """Join and leave what the client was made to, there, while it came here."""
        for room in set(form.rooms) - set(self._form.rooms):
            self._socket.join(room)
        for room in set(self._form.rooms) - set(form.rooms):
            self._socket.leave(room)

    def count(self) -> bool:
        """Tell whether the client still counts as there, as it was."""
        return self._form.counts

    def release(self, socket: Socket) -> bool:
        """Leave the session where it is, unless it is on its way here."""
        if not self._is_taking:
            self._leave()
        return False

    def _leave(self) -> None:
        self._hub.moves.give_up(self._form.sid)
        self._sessions.unhold(self._form.namespace, self._form.rooms)

    def refuse(self) -> None:
        """End the session: its client is not let in."""
        self._hub.spawn(self._end())

    async def _end(self) -> None:
        await self._take()
        self._hub.moves.forget(self._form.sid)
        self._sessions.unhold(self._form.namespace, self._form.rooms)


async def claim_elsewhere(here: Here, servers: list[str], question: Take) -> RemoteClaim | None:
    """
    Claim a session of one of these hubs, or of one that they name; None where none has it.

    What takes too long is given up.
    """
    hub, asked = here.hub, set[str]()
    try:
        async with asyncio.timeout(TIMEOUT):
            while servers:
                server = servers.pop(0)
                if server in asked or server == hub.server_id:
                    continue
                asked.add(server)
                parcel = await _ask(hub, server, question)
                if parcel is not None and parcel.elsewhere:
                    servers.insert(0, parcel.elsewhere)
                elif parcel is not None and parcel.sessions:
                    return RemoteClaim(here, server, question, parcel)
    except TimeoutError:
        pass
    return None


async def _ask(hub: Hub, server: str, question: Take) -> Parcel | None:
    try:
        body = await hub.take(server, question)
    except ServerGone:
        return None
    return None if body is None else decode_parcel(body)
