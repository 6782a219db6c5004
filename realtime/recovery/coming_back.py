"""The side of recovery with a log in Redis on which clients come back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..cluster.addressing import as_emit
from ..cluster.envelopes import server_group
from ..cluster.log_layer import LogLayer
from ..cluster.sids import server_of
from ..cluster.streams import group_of
from ..cluster.targets import Target
from ..protocol.frames import Frames
from ..sockets.backlog import Backlog, Placed, Postponed
from ..sockets.messages import with_offset
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from ..utils.recovery import RecoveryOptions
from .claims import Claim, LocalClaim, RemoteClaim
from .forms import open_session
from .identities import Identity
from .interfaces import Hub
from .log import Lost
from .places import format_place, number_of, parse_place, place_of
from .recalled import LoggedClaim, OrphanClaim, Recalled
from .recalls import Recall
from .recovery import Recovery
from .session import Missed, Session
from .store import Store
from .streams import Elsewhere, StreamLog

# How often a session that is on its way is looked for, and how many seconds there are between.
ATTEMPTS = 4
PAUSE = 0.3


class Bus(Protocol):
    """The way of all that is sent."""

    def after(self, call: Callable[[], object]) -> None:
        """Do something when all that was sent so far is done."""

    def expect_join(self, namespace: str, room: str) -> None:
        """Take note that a room is about to be joined, behind what was sent so far."""

    async def echo(self) -> None:
        """Wait until this hub has heard all that was sent so far."""

    def lost(self) -> None:
        """Take note that something may be lost."""


class ComingBack(Recovery):
    """
    Finds sessions, wherever they are, and gives clients their places among all events.

    `layer()` returns what keeps the log.
    """

    shared = True
    remote_claim = LoggedClaim
    log: StreamLog  # type: ignore[assignment]  # nothing here asks it for what it has not
    _bus: Bus

    def __init__(self, hub: Hub, options: RecoveryOptions, layer: Callable[[], LogLayer]) -> None:
        self._layer = layer
        super().__init__(hub, options)
        # Of a hub that is killed they are to last as long as a client may be away, and so much
        # longer as it may be that it has not renewed them.
        seconds = options.seconds + self._sweep_every
        self.store = Store(
            hub.server_id, self.log, hub.services, seconds, now=hub.loop.time, stolen=self._stolen
        )
        self.sessions.store = self.store

    def _new_log(self, hub: Hub, options: RecoveryOptions) -> Any:
        return StreamLog(hub.server_id, self._layer)

    def use(self, bus: Bus) -> None:
        """Learn the way of all that is sent."""
        self._bus = bus

    def is_let_in(self, socket: Socket) -> bool:
        """Tell whether a socket has its place among all events."""
        return self.sessions.live.get(socket.pid) is socket

    def _describe(self, socket: Socket) -> Session | None:
        return None if socket.gone else self.sessions.describe(socket, "transport close")

    def _stolen(self, pid: str) -> None:
        """Let go of a client that is elsewhere: it was taken for dead here."""
        if (socket := self.sessions.live.get(pid)) is not None:
            self.sessions.live.remove(socket)
            socket.connection.close("transport close")
        if (session := self.sessions.get(pid)) is not None:
            self.sessions.give(session)

    async def restore(self, socket: Socket, auth: dict[str, Any]) -> dict[str, Any]:
        """Let a new socket be what its client had before (see `Recovery.restore`)."""
        left = await super().restore(socket, auth)
        if socket.gone:
            return left
        if socket.claim is not None:
            socket.trail = socket.claim.session.trail
        else:
            socket.trail = await self.new_trail(socket.pid)
        return left

    async def new_trail(self, pid: str) -> Trail:
        """Return the trail of a new client, for which all is that comes from now on."""
        return Trail(pid, await self._position())

    async def _catch_up(self, claim: Recalled) -> Recalled:
        """
        Let the session of a claim do what others wanted of it up to now; return the claim. From now
        on the new socket does that itself. Raises Lost.
        """
        try:
            await self._hub.cluster.flush_local()
            position = await self._position()
            with contextlib.suppress(TimeoutError):
                await self._bus.echo()
            await claim.catch_up(max(position, self.log.number))
        except Lost:
            claim.refuse()
            raise
        return claim

    async def _position(self) -> int:
        try:
            async with asyncio.timeout(5):
                return max(await self.log.position(), self.log.number)
        except Exception:  # while Redis is away nobody comes back to what is sent
            return self.log.number

    async def _claim(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        session = self.sessions.find(pid, socket.namespace, identity)
        if session is None:
            return None
        session.claimant = socket
        await self.store.flush()
        recall = Recall(self.log, session, offset, self._hub.server_id, self._bus.echo)
        try:
            await recall.begin()
        except Lost as lost:
            socket.log(logging.INFO, "not-recovered", error=lost)
            if self.sessions.get(pid) is session:
                self.sessions.end(session)
            return None
        if self.sessions.get(pid) is not session or session.claimant is not socket:
            return None
        claim = LocalClaim(self.sessions, session, [])
        return Recalled(self._hub, claim, recall, socket, self.sessions)

    async def _find(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        """Claim a session of another hub, or of one that is gone; it may be on its way."""
        why = "no server has the session"
        for _ in range(ATTEMPTS):
            try:
                claim = await self._find_elsewhere(socket, pid, offset, identity)
                if claim is None and not socket.gone:
                    claim = await self._find_orphan(socket, pid, offset, identity)
            except Elsewhere as elsewhere:
                why = str(elsewhere)
            except Lost as lost:
                why = str(lost)
                break
            else:
                return claim
            if socket.gone:
                return None
            await asyncio.sleep(PAUSE)
        socket.log(logging.INFO, "not-recovered", error=why)
        return None

    async def _find_elsewhere(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        claim = await super()._find(socket, pid, offset, identity)
        if claim is None or isinstance(claim, Recalled):
            return claim
        assert isinstance(claim, RemoteClaim)
        recall = Recall(self.log, claim.session, offset, claim.server, self._bus.echo)
        try:
            await recall.begin()
        except Elsewhere:
            claim.release(socket)
            raise
        except Lost:
            claim.refuse()
            raise
        return await self._catch_up(Recalled(self._hub, claim, recall, socket, self.sessions))

    async def _find_orphan(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        """Claim a session whose hub is gone. Raises Lost."""
        found = await self.store.find(pid)
        if found is None:
            raise Lost("no server has the session")
        owner, parcel = found
        (form,) = parcel.sessions
        if owner == self._hub.server_id or self._hub.cluster.is_peer(owner):
            raise Elsewhere(f"{owner} has let go of the session")
        if (form.namespace, Identity(form.user, form.login)) != (socket.namespace, identity):
            raise Lost("its user or namespace is another one")
        session = open_session(parcel, form, self.log.number, self._hub.loop.time())
        recall = Recall(self.log, session, offset, owner, self._bus.echo)
        claim = OrphanClaim(self._hub, self.sessions, session)
        try:
            await recall.begin(alone=True)
        except Lost:
            claim.release(socket)
            raise
        if socket.gone:
            claim.release(socket)
            return None
        claim.follow()
        return await self._catch_up(Recalled(self._hub, claim, recall, socket, self.sessions))

    async def let_in(
        self, socket: Socket, missed: list[Missed], backlog: Backlog
    ) -> tuple[list[Frames], int]:
        """
        Give a socket its place among all events, and write its session.

        Returns the frames of what it had missed when it came, of what its `connect` has emitted,
        and of what has come since: `missed`, and what others have sent; and the last one's place.
        """
        assert socket.trail is not None
        claim: Any = socket.claim
        recall: Recall | None = None if claim is None else claim.recall
        since = socket.trail.since if recall is None else recall.since
        self._arrived(socket)
        socket.claim = None
        self.sessions.live.add(socket)
        first = [] if recall is None else recall.first
        frames = [self._frames(socket, packet, names[-1]) for names, packet in first]
        emits, place, target = [], since, Target(socket.namespace, (socket.sid,))
        for item in backlog.own:
            if isinstance(item, Postponed) and not item.message.volatile:
                emits.append(as_emit(target, item.message))
                place = place_of(number_of(since), len(emits))
            frames += self._unfold(socket, item, place)
        if missed:
            frames += [self._frames(socket, packet, names[-1]) for names, packet in missed]
            place = parse_place(missed[-1].names[-1]) or place
        upto = since if recall is None else recall.upto
        others = [
            item
            for item in backlog.of_others
            if not isinstance(item, Placed) or item.place > upto  # or it is among what was missed
        ]
        rest, place = self.unfold(socket, others, place)
        before = "" if recall is None else recall.owner
        session = self._describe(socket)
        if not self._hears_since(socket, recall):
            socket.trail.floor = Trail.NEVER
        if session is None or not await self.store.begin(session, before, since, emits):
            socket.trail.floor = Trail.NEVER
        if emits:  # no volatile event is to have an offset before theirs
            try:
                await self._bus.echo()
                self.log.reach(since)
            except TimeoutError:
                socket.trail.floor = Trail.NEVER
        return frames + rest, place

    def _hears_since(self, socket: Socket, recall: Recall | None) -> bool:
        """
        Tell whether this hub hears for a client from where it has read on: a layer that is slow
        lets it in all the same.
        """
        home = server_group(server_of(socket.sid) or "")
        groups = {home, group_of(socket.namespace, None)}
        joined = {group_of(socket.namespace, room) for room in self._hub.registry.rooms_of(socket)}
        known = self.log.layer.since
        if not (groups | joined) <= known.keys():
            return False
        if recall is None:
            return True
        groups |= {group_of(socket.namespace, room) for room in recall.session.rooms} & joined
        return all(known[group] <= number_of(recall.upto) for group in groups)

    def unfold(self, socket: Socket, items: Iterable[Any], place: int) -> tuple[list[Frames], int]:
        """
        Return the frames of what was put off, which comes behind a place, and the last one's place.
        """
        frames: list[Frames] = []
        for item in items:
            place = item.place if isinstance(item, Placed) else place
            frames += self._unfold(socket, item, place)
        return frames, place

    def _unfold(self, socket: Socket, item: Any, place: int) -> list[Frames]:
        if isinstance(item, Placed):
            return [item.frames]
        if isinstance(item, Postponed):
            wire_format = socket.connection.format
            frames = item.message.frames(wire_format)
            return [with_offset(frames, wire_format, format_place(place))]
        return [item]
