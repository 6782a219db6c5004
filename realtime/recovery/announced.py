"""Sessions that other hubs have announced to this one, which is their heir, until they come."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from ..cluster.targets import Target
from ..logs import log
from .forms import Parcel, SessionForm, is_logged, open_session
from .interfaces import Hub
from .log import EventLog
from .session import NOTHING, Session
from .sessions import Sessions

# How long a session that was announced may take to come.
PATIENCE = 60.0

# Commands that are kept for those that are coming.
MAX_COMMANDS = 10_000


class Coming(NamedTuple):
    """
    A session that a `server` has announced: what it is so far, since which number this hub hears
    for it, how many commands were kept before, and until when it may come. `over` is set when it
    has come, or when it is not to be waited for.
    """

    form: SessionForm
    server: str
    since: int
    kept: int
    until: float
    over: asyncio.Event


class Announced:
    """Hears what is for sessions that are coming, and keeps those that have come."""

    def __init__(self, hub: Hub, log: EventLog, sessions: Sessions, *, shared: bool) -> None:
        self._hub = hub
        # Whether hubs share a log.
        self._shared = shared
        self._log = log
        self._sessions = sessions
        self._coming: dict[str, Coming] = {}
        self._sids: set[str] = set()
        # What was asked of clients since the first of them was announced, and how far this hub had
        # counted then; and the rooms for which it hears since, as they may have joined them.
        self._commands: list[tuple[int, Target, str, tuple[str, ...]]] = []
        self._joined: list[tuple[str, tuple[str, ...]]] = []

    def get(self, pid: str) -> asyncio.Event | None:
        """Return what is set when the session of a pid has come, or is not to be waited for."""
        coming = self._coming.get(pid)
        return None if coming is None else coming.over

    def is_coming(self, sid: str) -> bool:
        """Tell whether the session of the client of a sid is on its way here."""
        return sid in self._sids

    async def expect(self, parcel: Parcel) -> None:
        """Hear, from now on, what the clients that are coming would miss."""
        until = self._hub.loop.time() + PATIENCE
        for form in parcel.sessions:
            before = self._coming.get(form.pid)
            self._sessions.hold(form.namespace, form.rooms)
            if before is None:
                self._hub.moves.expect(form.sid)
            else:  # another hub had it, and it went elsewhere first: what that had to say is old
                self._sessions.unhold(before.form.namespace, before.form.rooms)
            self._sids.add(form.sid)
            over = before.over if before and not before.over.is_set() else asyncio.Event()
            self._coming[form.pid] = Coming(
                form, parcel.server, self._log.number, len(self._commands), until, over
            )
        await self._hub.cluster.flush_local()
        await self._hub.cluster.fence()

    def execute(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let clients whose sessions are coming do something, once these have come."""
        if not self._coming:
            return
        if len(self._commands) < MAX_COMMANDS:
            self._commands.append((self._log.number, target, action, names))
            if action == "join":
                self._hear_for(target, names)
            return
        # Better told of a loss than left in a room, or out of one.
        log(logging.WARNING, "sessions-not-kept", sessions=len(self._coming))
        for pid in list(self._coming):
            self._give_up(pid)

    def _hear_for(self, target: Target, rooms: tuple[str, ...]) -> None:
        """Hear for rooms that clients which are coming may have joined just now."""
        for coming in self._coming.values():
            if target.client or target.means(coming.form):
                self._sessions.hold(coming.form.namespace, rooms)
                self._joined.append((coming.form.namespace, rooms))

    def keep(self, parcel: Parcel) -> None:
        """Keep the sessions that have come, and wait no more for those that do not."""
        arrived: dict[Session, Coming] = {}
        for form in parcel.sessions:
            if form.pid in self._coming and is_logged(form) is not self._shared:
                self._give_up(form.pid)
            coming = self._coming.pop(form.pid, None)
            if coming is None:
                continue
            self._sids.discard(form.sid)
            session = open_session(parcel, form, coming.since, self._hub.loop.time())
            self._hub.moves.adopt(form.sid)
            packets = (parcel.packets[place] for _, place in form.missed)
            self._hub.moves.note_had(form.sid, (packet.id for packet in packets))
            self._sessions.adopt(session, counts=form.counts)
            self._sessions.unhold(coming.form.namespace, coming.form.rooms)
            arrived[session] = coming
        self._catch_up(arrived)
        for coming in arrived.values():
            coming.over.set()
        for pid in parcel.gone:
            if pid in self._coming and self._coming[pid].server == parcel.server:
                self._give_up(pid)
        self._forget_commands()

    def _catch_up(self, arrived: dict[Session, Coming]) -> None:
        """Let clients do what was asked of them while their sessions were coming."""
        first = min((coming.kept for coming in arrived.values()), default=len(self._commands))
        for place, command in enumerate(self._commands[first:], first):
            number, target, action, names = command
            for session in self._sessions.meant(target, action, names):
                if session not in arrived or arrived[session].kept > place:
                    continue
                if session.seen == NOTHING or number > session.seen:  # or it has done that there
                    self._sessions.execute_for(session, action, names, number)

    def _give_up(self, pid: str) -> None:
        coming = self._coming.pop(pid)
        coming.over.set()
        self._sids.discard(coming.form.sid)
        self._hub.moves.give_up(coming.form.sid)
        self._sessions.unhold(coming.form.namespace, coming.form.rooms)

    def _forget_commands(self) -> None:
        if not self._coming:
            self._commands.clear()
            for namespace, rooms in self._joined:
                self._sessions.unhold(namespace, rooms)
            self._joined.clear()

    def forget_server(self, server: str) -> None:
        """Let nobody wait for what a hub has announced that is gone. It may come all the same."""
        for coming in self._coming.values():
            if coming.server == server:
                coming.over.set()

    def sweep(self) -> None:
        """Forget what was announced and has not come."""
        now = self._hub.loop.time()
        for pid in [pid for pid, coming in self._coming.items() if coming.until < now]:
            self._give_up(pid)
        self._forget_commands()
