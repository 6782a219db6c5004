"""A client's claim to its session, from its CONNECT until it is let in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple, Protocol

import msgspec

from ..cluster.envelopes import Take
from ..cluster.targets import Target
from ..exceptions import ServerGone
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from .forms import Parcel, SessionForm, decode_parcel, open_session
from .interfaces import Hub
from .log import EventLog
from .session import Missed, Session
from .sessions import Sessions

# How often it is asked for, at most, while its client joins and leaves rooms.
ATTEMPTS = 10


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

    def log_out(self) -> None:
        """End the session as far as it is here: its client has logged out, and all hubs know."""

    async def settle(self) -> None:
        """Wait until the session is here or elsewhere, and not on its way: its client is gone."""


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
        return self._sessions.count_no_more(self.session)

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

    log_out = refuse

    async def settle(self) -> None:
        """Return at once: the session has stayed here."""


class Here(NamedTuple):
    """What a session of another hub comes to: this hub, and the new socket of its client."""

    hub: Hub
    sessions: Sessions
    log: EventLog
    socket: Socket


class Absent(NamedTuple):
    """A client that is not here yet, and the rooms that it is in."""

    namespace: str
    sid: str
    rooms: set[str]


class RemoteClaim:
    """
    A claim to a session of another hub, which keeps it until this one has all of it.

    What is for the session is heard here from now on.
    """

    # Whether it is to one whose log is that which hubs share (see `forms.is_logged`).
    logged = False

    def __init__(self, here: Here, server: str, question: Take, parcel: Parcel) -> None:
        (self._form,) = parcel.sessions
        self.pid = self._form.pid
        self._hub, self._sessions, self._socket = here.hub, here.sessions, here.socket
        self._log, self._since = here.log, here.log.number
        # Rooms that the client has joined since, and how far this hub had counted then.
        self._joined: dict[str, int] = {}
        # What its client was asked to do since, and how far this hub had counted then.
        self._commands: list[tuple[int, str, tuple[str, ...]]] = []
        self._sessions.expect(self, self._form.sid)
        self.session = self._open(parcel, self._form)
        self.server = server
        self._question = question
        self._is_taking = self._is_over = False
        self._settled = asyncio.Event()
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
        try:
            return await self._take_over()
        finally:
            self._sessions.expect_no_more(self)
            self._settled.set()

    async def settle(self) -> None:
        """Wait until the session is here, if it is on its way."""
        if self._is_taking:
            await self._settled.wait()

    async def _take_over(self) -> list[Missed]:
        parcel = await self._take_in_step()
        if parcel is None or not parcel.sessions or parcel.stays:
            self._leave()
            self._socket.connection.close("transport error")
            return []
        (form,) = parcel.sessions
        self._hub.moves.adopt(form.sid)
        self._hub.moves.note_had(form.sid, (packet.id for packet in parcel.packets))
        self.session = self._open(parcel, form)
        if self._is_over:
            self._hub.moves.forget(form.sid)
        elif self._socket.gone:
            self._keep(self.session)
        self._sessions.unhold(self._form.namespace, self._form.rooms)
        return [Missed(names, parcel.packets[place]) for names, place in form.missed]

    def _open(self, parcel: Parcel, form: SessionForm) -> Session:
        session = open_session(parcel, form, self._since, self._hub.loop.time())
        for room, number in self._joined.items():
            if room in session.rooms:
                # Where it was then, what this hub has heard since and that has not left it out.
                session.trail.join(room, number, known=self._since)
        return session

    def _keep(self, session: Session) -> None:
        """Keep a session whose client is gone again, and let that do what it was asked to."""
        self._sessions.adopt(session, counts=False)
        for number, action, names in self._commands:
            self._sessions.execute_for(session, action, names, number)

    def hear(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """
        Take note of what the client is asked to do: where that is, it may come too late, and here
        the client may be gone before the session comes.
        """
        if self._means(target):
            self._commands.append((self._log.number, action, names))

    def _means(self, target: Target) -> bool:
        form = self._form
        if target.client:
            return target.rooms == (form.sid,) and target.namespace in ("", form.namespace)
        rooms = set(form.rooms)
        for _, action, names in self._commands:
            (rooms.update if action == "join" else rooms.difference_update)(names)
        return target.means(Absent(form.namespace, form.sid, rooms))

    async def _take_in_step(self) -> Parcel | None:
        """
        Take the session as soon as it is in the rooms for which this hub hears: its client may have
        been made to join and leave some, there, while it came here.
        """
        for _ in range(ATTEMPTS):
            parcel = await self._take(self._form.rooms)
            if parcel is None or not parcel.stays or self._socket.gone:
                return parcel
            self._follow(parcel.sessions[0])
            await self._hub.cluster.flush_local()
            await self._hub.cluster.fence()
        return None

    async def _take(self, rooms: list[str] | None) -> Parcel | None:
        question = msgspec.structs.replace(
            self._question, final=True, rooms=rooms, stay=self._form.stay
        )
        with contextlib.suppress(TimeoutError):
            return await ask(self._hub, self.server, question)
        return None

    def _follow(self, form: SessionForm) -> None:
        """Join and leave what the client was made to, there, while it came here."""
        before, self._form = self._form, form
        self._sessions.hold(form.namespace, form.rooms)
        for room in set(form.rooms) - set(before.rooms):
            self._joined[room] = self._joined_at(room)
            self._socket.join(room)
        for room in set(before.rooms) - set(form.rooms):
            self._socket.leave(room)
        self._socket.drop_put_off()
        self._sessions.unhold(before.namespace, before.rooms)

    def _joined_at(self, room: str) -> int:
        """Return how far this hub had counted when its client was made to join a room."""
        asked = (
            number
            for number, action, names in reversed(self._commands)
            if action == "join" and room in names
        )
        return next(asked, self._log.number)

    def count(self) -> bool:
        """Tell whether the client still counts as there, as it was."""
        return self._form.counts

    def release(self, socket: Socket) -> bool:
        """Leave the session where it is, unless it is on its way here."""
        if not self._is_taking:
            self._leave()
        return False

    def _leave(self) -> None:
        self._sessions.expect_no_more(self)
        self._hub.moves.give_up(self._form.sid)
        self._sessions.unhold(self._form.namespace, self._form.rooms)

    def refuse(self) -> None:
        """End the session: its client is not let in."""
        self._hub.spawn(self._end())

    def log_out(self) -> None:
        """Keep nothing of the session, if it is on its way here."""
        self._is_over = True

    async def _end(self) -> None:
        """Take the session over, and end it here: where it was, it is only given away."""
        parcel = await self._take(None)
        self._sessions.expect_no_more(self)
        if parcel is not None and parcel.sessions and not parcel.stays:
            (form,) = parcel.sessions
            session = self._open(parcel, form)
            self._sessions.adopt(session, counts=form.counts)
            self._sessions.end(session)
        else:
            self._hub.moves.forget(self._form.sid)
        self._sessions.unhold(self._form.namespace, self._form.rooms)


async def ask(hub: Hub, server: str, question: Take) -> Parcel | None:
    """Ask a hub for a session; return what it says, or None where it has none or is gone."""
    try:
        body = await hub.take(server, question)
    except ServerGone:
        return None
    return None if body is None else decode_parcel(body)
