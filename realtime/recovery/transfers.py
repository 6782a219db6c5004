"""Sessions that other hubs ask for, and those that a hub hands over before it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from ..cluster.envelopes import Inherit, Take
from ..exceptions import ServerGone
from ..logs import log
from .announced import Announced
from .forms import Packer, Parcel, decode_parcel, encode_parcel
from .identities import NOBODY, Identity
from .interfaces import Hub
from .log import EventLog, Lost
from .places import number_of
from .session import Missed, Session
from .sessions import Sessions

# Sessions in one parcel.
BATCH = 200

# How long a hub that stops takes to hand its sessions over, at most; and how many it asks to take
# them.
TIMEOUT = 8.0
ATTEMPTS = 3

# How often, at most, an heir is told of rooms that clients were made to join meanwhile.
ROUNDS = 5

# How long a client waits for a session that is on its way: longer than that takes at most.
SETTLE_TIME = TIMEOUT + 4.0

# What is handed over: who is coming, and then all of them.
COMING, SESSIONS = "coming", "sessions"


def read_identity(text: str | None) -> Identity:
    """Return who a client is, from what `describe` returned."""
    return NOBODY if text is None else msgspec.json.decode(text, type=Identity)


def describe(identity: Identity) -> str | None:
    """Return who a client is, as a `Take` says it."""
    return None if identity.user is None else msgspec.json.encode(identity).decode()


class Told:
    """In which rooms sessions were as they were announced, by their pids."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[str]] = {}

    def knows(self, session: Session) -> bool:
        """Tell whether an heir hears for all rooms that the client of a session is in now."""
        return session.rooms <= self.rooms[session.pid]


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
        # Sessions that are on their way to another hub, by their pids.
        self._going: dict[str, asyncio.Event] = {}
        # Sessions that are on their way here.
        self.announced = Announced(hub, log, sessions, shared=shared)

    # Giving

    async def take(self, question: Take) -> bytes | None:
        """Give a session away, or with `final` false tell of it; return its parcel, or None."""
        await self.settle(question.pid)
        if not self._sessions.has(question.pid):
            await self._hub.arrivals.wait()
        if question.final:
            await self._hub.cluster.look_for_losses()  # which nobody tells where it is then
        if self._sessions.store is not None:
            await self._sessions.store.flush()  # who asks looks there, too
        if self._is_old(question):
            return self._tell_where(question.pid)
        identity = read_identity(question.user)
        session = self._sessions.find(question.pid, question.namespace, identity)
        if session is None:
            return self._tell_where(question.pid)
        try:
            missed = [] if self._shared else session.missed(self._log, question.offset)
        except Lost:
            self._sessions.end(session)
            return None
        self._hub.moves.want(session.sid)
        packer = self._new_packer()
        is_given = question.final and question.rooms in (None, sorted(session.rooms))
        packer.add(session, missed if is_given else [])
        if is_given:
            self._give(session, question.server)
        packer.parcel.stays = not is_given
        return encode_parcel(packer.parcel)

    def _is_old(self, question: Take) -> bool:
        """
        Tell whether a client has come back since its session was asked for: it has got something
        since, of which who asks knows nothing.
        """
        session = self._sessions.get(question.pid)
        return question.stay > 0 and (session is None or session.stay != question.stay)

    def _new_packer(self) -> Packer:
        seen = number_of(self._log.number) if self._shared else None
        return Packer(self._hub.server_id, self._hub.loop.time(), seen)

    async def settle(self, pid: str) -> None:
        """Wait while the session of a pid is on its way from here or to here, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIME):
                await self._sessions.settle(pid)
                over = self._going.get(pid) or self.announced.get(pid)
                if over is not None:
                    await over.wait()

    def _give(self, session: Session, server: str) -> None:
        self._given[session.pid] = session.sid
        self._hub.moves.note(session.sid, server)
        if not self._shared:  # from which the other hub has all
            self._hub.lingering.add(session.namespace, session.sid, session.rooms)
        self._sessions.give(session)

    def note_given(self, pid: str, sid: str) -> None:
        """Take note that a client is given to another hub, by the way of an upgrade."""
        self._given[pid] = sid

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
        self.announced.sweep()
        self._given = {pid: sid for pid, sid in self._given.items() if moves.where(sid) is not None}

    def counted(self) -> list[Session]:
        """Return the sessions of clients that are away, and still count as there."""
        return self._sessions.counted()

    # Handing all over

    async def hand_over(self) -> None:
        """Let another hub have all sessions, within some seconds: this one stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                await self._hub.cluster.look_for_losses()
                if await self._hand_to_any():
                    return
        log(logging.WARNING, "sessions-not-handed-over", sessions=len(self._sessions))

    async def _hand_to_any(self) -> bool:
        """
        Hand all to one hub or another, those too that are left here meanwhile; tell whether that is
        done, or there is none to ask.
        """
        tried: set[str] = set()
        while len(self._sessions):
            heir = self._hub.cluster.choose_heir(tried)
            if heir is None or len(tried) == ATTEMPTS:
                return not tried
            if not await self._hand_to(heir):
                tried.add(heir)
        return True

    async def _hand_to(self, heir: str) -> bool:
        """Hand all to one hub; tell whether it has them."""
        sessions = list(self._sessions)
        batches = [sessions[start : start + BATCH] for start in range(0, len(sessions), BATCH)]
        count, told = 0, Told()
        try:
            for batch in batches:
                if not await self._tell(heir, batch, told):
                    return False
            for batch in batches:
                for _ in range(ROUNDS):
                    there = (each for each in batch if self._sessions.get(each.pid) is each)
                    moved = [each for each in there if not told.knows(each)]
                    if moved and not await self._tell(heir, moved, told):
                        return False
                parcel = self._pack([each for each in batch if told.knows(each)])
                parcel.gone += [each.pid for each in batch if not told.knows(each)]
                if not await self._hand_parcel(heir, parcel):
                    return False
                count += len(parcel.sessions)
        except ServerGone:
            return False
        log(logging.INFO, "sessions-handed-over", server=heir, sessions=count)
        return True

    async def _tell(self, heir: str, sessions: list[Session], told: Told) -> bool:
        """Announce sessions to an heir; tell whether it hears for their clients, in their rooms."""
        parcel = self._announce(sessions)
        for form in parcel.sessions:
            told.rooms[form.pid] = set(form.rooms)
        return await self._hub.hand_over(heir, COMING, encode_parcel(parcel))

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

    def _announce(self, sessions: list[Session]) -> Parcel:
        packer = self._new_packer()
        for session in sessions:
            self._hub.moves.want(session.sid)
            packer.add(session, [])
        return packer.parcel

    def _pack(self, sessions: list[Session]) -> Parcel:
        """Return sessions that were announced, and which of them do not come after all."""
        packer = self._new_packer()
        for pid in [session.pid for session in sessions]:
            session = self._sessions.get(pid)
            missed = None if session is None else self._all_missed(session)
            if session is not None and missed is not None:
                packer.add(session, missed)
                continue
            packer.parcel.gone.append(pid)
            if session is not None:
                self._sessions.end(session)
        return packer.parcel

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
        """
        Keep what a hub that stops hands over; tell whether that is done. One that is about to stop
        itself keeps nothing: it may have handed over already what it had.
        """
        if self._hub.draining:
            return False
        try:
            parcel = decode_parcel(question.body)
        except msgspec.MsgspecError as error:
            log(logging.WARNING, "layer-ignored", error=error)
            return False
        if question.kind == COMING:
            await self.announced.expect(parcel)
        elif question.kind == SESSIONS:
            self.announced.keep(parcel)
            await self._hub.observers.wait_written()
            self._hub.cluster.claim(parcel.server)
            await self._hub.cluster.announce()
        return question.kind in (COMING, SESSIONS)
