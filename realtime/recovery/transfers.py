"""Sessions that other hubs ask for, and those that a hub hands over before it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ..cluster.addressing import target_of
from ..cluster.envelopes import Emit, Inherit, Take
from ..cluster.targets import Target
from ..exceptions import ServerGone
from ..logs import log
from .forms import Packer, Parcel, SessionForm, decode_parcel, encode_parcel, open_session
from .identities import NOBODY, Identity
from .interfaces import Hub
from .log import EventLog, Lost
from .places import number_of
from .session import Missed, Session, is_meant
from .sessions import Sessions

# Sessions in one parcel.
BATCH = 200

# How long a hub that stops takes to hand its sessions over, at most; and how many it asks to take
# them.
TIMEOUT = 8.0
ATTEMPTS = 3

# How long a client waits for a session that is on its way.
SETTLE_TIME = 6.0

# Commands that are kept for one that is coming.
MAX_COMMANDS = 1_000

# How long what is for a session is still heard after it was given away, and for how many.
LINGER = 1.0
MAX_LINGERING = 1_000

# How the ids of processes without clients begin, which no hub's does.
OUTSIDE = "-"

# How long a session that was announced may take to come.
PATIENCE = 60.0

# What is handed over: who is coming, and then all of them.
COMING, SESSIONS = "coming", "sessions"


def read_identity(text: str | None) -> Identity:
    """Return who a client is, from what `describe` returned."""
    return NOBODY if text is None else msgspec.json.decode(text, type=Identity)


def describe(identity: Identity) -> str | None:
    """Return who a client is, as a `Take` says it."""
    return None if identity.user is None else msgspec.json.encode(identity).decode()


class Coming(NamedTuple):
    """
    A session that is announced: what it is so far, since when this hub hears for it, and until when
    it may come, after which `over` is set. `commands` are those that came before it.
    """

    form: SessionForm
    since: int
    until: float
    over: asyncio.Event
    commands: list[tuple[Target, str, tuple[str, ...]]]


class Transfers:
    """Gives sessions to other hubs, and keeps those that others have handed over."""

    def __init__(self, hub: Hub, log: EventLog, sessions: Sessions, *, shared: bool) -> None:
        self._hub = hub
        # Whether hubs share a log: then no events go with a session.
        self._shared = shared
        self._log = log
        self._sessions = sessions
        # By pids, the sids of clients that were given away, or whose sessions were.
        self._given: dict[str, str] = {}
        # Sessions that were given away just now, and when each is let go.
        self.lingering: deque[Session] = deque()
        self._timers: deque[asyncio.TimerHandle] = deque()
        # Sessions that are on their way to another hub, by their pids.
        self._going: dict[str, asyncio.Event] = {}
        # Sessions that are announced, and have not come, by their pids.
        self._coming: dict[str, Coming] = {}

    # Giving

    async def take(self, question: Take) -> bytes | None:
        """Give a session away, or with `final` false tell of it; return its parcel, or None."""
        await self.settle(question.pid)
        if self._sessions.store is not None:
            await self._sessions.store.flush()  # who asks looks there, too
        identity = read_identity(question.user)
        session = self._sessions.find(question.pid, question.namespace, identity)
        if session is None:
            return self._tell_where(question.pid)
        try:
            missed = [] if self._shared else session.missed(self._log, question.offset)
        except Lost:
            self._sessions.end(session)
            return None
        packer = self._new_packer()
        packer.add(session, missed if question.final else [])
        if question.final:
            self._give(session, question.server)
        return encode_parcel(packer.parcel)

    def _new_packer(self) -> Packer:
        seen = number_of(self._log.number) if self._shared else 0
        return Packer(self._hub.server_id, shared=self._shared, seen=seen)

    async def settle(self, pid: str) -> None:
        """Wait while the session of a pid is on its way from here or to here, but not for ever."""
        over = self._going.get(pid)
        if over is None and (coming := self._coming.get(pid)) is not None:
            over = coming.over
        if over is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_TIME):
                    await over.wait()

    def _give(self, session: Session, server: str) -> None:
        self._given[session.pid] = session.sid
        self._hub.moves.note(session.sid, server)
        if not self._shared and len(self.lingering) < MAX_LINGERING:
            self._linger(session)
        self._sessions.give(session)

    def _linger(self, session: Session) -> None:
        """Hear what is for a session a little longer: see `send_on`."""
        self._sessions.hold(session.namespace, session.rooms)
        self.lingering.append(session)
        self._timers.append(self._hub.loop.call_later(LINGER, self._let_go))

    def _let_go(self) -> None:
        self._timers.popleft()
        session = self.lingering.popleft()
        self._sessions.unhold(session.namespace, session.rooms)

    def close(self) -> None:
        """Forget everything."""
        while self._timers:
            self._timers[0].cancel()
            self._let_go()

    def execute(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let clients whose sessions are on their way here do something, once these have come."""
        for coming in self._coming.values():
            if len(coming.commands) < MAX_COMMANDS:
                coming.commands.append((target, action, names))

    def send_on(self, server: str, envelope: Emit) -> None:
        """
        Send an event of a `server` on to clients that were given away just now.

        Hubs that were asked for a fence have sent nothing that only reaches this hub. A process
        that serves no clients is not asked: what it was sending may come here alone.
        """
        if not envelope.id.startswith(OUTSIDE):
            return
        target = target_of(envelope)
        for session in self.lingering:
            if is_meant(session, target):
                self._hub.moves.forward(session.sid, envelope, server)

    def _tell_where(self, pid: str) -> bytes | None:
        server = self.where(pid)
        return (
            None if server is None else encode_parcel(Parcel(self._hub.server_id, [], [], server))
        )

    def where(self, pid: str) -> str | None:
        """Return the hub that a session was given to, or None."""
        sid = self._given.get(pid)
        return None if sid is None else self._hub.moves.where(sid)

    def sweep(self) -> None:
        """Forget who is gone for good, and who was announced and has not come."""
        moves = self._hub.moves
        for pid, coming in list(self._coming.items()):
            if coming.until < self._hub.loop.time():
                del self._coming[pid]
                coming.over.set()
                moves.give_up(coming.form.sid)
                self._sessions.unhold(coming.form.namespace, coming.form.rooms)
        self._given = {pid: sid for pid, sid in self._given.items() if moves.where(sid) is not None}

    def counted(self) -> list[Session]:
        """Return the sessions of clients that are away, and still count as there."""
        return self._sessions.counted()

    # Handing all over

    async def hand_over(self) -> None:
        """Let another hub have all sessions, within some seconds: this one stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                if await self._hand_to_any():
                    return
        log(logging.WARNING, "sessions-not-handed-over", sessions=len(self._sessions))

    async def _hand_to_any(self) -> bool:
        """Hand all to one hub or another; tell whether that is done, or there is none to ask."""
        tried: set[str] = set()
        while len(self._sessions):
            heir = self._hub.cluster.choose_heir(tried)
            if heir is None or len(tried) == ATTEMPTS:
                return not tried
            if await self._hand_to(heir):
                return True
            tried.add(heir)
        return True

    async def _hand_to(self, heir: str) -> bool:
        """Hand all to one hub; tell whether it has them."""
        try:
            for parcel in self._parcels(complete=False):
                if not await self._hub.hand_over(heir, COMING, encode_parcel(parcel)):
                    return False
            count = 0
            for parcel in self._parcels(complete=True):
                if not await self._hand_parcel(heir, parcel):
                    return False
                count += len(parcel.sessions)
        except ServerGone:
            return False
        log(logging.INFO, "sessions-handed-over", server=heir, sessions=count)
        return True

    async def _hand_parcel(self, heir: str, parcel: Parcel) -> bool:
        """Hand some sessions to a hub; nobody else gets them meanwhile."""
        over = asyncio.Event()
        self._going |= dict.fromkeys((form.pid for form in parcel.sessions), over)
        try:
            if not await self._hub.hand_over(heir, SESSIONS, encode_parcel(parcel)):
                return False
            for form in parcel.sessions:
                if (session := self._sessions.get(form.pid)) is not None:
                    self._give(session, heir)
            return True
        finally:
            for form in parcel.sessions:
                self._going.pop(form.pid, None)
            over.set()

    def _parcels(self, *, complete: bool) -> Iterator[Parcel]:
        sessions = list(self._sessions)
        for start in range(0, len(sessions), BATCH):
            packer = self._new_packer()
            for session in sessions[start : start + BATCH]:
                if complete and (missed := self._all_missed(session)) is not None:
                    packer.add(session, missed)
                elif not complete:
                    packer.add(session, [])
            yield packer.parcel

    def _all_missed(self, session: Session) -> list[Missed] | None:
        """Return what the client has not surely got, or None where that is not kept any more."""
        if self._shared:
            return []
        try:
            return session.missed(self._log, None)
        except Lost:
            return None

    # Keeping what is handed over

    async def inherit(self, question: Inherit) -> bool:
        """Keep what a hub that stops hands over; tell whether that is done."""
        try:
            parcel = decode_parcel(question.body)
        except msgspec.MsgspecError as error:
            log(logging.WARNING, "layer-ignored", error=error)
            return False
        if question.kind == COMING:
            await self._expect(parcel)
        elif question.kind == SESSIONS:
            await self._keep(parcel)
        return question.kind in (COMING, SESSIONS)

    async def _expect(self, parcel: Parcel) -> None:
        """Hear, from now on, what the clients that are coming would miss."""
        until = self._hub.loop.time() + PATIENCE
        for form in parcel.sessions:
            before = self._coming.get(form.pid)
            self._sessions.hold(form.namespace, form.rooms)
            if before is None:
                self._hub.moves.expect(form.sid)
            else:  # another hub had it, and it went elsewhere first: what that had to say is old
                self._sessions.unhold(before.form.namespace, before.form.rooms)
            over = asyncio.Event() if before is None else before.over
            self._coming[form.pid] = Coming(form, self._log.number, until, over, [])
        await self._hub.cluster.flush_local()
        await self._hub.cluster.fence()

    async def _keep(self, parcel: Parcel) -> None:
        for form in parcel.sessions:
            coming = self._coming.pop(form.pid, None)
            if coming is None:
                continue
            session = open_session(parcel, form, coming.since)
            self._hub.moves.adopt(form.sid)
            packets = (parcel.packets[place] for _, place in form.missed)
            self._hub.moves.note_had(form.sid, (packet.id for packet in packets))
            self._sessions.adopt(session, counts=form.counts)
            self._sessions.unhold(coming.form.namespace, coming.form.rooms)
            for target, action, names in coming.commands:
                if is_meant(session, target):
                    self._sessions.execute_for(session, action, names)
            coming.over.set()
        await self._hub.observers.wait_written()
        self._hub.cluster.claim(parcel.server)
        await self._hub.cluster.announce()
