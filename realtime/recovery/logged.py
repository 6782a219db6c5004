"""Recovery where the log is in Redis: nothing is lost with a process, even one that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from ..cluster.addressing import as_emit
from ..cluster.log_layer import LogLayer
from ..cluster.streams import stream_name
from ..cluster.targets import Target
from ..protocol.frames import Frames
from ..sockets.backlog import Backlog, Placed, Postponed
from ..sockets.messages import Message, with_offset
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from ..utils.recovery import RecoveryOptions
from .claims import Claim, LocalClaim, RemoteClaim
from .forms import decode_trail, encode_trail, open_session
from .identities import Identity
from .interfaces import Hub
from .log import Lost
from .places import format_place, number_of, parse_place, place_of
from .recalls import LoggedClaim, OrphanClaim, Recall, Recalled
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


class LoggedRecovery(Recovery):
    """What a hub knows of its clients beyond their connections, where others know it too."""

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
        self.sessions.noted = self._note_room
        # Rooms that were joined before this hub heard them: from when on is to be noted.
        self._fresh: list[tuple[Any, str]] = []
        # The place of what is done now, where it has one, and so of what is joined and left.
        self._place: int | None = None

    def _new_log(self, hub: Hub, options: RecoveryOptions) -> Any:
        return StreamLog(hub.server_id, self._layer)

    def streams(self) -> Iterator[str]:
        """Yield the streams of all that is for clients of this hub, here or away."""
        yield stream_name("", None)
        for namespace, room in self.holds:
            yield stream_name(namespace, room)
        for sid in (*self._hub.registry.sockets, *(session.sid for session in self.sessions)):
            yield stream_name("", sid)

    def namespaces(self) -> set[str]:
        """Return the namespaces of all clients of this hub, here or away."""
        return {namespace for namespace, _ in self.holds}

    def use(self, bus: Bus) -> None:
        """Learn the way of all that is sent."""
        self._bus = bus

    @contextlib.contextmanager
    def obeying(self, place: int) -> Iterator[None]:
        """Do in the block what others want of clients, in its place."""
        self.log.reach(place)
        self._place = place
        try:
            yield
        finally:
            self._place = None

    def in_order(self, call: Callable[[], object]) -> None:
        """Do something when all that was sent so far is done."""
        self._bus.after(call)

    def _sweep(self) -> None:
        super()._sweep()
        pids = [socket.pid for socket in self.sessions.live]
        pids += [session.pid for session in self.sessions]
        if pids:
            self._hub.services.spawn(self.store.renew(pids))

    # Losses

    def lose(self, lane: str | None, since: float) -> None:
        """Take note that something may be lost on its way here, for anybody."""
        self.begin_gap()
        self._bus.lost()

    def begin_gap(self) -> None:
        """Take note that what is sent from now on may be lost for who drops."""
        self.log.begin_gap()

    async def end_gap(self) -> None:
        """Take note that nothing is lost from now on, and write all sessions anew."""
        await self.log.end_gap(self._bus.echo)
        for socket in self.sessions.live:
            self._touch(socket)
        for session in self.sessions:
            self.store.touch(session.pid, lambda session=session: session)

    # Events

    def note(self, target: Target, message: Message, event_id: str = "", number: int = 0) -> str:
        """Take note that an event is delivered now; return the offset that goes with it."""
        return self.log.advance(number) if number else self.log.offset

    def to_socket(
        self, socket: Socket, message: Message, event_id: str = "", place: int = 0
    ) -> Frames:
        """Return the frames of an event for one client, which came at this place, or comes now."""
        wire_format = socket.connection.format
        offset = format_place(place) if place else self.log.offset
        return with_offset(message.frames(wire_format), wire_format, offset)

    def about_to_join(self, socket: Socket, room: str) -> None:
        """See to it that what is sent next reaches this hub."""
        self._bus.expect_join(socket.namespace, room)

    def is_let_in(self, socket: Socket) -> bool:
        """Tell whether a socket has its place among all events."""
        return self.sessions.live.get(socket.pid) is socket

    def emit(self, socket: Socket, message: Message) -> None:
        """Send an event to the client of a socket, wherever that is."""
        self._hub.emit(Target(socket.namespace, (socket.sid,)), message)

    # Coming and going

    async def restore(self, socket: Socket, auth: dict[str, Any]) -> dict[str, Any]:
        """Let a new socket be what its client had before (see `Recovery.restore`)."""
        left = await super().restore(socket, auth)
        if socket.gone:
            return left
        if socket.claim is not None:
            socket.trail = socket.claim.session.trail
            if self.sessions.get(socket.pid) is not socket.claim.session:
                # From here on the socket does itself what others want of it.
                await self._hear_all(socket.claim.recall)  # type: ignore[attr-defined]
        else:
            socket.trail = Trail(socket.pid, await self._position())
        return left

    async def _hear_all(self, recall: Recall) -> None:
        """Wait until this hub hears for all rooms of a client; note what is done up to then."""
        await self._hub.cluster.flush_local()
        position = await self._position()
        with contextlib.suppress(TimeoutError):
            await self._bus.echo()
        recall.registered = max(position, self.log.number)

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
        return Recalled(claim, recall, socket, self.sessions)

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
        return Recalled(claim, recall, socket, self.sessions)

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
        return Recalled(claim, recall, socket, self.sessions)

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
        if session is None or not await self.store.begin(session, before, since, emits):
            socket.trail.floor = Trail.NEVER
        if emits:  # no volatile event is to have an offset before theirs
            with contextlib.suppress(TimeoutError):
                await self._bus.echo()
            self.log.reach(since)
        return frames + rest, place

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

    def keep(self, socket: Socket, reason: str) -> bool:
        """Take note that a socket ends (see `Recovery.keep`)."""
        let_in = self.is_let_in(socket)
        counts = super().keep(socket, reason)
        if let_in and self.sessions.get(socket.pid) is None:
            self.store.forget(socket.pid)
        return counts

    def joined(self, socket: Socket, room: str) -> None:
        """Take note that a socket is in a room now."""
        assert socket.trail is not None
        if socket.claim is not None and room in socket.claim.session.rooms:
            return  # that is noted with the session
        socket.trail.join(room, max(self._now, socket.trail.since))
        self._note_room(socket, room)
        self._touch(socket)

    def left(self, socket: Socket, room: str) -> None:
        """Take note that a socket is in a room no more."""
        assert socket.trail is not None
        if socket.claim is not None and room not in socket.claim.session.rooms:
            return  # that is noted with the session
        socket.trail.leave(room, max(self._now, socket.trail.since))
        self._touch(socket)

    @property
    def _now(self) -> int:
        """The place of what is done now, or of what was done last."""
        return self.log.number if self._place is None else self._place

    # Clients that go to another hub without a drop

    def can_depart(self, socket: Socket, known: list[str]) -> bool:
        """Tell whether a hub that hears for these rooms can have the client of a socket."""
        return set(self._hub.registry.rooms_of(socket)) <= set(known)

    def depart(self, socket: Socket) -> list[Missed] | None:
        """Forget a socket whose client another hub is about to have: what it misses is logged."""
        self.sessions.live.remove(socket)
        self.store.let_go(socket.pid)
        self.transfers.note_given(socket.pid, socket.sid)
        return []

    def pack_trail(self, socket: Socket) -> bytes:
        """Return what another hub needs to know of a trail."""
        trail = socket.trail
        assert trail is not None
        if self.log.gap:
            trail.floor = max(trail.floor, self.log.gap_end)
        return encode_trail(self._hub.server_id, trail)

    def arrive(self, socket: Socket, missed: list[Missed] | None, trail: bytes) -> None:
        """Let a socket that comes from another hub be in its place among all events."""
        before, socket.trail = decode_trail(socket.pid, trail)
        self.sessions.live.add(socket)
        self.store.take_over(socket.pid, before)
        self._touch(socket)

    def data_changed(self, socket: Socket) -> None:
        """Take note that what a site keeps of a client is another."""
        self._touch(socket)

    def _note_room(self, client: Any, room: str) -> None:
        """See to it that what was sent to a room before this hub heard it is not replayed."""
        if self._place is None and self.log.since(client.namespace, room) is None:
            self._fresh.append((client, room))
            if isinstance(client, Session):
                self._hub.services.spawn(self._settle())

    def _touch(self, socket: Socket) -> None:
        if self.is_let_in(socket):
            self.store.touch(socket.pid, lambda: self._describe(socket))

    def _describe(self, socket: Socket) -> Session | None:
        return None if socket.gone else self.sessions.describe(socket, "transport close")

    async def _settle(self) -> None:
        await self._hub.cluster.flush_local()
        self._settle_rooms()

    def _settle_rooms(self) -> None:
        fresh, self._fresh = self._fresh, []
        for client, room in fresh:
            since = self.log.since(client.namespace, room)
            if since is None or client.trail is None or not client.trail.rejoin(room, since):
                continue
            if isinstance(client, Session):
                self.store.touch(client.pid, lambda client=client: client)
            else:
                self._touch(client)

    async def flush(self) -> None:
        """Wait until what changed so far is written; rooms that were joined are heard by now."""
        self._settle_rooms()
        await self.store.flush()

    def _stolen(self, pid: str) -> None:
        """Let go of a client that is elsewhere: it was taken for dead here."""
        if (socket := self.sessions.live.get(pid)) is not None:
            self.sessions.live.remove(socket)
            socket.connection.close("transport close")
        if (session := self.sessions.get(pid)) is not None:
            self.sessions.give(session)
