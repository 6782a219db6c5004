"""A session that another process takes over, at its owner: getting ready, and giving."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Any

from ..cluster.envelopes import AwaitAcks
from ..cluster.targets import Target
from ..exceptions import ServerGone, UnknownNamespace
from ..identity.renewal import Login
from ..recovery.identities import identify_exactly
from ..routing import Route, resolve
from ..sockets.messages import Message, decode_args
from ..sockets.moving import Immovable, SocketForm, pack, pack_shown
from ..sockets.socket import Socket
from ..utils.oneshot import OneShotEvent
from . import crossing_forms as forms
from .crossing_forms import Luggage, Place, Plan
from .interfaces import Hub
from .session import Session

# The steps that a process asks for: get ready, for a WebSocket or for polling; give; and how that
# has ended. `KEEP` and `DROP` are for a client that is not taken: it goes on with polling, or is
# known to be gone.
PREPARE, PREPARE_POLLING = "prepare", "prepare polling"
TAKE, DONE, KEEP, DROP = "take", "done", "keep", "drop"

# How long handlers that are at work may take until their client could move.
SETTLE_TIME = 4.0

# The same for a client that stays on polling, which waits for nothing but its handlers: they are
# not kept from what it sends for long. So long may a POST take, too, that is under way.
POLLING_SETTLE_TIME = 1.0

# How often it is looked whether what runs for a client has ended.
LOOK_INTERVAL = 0.01

# Events and commands that are remembered as done, of a client that is about to go.
MAX_HAD = 10_000


class State(Enum):
    """How far a departure is."""

    SETTLING = "its handlers have what they had, and get nothing new"
    HELD = "nothing is at work for it"
    GIVEN = "the other process has it, but has not said so yet"


SETTLING, HELD, GIVEN = State


class Departure:
    """
    A session of this hub that the hub `server` is about to have; `stays_polling` tells whether its
    client goes on with polling there. `over` is set when it is given, or is not.
    """

    def __init__(self, hub: Hub, session: Session, server: str, stays_polling: bool) -> None:
        self.session = session
        self.server = server
        self.stays_polling = stays_polling
        self.state = SETTLING
        self.over = OneShotEvent()
        self.sockets: list[Socket] = []
        self.places: list[Place] = []
        self._logins: dict[str, Login | None] = {}
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
        seconds = POLLING_SETTLE_TIME if self.stays_polling else SETTLE_TIME
        try:
            async with asyncio.timeout(seconds):
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
            raise Immovable(f"{slow} for more than {seconds:g} seconds") from None
        self._pack()
        self.state = HELD
        self._hub.crossings.add(self)
        if not self.stays_polling:
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
            Place(socket.namespace, socket.sid, rooms_of(socket), pack_shown(socket.login))
            for socket in self.session.sockets.values()
        ]
        self._logins = {socket.sid: socket.login for socket in self.session.sockets.values()}
        return Plan("", self.places, *forms.describe_scope(scope), identity)

    # Giving

    async def wait_posted(self) -> bool:
        """Wait until no POST is being taken in, whose answer says that all of it is; tell if so."""
        try:
            async with asyncio.timeout(POLLING_SETTLE_TIME):
                while self.session.posting:
                    await asyncio.sleep(LOOK_INTERVAL)
        except TimeoutError:
            return False
        return True

    def give(self) -> Luggage:
        """Give the client away, in one go. Raises Immovable where that cannot be done any more."""
        session, hub = self.session, self._hub
        packed = self._pack()
        polling = session.require_polling()
        self.sockets = list(session.sockets.values())
        if any(self._logins.get(socket.sid) is not socket.login for socket in self.sockets):
            raise Immovable("who the client is has changed meanwhile")
        known = {place.sid: place.rooms for place in self.places}
        if hub.recovery is not None and not all(
            hub.recovery.can_depart(socket, known.get(socket.sid, [])) for socket in self.sockets
        ):
            raise Immovable("it has been made to join rooms meanwhile")
        for socket, form in zip(self.sockets, packed, strict=True):
            self._give(socket, form, known.get(socket.sid, []))
        pinged, seconds = session.pinged, session.seconds_left()
        last_ack_id, entered = session.last_ack_id, session.entered
        hub.moves.note(session.sid, self.server)
        waiting, unread = session.depart(polling)
        self.state = GIVEN
        self.over.set()
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
        self.over.set()

    def fail(self) -> None:
        """Take note that the client was given away, and is nowhere."""
        self._hub.moves.forget(self.session.sid)
        for socket in self.sockets:
            self._hub.moves.forget(socket.sid)
            socket.end_elsewhere("transport error")


def _route(socket: Socket) -> Route:
    try:
        return resolve(socket.namespace)
    except UnknownNamespace as error:
        raise Immovable(str(error)) from error
