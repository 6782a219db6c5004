"""
Recovery: a client that comes back is who it was, and gets what it has missed.

Specification: https://socket.io/docs/v4/connection-state-recovery
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..cluster.envelopes import LOG_OUT, Take
from ..cluster.sids import server_of
from ..cluster.targets import Target
from ..protocol.frames import Frames
from ..sockets.backlog import Backlog, Postponed
from ..sockets.messages import ForeignMessage, Format, Message, with_offset
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from ..utils.recovery import RecoveryOptions, log_lifetime
from .claims import Claim, Here, LocalClaim, RemoteClaim
from .heard import unheard
from .holds import NamedHolds
from .identities import Identity, identify_client
from .interfaces import Hub
from .log import EventLog, Key, Lost, Packet
from .offsets import limit_name
from .returns import Returns
from .search import Searches
from .session import Missed
from .sessions import Sessions
from .transfers import Transfers, describe

# Why a client may be gone that can come back.
DROPS = frozenset(
    {
        "transport error",
        "transport close",
        "forced close",
        "ping timeout",
        "server shutting down",
        "forced server close",
    }
)

# How often what is too old is looked for, as a share of its time.
SWEEP = 4


class Recovery:
    """What a hub knows of its clients beyond their connections."""

    # Whether all hubs share one log, from which an event comes back before it is delivered.
    shared = False
    remote_claim = RemoteClaim

    def __init__(self, hub: Hub, options: RecoveryOptions) -> None:
        self._hub = hub
        self._lifetime = log_lifetime(options, hub.settings)
        self._sweep_every = self._lifetime / SWEEP
        self.log = self._new_log(hub, options)
        self.holds = NamedHolds(hub.cluster.subscribe, hub.cluster.unsubscribe)
        self.sessions = Sessions(hub, self.log, self.holds, options)
        self.transfers = Transfers(hub, self.log, self.sessions, shared=self.shared)
        self._searches = Searches(self.transfers, hub.loop.time, self.remote_claim)
        self.returns = Returns(self.sessions.live, self._lifetime, hub.loop.time)
        # Clients that are coming back and not let in yet, by what they come back to.
        self._coming: dict[str, Socket] = {}
        self._sweeping = hub.loop.call_later(self._sweep_every, self._sweep)

    def _new_log(self, hub: Hub, options: RecoveryOptions) -> EventLog:
        return EventLog(hub.server_id, options, self._lifetime, hub.loop.time)

    def in_order(self, call: Callable[[], object]) -> None:
        """Do something behind all that was sent: at once, since that is done at once."""
        call()

    @contextlib.contextmanager
    def obeying(self, place: int) -> Iterator[None]:
        """Do in the block what others want of clients, which has a place in a shared log."""
        yield

    async def new_trail(self, pid: str) -> Trail | None:
        """Return None: a client gets its trail when it is let in."""
        return None

    def about_to_join(self, socket: Socket, room: str) -> None:
        """Do nothing: what is sent next is for who is there."""

    def is_let_in(self, socket: Socket) -> bool:
        """Tell whether a socket has its place among all events."""
        return socket.trail is not None

    async def let_in(
        self, socket: Socket, missed: list[Missed], backlog: Backlog
    ) -> tuple[list[Frames], int]:
        """Raise NotImplementedError: `begin` is for a log of the hub's own."""
        raise NotImplementedError

    def unfold(self, socket: Socket, items: Iterable[Any], place: int) -> tuple[list[Frames], int]:
        """Return what was put off, which has its numbers already."""
        return list(items), place

    def data_changed(self, socket: Socket) -> None:
        """Do nothing: what a site keeps is looked at when its client drops."""

    async def flush(self) -> None:
        """Return at once: nothing is written anywhere."""

    def _sweep(self) -> None:
        self.log.sweep()
        self.transfers.sweep()
        self.returns.sweep()
        self._searches.sweep()
        self._coming = {pid: socket for pid, socket in self._coming.items() if not socket.gone}
        self._sweeping = self._hub.loop.call_later(self._sweep_every, self._sweep)

    def close(self) -> None:
        """Forget everything."""
        self._sweeping.cancel()
        self.sessions.close()
        self.log.clear()

    # Events

    def note(self, target: Target, message: Message, event_id: str = "", number: int = 0) -> str:
        """
        Log an event that is delivered now; return the offset that goes with it.

        `event_id` is the one that another process has given it. A volatile event is not logged, and
        has the offset of the one before.
        """
        if message.volatile:
            return self.log.offset
        packet = _packet(event_id, message)
        return self.log.add(self._keys(target), packet, target.excluded)

    def _keys(self, target: Target) -> Iterator[Key]:
        """Return the streams of a target that anybody here, or away from here, may need."""
        namespace = target.namespace
        if not target.rooms and (namespace, None) in self.holds:
            yield namespace, None
        for room in target.rooms:
            if (namespace, room) in self.holds or self._is_client(room):
                yield namespace, room

    def _is_client(self, sid: str) -> bool:
        return (
            sid in self._hub.registry.sockets
            or self.sessions.of_sid(sid) is not None
            or self.sessions.is_coming(sid)
            or self.transfers.announced.is_coming(sid)
        )

    def execute(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the clients of a target that are away do something (see `envelopes.Command`)."""
        self.sessions.execute(target, action, names)
        self.transfers.announced.execute(target, action, names)
        if action == LOG_OUT:
            self.returns.log_out(*names)

    def end_away(self, user: str, login: str) -> None:
        """End what clients come back to that are away, and had this login of a user."""
        self.sessions.end_away(user, login)

    def forget_server(self, server: str) -> None:
        """Take note that another hub is gone."""
        self.transfers.announced.forget_server(server)

    def lose(self, lane: str | None, since: float) -> None:
        """
        Take note that something may be lost on its way here since then: for a room, whose group it
        is, or for anybody. Who is away is told so, and who has come back since.
        """
        key = None if lane is None else self.holds.key_of(lane)
        if key is None or key[1] is None:
            self.log.lose_all()
        else:
            self.log.lose(key)
        self.returns.lose(key, since)

    def to_socket(
        self, socket: Socket, message: Message, event_id: str = "", place: int = 0
    ) -> Frames:
        """
        Log an event for one client of this hub; return its frames. `place` is how far all was
        counted when it came, where hubs share a log.
        """
        if message.volatile:
            offset = self.log.offset
        else:
            key = socket.namespace, socket.sid
            offset = self.log.add((key,), _packet(event_id, message))
        wire_format = socket.connection.format
        return with_offset(message.frames(wire_format), wire_format, offset)

    # Coming and going

    async def restore(self, socket: Socket, auth: dict[str, Any]) -> dict[str, Any]:
        """
        Let a new socket be what its client had before, if `auth` says what that was.

        Returns what is left of `auth` for the site.
        """
        socket.pid = self._hub.new_sid()
        pid = auth.get("pid")
        if not isinstance(pid, str) or server_of(pid) is None:
            return auth
        offset = auth.get("offset")
        left = {name: value for name, value in auth.items() if name not in ("pid", "offset")}
        claim: Claim | None = None
        identity = identify_client(socket)
        if identity is not None and (offset is None or isinstance(offset, str)):
            await self._replace(socket, pid, identity)
            await self.transfers.settle(pid)
            claim = await self._claim(socket, pid, offset, identity)
            if claim is None:
                claim = await self._find(socket, pid, offset, identity)
            if claim is None:
                self._forget_coming(socket, pid)
        if claim is None:
            socket.lost = True
        elif socket.gone:
            claim.release(socket)
        else:
            socket.resume(claim)
            self.returns.note(socket)
        return left

    async def _replace(self, socket: Socket, pid: str, identity: Identity) -> None:
        """
        Let a socket come back in the place of one that is at that: its client has dropped since,
        and nobody has noticed.
        """
        before = self._coming.get(pid)
        if before is not None and not before.gone:
            if (before.namespace, identify_client(before)) != (
                socket.namespace,
                identity,
            ):
                return
            before.connection.close("transport close")
        self._coming[pid] = socket
        if before is not None and before.claim is not None:
            await before.claim.settle()  # also where that one is gone already

    async def _claim(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        """Claim a session of this hub."""
        session = self.sessions.find(pid, socket.namespace, identity)
        if session is None:
            return None
        try:
            missed = session.missed(self.log, offset)
        except Lost:
            self.sessions.end(session)
            return None
        session.claimant = socket
        return LocalClaim(self.sessions, session, missed)

    async def _find(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        """Claim a session of another hub."""
        question = Take(pid, offset, describe(identity), socket.namespace, final=False)
        here = Here(self._hub, self.sessions, self.log, socket)
        claim = await self._searches.run(here, question)
        if claim is not None or socket.gone:
            return claim
        return await self._claim(socket, pid, offset, identity)  # it may have come here meanwhile

    def begin(self, socket: Socket, missed: list[Missed]) -> list[Frames]:
        """
        Count what is sent to a socket from now on; return the frames of what it has missed.

        What another hub had is logged anew, so that it is not lost with the next drop, and its old
        names are kept: a client may have got it there all the same.
        """
        self._forget_coming(socket, socket.pid)
        claim, socket.claim = socket.claim, None
        trail = None if claim is None else claim.go_on()
        self.sessions.live.add(socket)
        if claim is not None and trail is not None:
            socket.trail = trail
            self._note_moves(socket, claim.session.rooms)
            return [self._frames(socket, packet, names[-1]) for names, packet in missed]
        socket.trail = Trail(socket.pid, self.log.number)
        offsets = self._log_anew(socket, socket.trail, missed)
        return [
            self._frames(socket, packet, offset)
            for (_, packet), offset in zip(missed, offsets, strict=True)
        ]

    def unheard(
        self, items: Iterable[Frames | Postponed], missed: list[Missed]
    ) -> list[Frames | Postponed]:
        """Return what was put off, without what is missed, or was decided with that."""
        return unheard(items, {each.packet.id for each in missed})

    def _log_anew(self, socket: Socket, trail: Trail, missed: list[Missed]) -> list[str]:
        """Log for one client what another hub had for it; return the offsets."""
        server, offsets = self.log.server, []
        for names, packet in missed:
            offsets.append(self.log.add(((socket.namespace, socket.sid),), packet))
            limited = tuple(limit_name(name, server, trail.since) for name in names)
            trail.names[self.log.number] = limited
        return offsets

    def _note_moves(self, socket: Socket, before: set[str]) -> None:
        """Take note of the rooms that `connect` has joined and left."""
        rooms = set(self._hub.registry.rooms_of(socket))
        for room in rooms - before:
            self.joined(socket, room)
        for room in before - rooms:
            self.left(socket, room)

    def begin_anew(self, socket: Socket, pid: str) -> None:
        """
        Let a socket that is coming back be a new client, which may come back by `pid`; nobody takes
        its old one's place.
        """
        self._forget_coming(socket, socket.pid)
        socket.pid = pid

    def _forget_coming(self, socket: Socket, pid: str) -> None:
        if self._coming.get(pid) is socket:
            del self._coming[pid]

    def _frames(self, socket: Socket, packet: Packet, offset: str) -> Frames:
        message = ForeignMessage(socket.namespace, packet.text, packet.attachments)
        wire_format = socket.connection.format
        return with_offset(message.frames(wire_format), wire_format, offset)

    def forget(self, socket: Socket) -> None:
        """Let the client of a socket come back to nothing."""
        self.sessions.live.remove(socket)

    def user_changed(self, socket: Socket, before: list[str]) -> None:
        """Take note that a socket is another user's; `before` is the key of the one before."""
        self.sessions.live.user_changed(socket, before)

    def keep(self, socket: Socket, reason: str) -> bool:
        """
        Take note that a socket ends, before it leaves its rooms, and keep what its client comes
        back to; tell whether that still counts as there.
        """
        if socket.claim is not None:
            return socket.claim.release(socket)
        was_live = self.sessions.live.remove(socket)
        if was_live and reason in DROPS and self.sessions.keep(socket, reason):
            return True
        if self.sessions.of_sid(socket.sid) is None:
            self._hub.moves.forget(socket.sid)
        return False

    # Clients that go to another hub without a drop

    def can_depart(self, socket: Socket, known: list[str]) -> bool:
        """Tell whether a hub that hears for these rooms can have the client of a socket."""
        return True

    def depart(self, socket: Socket) -> list[Missed] | None:
        """
        Forget a socket whose client another hub is about to have; return what that client has not
        surely got, or None where that cannot be told.
        """
        session = self.sessions.describe(socket, "transport close")
        self.sessions.live.remove(socket)
        self.transfers.note_given(socket.pid, socket.sid)
        if session is None:
            return None
        try:
            return session.missed(self.log, None)
        except Lost:
            return None

    def pack_trail(self, socket: Socket) -> bytes:
        """Return what another hub needs to know of a trail, where hubs share a log."""
        return b""

    def arrive(self, socket: Socket, missed: list[Missed] | None, trail: bytes) -> None:
        """
        Count what is sent to a socket that comes from another hub, from now on, and keep what its
        client may have missed there; `trail` is what `pack_trail` has returned.
        """
        socket.trail = Trail(socket.pid, self.log.number)
        self.sessions.live.add(socket)
        if missed is None or trail:  # that hub's log is another one
            self.log.lose((socket.namespace, socket.sid))
            return
        self._log_anew(socket, socket.trail, missed)

    def mark(self) -> int:
        """Return how far all that was sent is counted."""
        return self.log.number

    def joined(self, socket: Socket, room: str) -> None:
        """Take note that a socket is in a room now."""
        assert socket.trail is not None
        socket.trail.join(room, self.log.number)

    def left(self, socket: Socket, room: str) -> None:
        """Take note that a socket is in a room no more."""
        assert socket.trail is not None
        socket.trail.leave(room, self.log.number)


def _packet(event_id: str, message: Message) -> Packet:
    frames = message.frames(Format.SOCKETIO)
    return Packet(event_id, frames.first, frames.rest)  # type: ignore[arg-type]
