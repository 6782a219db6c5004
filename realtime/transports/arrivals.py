"""Sessions of other processes that this one takes over: what it does as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from ..cluster.targets import Target
from ..exceptions import ServerDraining
from ..identity.renewal import Login
from ..protocol.frames import Frames
from ..recovery.log import Packet
from ..recovery.session import Missed
from ..routing import resolve
from ..sockets.messages import Message, encode_args
from ..sockets.moving import SocketForm, unpack
from ..sockets.socket import Socket
from ..utils.oneshot import OneShotEvent
from ..webservers.writers import Writer
from .crossing_forms import Luggage
from .interfaces import Hub
from .session import Session

# How long an arrival may keep others waiting who need to know who is here.
PATIENCE = 5.0

# How long its old owner may take to ask what its client acknowledges.
OWING_TIME = 60.0

# What is told to the process that has asked a client something: see `envelopes.AwaitAcks`.
Told = tuple[str, int, str | None, tuple[bytes, ...]]


class Arrival:
    """
    A session of another hub, from the moment on at which that is asked to give it.

    What was heard before, its owner has done, or will have done before it gives it.
    """

    def __init__(self, hub: Hub, sid: str) -> None:
        self.sid = sid
        self.over = OneShotEvent()
        self._hub = hub
        # What was heard since, to be done for the client where its owner has not.
        self._heard: list[tuple[str, Callable[[Session], None]]] = []
        # What the client acknowledges of what it was asked there, and how much of that is due.
        self._due = 0
        self._told: asyncio.Queue[Told] = asyncio.Queue()

    # What is heard while it comes

    def note_emit(self, target: Target, message: Message, id: str) -> None:
        """Keep an event that may be for the client."""
        self._heard.append((id, partial(self._emit, target, message, id, self._place())))

    def note_command(self, target: Target, action: str, names: tuple[str, ...], id: str) -> None:
        """Keep a command that may be for the client."""
        self._heard.append((id, partial(self._execute, target, action, names, self._place())))

    def note_call(self, id: str) -> None:
        """Do nothing: who asks clients something waits until this one is here, or is not."""

    def _place(self) -> int:
        """Return how far all that came is counted, which goes with what has come last."""
        return 0 if self._hub.recovery is None else self._hub.recovery.mark()

    def _emit(
        self, target: Target, message: Message, id: str, place: int, session: Session
    ) -> None:
        for socket in _select(session, target):
            meant = message if target.namespace else message.within(socket.namespace)
            self._hub.counters.events_out += 1
            if self._hub.recovery is None:
                frames = meant.frames(session.format)
            else:
                frames = self._hub.recovery.to_socket(socket, meant, id, place)
            session.send(frames, message.volatile)

    def _execute(
        self,
        target: Target,
        action: str,
        names: tuple[str, ...],
        place: int,
        session: Session,
    ) -> None:
        recovery = self._hub.recovery
        with contextlib.nullcontext() if recovery is None else recovery.obeying(place):
            for socket in _select(session, target):
                socket.execute(action, names)

    # Its end

    def settle(
        self, luggage: Luggage, scope: dict[str, Any], writer: Writer, logins: dict[str, Login]
    ) -> Session:
        """
        Have the session here, in one go. `logins` are those that its sockets have of their own.

        Raises what a session or a consumer raises that cannot be made: HandshakeError, or anything.
        """
        hub = self._hub
        if hub.arrivals.finished:
            raise ServerDraining
        session = Session(hub, scope, writer, self.sid)
        try:
            sockets = [self._open(session, form) for form in luggage.sockets]
            session.arrive(
                entered=luggage.entered,
                last_ack_id=luggage.last_ack_id,
                pinged=luggage.pinged,
                seconds=luggage.seconds,
            )
            self._be_known(session)
            for socket, form in zip(sockets, luggage.sockets, strict=True):
                self._let_in(socket, form, luggage.had, logins.get(form.sid))
        except BaseException:
            session.close("transport error")
            raise
        hub.reasking.came(session, moved=True)
        for first, *rest in luggage.waiting:
            session.send(Frames(first, tuple(rest)))
        had = set(luggage.had)
        for id, do in self._heard:
            if id not in had and not session.closed.happened:
                do(session)
        session.take_place()
        return session

    def _be_known(self, session: Session) -> None:
        """Let the session's own server know where it is, until it ends or goes on."""
        self._hub.moves.adopt(self.sid)
        session.closed.wait().add_done_callback(lambda _: self._hub.note_left(self.sid))

    def _open(self, session: Session, form: SocketForm) -> Socket:
        route = resolve(form.namespace)
        return Socket(self._hub, session, form.namespace, route, form.query)

    def _let_in(
        self, socket: Socket, form: SocketForm, had: list[str], login: Login | None
    ) -> None:
        hub = self._hub
        unpack(socket, form, login)
        if login is not None:
            socket.connection.count_login(login.user)
            hub.reasking.note_login(socket)
        for number in form.unanswered:
            self._due += 1
            socket.acks.expect(number, partial(self._tell, form.sid, number))
        hub.moves.adopt(form.sid)
        hub.moves.note_had(form.sid, had)
        if hub.recovery is not None:
            missed = None
            if form.missed is not None:
                missed = [
                    Missed(names, Packet(id, text, attachments))
                    for names, id, text, attachments in form.missed
                ]
            hub.recovery.arrive(socket, missed, form.trail)
        if socket.observed:
            hub.observers.arrived(socket)

    def end(self) -> None:
        """Keep nothing any more, and nobody waiting."""
        self._hub.crossings.discard(self)
        self._heard.clear()
        self.over.set()

    # What was asked before it came

    def _tell(self, sid: str, number: int, args: list[Any] | None) -> None:
        if args is None:
            self._told.put_nowait((sid, number, None, ()))
        else:
            self._told.put_nowait((sid, number, *encode_args(args)))

    @property
    def owes(self) -> bool:
        """Whether the client is to acknowledge anything that it was asked there."""
        return self._due > 0

    async def tell_acks(self, tell: Callable[[Any], None]) -> None:
        """Tell who has asked what the client acknowledges, until nothing more can come."""
        while self._due:
            tell(await self._told.get())
            self._due -= 1


class Arrivals:
    """The sessions that a hub is about to have, or has just got."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._coming: dict[str, Arrival] = {}
        # Those with acknowledgements that their old owner waits for, and will ask for.
        self._owing: dict[str, Arrival] = {}
        self.finished = False

    def begin(self, sid: str) -> Arrival:
        """Keep what is for a session from now on, until it is here or does not come."""
        arrival = self._coming[sid] = Arrival(self._hub, sid)
        self._hub.crossings.add(arrival)
        return arrival

    def end(self, arrival: Arrival) -> None:
        """Take note that a session is here, or does not come."""
        self._coming.pop(arrival.sid, None)
        if arrival.owes:
            self._owing[arrival.sid] = arrival
            self._hub.loop.call_later(OWING_TIME, self._owing.pop, arrival.sid, None)
        arrival.end()

    def __bool__(self) -> bool:
        return bool(self._coming)

    async def finish(self) -> None:
        """Wait until nobody is on the way, but not for long; nobody arrives after that."""
        await self.wait()
        self.finished = True

    async def wait(self) -> None:
        """Wait until nobody is on the way, but not for long."""
        if self._coming:
            waiters = [arrival.over.wait() for arrival in self._coming.values()]
            await asyncio.wait(waiters, timeout=PATIENCE)

    async def wait_for(self, sid: str) -> None:
        """Wait until a session is not on the way any more, but not for long."""
        if (arrival := self._coming.get(sid)) is not None:
            await asyncio.wait([arrival.over.wait()], timeout=PATIENCE)

    async def tell_acks(self, sid: str, tell: Callable[[Any], None]) -> None:
        """Tell the old owner of a session what its client acknowledges."""
        tell(None)
        await self.wait()
        if (arrival := self._owing.pop(sid, None)) is not None:
            await arrival.tell_acks(tell)


def _select(session: Session, target: Target) -> list[Socket]:
    """Return the sockets of one session that a target means."""
    sockets = list(session.sockets.values())
    if target.client:
        if not any(socket.sid == target.rooms[0] for socket in sockets):
            return []
        if target.namespace:
            return [socket for socket in sockets if socket.namespace == target.namespace]
        return [socket for socket in sockets if socket.sid == target.rooms[0]]
    return [socket for socket in sockets if target.means(socket)]
