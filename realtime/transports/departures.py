"""Sessions that another process takes over: what their owner does (see `takeover`)."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Any

from ..cluster.envelopes import AwaitAcks, Upgrade
from ..cluster.targets import Target
from ..exceptions import HandshakeError, ServerGone, UnknownNamespace
from ..recovery.identities import identify_exactly
from ..routing import Route, resolve
from ..sockets.messages import Message, decode_args
from ..sockets.moving import Immovable, SocketForm, pack
from ..sockets.socket import Socket
from . import crossing_forms as forms
from .crossing_forms import Luggage, Place, Plan
from .interfaces import Hub
from .session import Session

# The steps that a process asks for: get ready, give, and how that has ended. `KEEP` and `DROP` are
# for a client that is not taken: it goes on with polling, or is known to be gone.
PREPARE, TAKE, DONE, KEEP, DROP = "prepare", "take", "done", "keep", "drop"

# How long handlers that are at work may take until their client could move, and how long after a
# client was ready, or was given away, the next step may take beyond the upgrade.
SETTLE_TIME = 4.0
SPARE_TIME = 10.0

# How often it is looked whether what runs for a client has ended.
LOOK_INTERVAL = 0.01

# Events and commands that are remembered as done, of a client that is about to go.
MAX_HAD = 10_000

# How long requests of polling that come late are led to where a session has gone.
RELAY_TIME = 60.0


class State(Enum):
    """How far a departure is."""

    SETTLING = "its handlers have what they had, and get nothing new"
    HELD = "nothing is at work for it"
    GIVEN = "the other process has it, but has not said so yet"


SETTLING, HELD, GIVEN = State


class Departure:
    """A session of this hub that the hub `server` is about to have."""

    def __init__(self, hub: Hub, session: Session, server: str) -> None:
        self.session = session
        self.server = server
        self.state = SETTLING
        self.sockets: list[Socket] = []
        self.places: list[Place] = []
        self.timer: asyncio.TimerHandle | None = None
        self._hub = hub
        self._had: deque[str] = deque(maxlen=MAX_HAD)

    # What is done here the other hub does not do again

    def note_emit(self, target: Target, message: Message, id: str) -> None:
        """Take note of an event that was delivered here."""
        if id:  # which older versions do not give
            self._had.append(id)

    def note_command(self, target: Target, action: str, names: tuple[str, ...], id: str) -> None:
        """Take note of a command that was carried out here."""
        if id:
            self._had.append(id)

    def note_call(self, id: str) -> None:
        """Take note of a question that clients were asked here."""
        if id:
            self._had.append(id)

    # Getting ready

    async def settle(self) -> None:
        """
        Wait until nothing is at work for the client, and it could move at once.

        Raises Immovable where it cannot.
        """
        self.session.hold()
        self.session.upgrading = True
        self._pack()
        try:
            async with asyncio.timeout(SETTLE_TIME):
                while not self._is_at_rest():
                    await asyncio.sleep(LOOK_INTERVAL)
                await self._hub.moves.scatter()
                await self._hub.wait_returned()
                if self._hub.recovery is not None:
                    await self._hub.recovery.flush()
        except TimeoutError:
            slow = (
                "other servers, or the channel layer, have been at it"
                if self._is_at_rest()
                else "a handler, or a callback that waits for its client, is at work"
            )
            raise Immovable(f"{slow} for more than {SETTLE_TIME:g} seconds") from None
        self._pack()
        self.state = HELD
        self._hub.crossings.add(self)
        self.session.set_upgrading(True)

    def _pack(self) -> list[SocketForm]:
        """Return the sockets as they would move now. Raises Immovable where they could not."""
        session = self.session
        if session.closed.happened or session.polling is None or session.polling.ending:
            raise Immovable("the session has ended")
        return [pack(socket, _route(socket)) for socket in session.sockets.values()]

    def _is_at_rest(self) -> bool:
        session = self.session
        if session.closed.happened:
            return True  # which is seen next
        return not session.require_inbox().unread and all(
            socket.at_rest for socket in session.sockets.values()
        )

    def plan(self) -> Plan:
        """Return what is to come. Raises Immovable where nobody can tell who the client is."""
        scope = self.session.scope
        if (identity := identify_exactly(scope)) is None:
            raise Immovable("who the client's user is cannot be told")
        rooms_of = self._hub.registry.rooms_of
        self.places = [
            Place(socket.namespace, socket.sid, rooms_of(socket))
            for socket in self.session.sockets.values()
        ]
        return Plan("", self.places, *forms.describe_scope(scope), identity)

    # Giving

    def give(self) -> Luggage:
        """Give the client away, in one go. Raises Immovable where that cannot be done any more."""
        session, hub = self.session, self._hub
        packed = self._pack()
        polling = session.require_polling()
        self.sockets = list(session.sockets.values())
        known = {place.sid: place.rooms for place in self.places}
        if hub.recovery is not None and not all(
            hub.recovery.can_depart(socket, known.get(socket.sid, [])) for socket in self.sockets
        ):
            raise Immovable("it has been made to join rooms meanwhile")
        for socket, form in zip(self.sockets, packed, strict=True):
            self._give(socket, form, known.get(socket.sid, []))
        pinged, seconds = session.pinged, session.seconds_left()
        last_ack_id, entered = session.last_ack_id, session.entered
        waiting, unread = session.depart(polling)
        self.state = GIVEN
        hub.crossings.discard(self)
        return Luggage(
            packed,
            [frames.frames for frames in waiting],
            unread,
            list(self._had),
            entered,
            last_ack_id,
            pinged,
            seconds,
        )

    def _give(self, socket: Socket, form: SocketForm, known: list[str]) -> None:
        hub = self._hub
        if hub.recovery is not None:
            form.trail = hub.recovery.pack_trail(socket)
            missed = hub.recovery.depart(socket)
            form.missed = None if missed is None else [(names, *packet) for names, packet in missed]
        if socket.observed:
            hub.observers.moved(socket)
        hub.moves.note(socket.sid, self.server)
        hub.lingering.add(socket.namespace, socket.sid, form.rooms, set(form.rooms) - set(known))
        socket.depart()

    async def relay_acks(self) -> None:
        """Give the acknowledgements that come there to who waits for them here."""
        sockets = {socket.sid: socket for socket in self.sockets if socket.acks.pending}
        if not sockets:
            return

        def hear(content: Any) -> None:
            if content is not None:
                sid, number, text, attachments = content
                if text is not None and sid in sockets:
                    sockets[sid].acks.resolve(number, decode_args(text, tuple(attachments)))

        try:
            question = AwaitAcks(self.session.sid)
            await self._hub.cluster.ask(self.server, question, None, hear)
        except ServerGone:
            pass
        finally:
            for socket in sockets.values():
                socket.acks.give_up()

    # Other ends

    def keep(self) -> None:
        """Go on here, as if nobody had asked."""
        self._hub.crossings.discard(self)
        self.session.release()

    def fail(self) -> None:
        """Take note that the client was given away, and is nowhere."""
        for socket in self.sockets:
            self._hub.moves.forget(socket.sid)
            socket.end_elsewhere("transport error")


class Departures:
    """The sessions of a hub that others are about to have, or have."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[str, Departure] = {}
        # Where sessions have gone, for what their clients still send here.
        self._gone: dict[str, str] = {}

    def where(self, sid: str) -> str | None:
        """Return the hub that a session of this one has gone to, or None."""
        return self._gone.get(sid)

    async def answer(self, question: Upgrade) -> bytes | None:
        """Do the step that another hub asks for; return what that hub is told."""
        sid = question.sid
        if question.step == PREPARE:
            return forms.encode(await self._prepare(sid, question.server))
        departure = self._open.get(sid)
        if departure is None or departure.server != question.server:
            return None
        if question.step == TAKE:
            return self._give(departure)
        self._end(departure, question.step)
        return b""

    async def _prepare(self, sid: str, server: str) -> Plan:
        session = self._hub.connections.get(sid)
        try:
            if not isinstance(session, Session) or session.polling is None or session.upgrading:
                return Plan("there is no such session on polling")
            if self._hub.draining:
                return Plan("its process is about to stop")
            session.prove()
        except HandshakeError as error:
            return Plan(error.message)
        departure = Departure(self._hub, session, server)
        self._open[sid] = departure
        try:
            await departure.settle()
            plan = departure.plan()
        except Immovable as reason:
            self._end(departure, KEEP)
            return Plan(str(reason))
        except BaseException:
            self._end(departure, KEEP)
            raise
        self._end_later(departure, KEEP)
        return plan

    def _end_later(self, departure: Departure, step: str) -> None:
        """End a departure by itself, where nobody asks for the next step in time."""
        if departure.timer is not None:
            departure.timer.cancel()
        seconds = self._hub.settings.UPGRADE_TIMEOUT + SPARE_TIME
        departure.timer = self._hub.loop.call_later(seconds, self._end, departure, step)

    def _give(self, departure: Departure) -> bytes | None:
        if departure.state is not HELD:
            return None
        session = departure.session
        try:
            luggage = departure.give()
        except Immovable:
            self._end(departure, DROP)
            return None
        except Exception:
            session.fail()
            self._end(departure, DROP)
            return None
        self._gone[session.sid] = departure.server
        self._hub.loop.call_later(RELAY_TIME, self._gone.pop, session.sid, None)
        self._end_later(departure, DROP)
        self._hub.services.spawn(departure.relay_acks())
        return forms.encode(luggage)

    def _end(self, departure: Departure, step: str) -> None:
        """End a departure, by DONE, KEEP or DROP."""
        if self._open.get(departure.session.sid) is departure:
            del self._open[departure.session.sid]
        if departure.timer is not None:
            departure.timer.cancel()
        if step == DONE:
            return
        if departure.state is GIVEN:
            departure.fail()
            return
        departure.keep()
        if step == DROP:  # it has left polling for good
            departure.session.close("transport close")

    def close(self) -> None:
        """Wait for nothing any more."""
        for departure in list(self._open.values()):
            if departure.timer is not None:
                departure.timer.cancel()
        self._open.clear()


def _route(socket: Socket) -> Route:
    try:
        return resolve(socket.namespace)
    except UnknownNamespace as error:
        raise Immovable(str(error)) from error
