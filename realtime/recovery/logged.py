"""Recovery where the log is in Redis: nothing is lost with a process, even one that is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..cluster.envelopes import HUBS, server_group
from ..cluster.log_layer import LogLayer
from ..cluster.sids import server_of
from ..cluster.streams import group_of, stream_name
from ..cluster.targets import Target
from ..protocol.frames import Frames
from ..sockets.messages import Message, with_offset
from ..sockets.socket import Socket
from ..sockets.trail import Trail
from ..utils.recovery import RecoveryOptions
from .coming_back import ComingBack
from .forms import decode_trail, encode_trail
from .interfaces import Hub
from .places import format_place
from .session import Missed, Session


class LoggedRecovery(ComingBack):
    """What a hub knows of its clients beyond their connections, where others know it too."""

    def __init__(self, hub: Hub, options: RecoveryOptions, layer: Callable[[], LogLayer]) -> None:
        super().__init__(hub, options, layer)
        self.sessions.noted = self._note_room
        # Rooms that were joined before this hub heard them: from when on is to be noted.
        self._fresh: list[tuple[Any, str]] = []
        # The place of what is done now, where it has one, and so of what is joined and left.
        self._place: int | None = None

    def streams(self) -> Iterator[tuple[str, str]]:
        """
        Yield the streams of all that is for clients of this hub, here or away, each with the group
        by which it comes.
        """
        yield stream_name("", None), HUBS
        for namespace, room in self.holds:
            yield stream_name(namespace, room), group_of(namespace, room)
        for sid in (*self._hub.registry.sockets, *(session.sid for session in self.sessions)):
            yield stream_name("", sid), server_group(server_of(sid) or "")

    def namespaces(self) -> set[str]:
        """Return the namespaces of all clients of this hub, here or away."""
        return {namespace for namespace, _ in self.holds}

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

    async def end_gap(self) -> bool:
        """
        Take note that nothing is lost from now on, and write all sessions anew; tell whether that
        is so: something may have been lost meanwhile.
        """
        if not await self.log.end_gap(self._bus.echo):
            return False
        for socket in self.sessions.live:
            self._touch(socket)
        for session in self.sessions:
            self.store.touch(session.pid, lambda session=session: session)
        return True

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
        if self._is_noted(socket, room, inside=True):
            return
        socket.trail.join(room, max(self._now, socket.trail.since))
        self._note_room(socket, room)
        self._touch(socket)

    def left(self, socket: Socket, room: str) -> None:
        """Take note that a socket is in a room no more."""
        assert socket.trail is not None
        if self._is_noted(socket, room, inside=False):
            return
        socket.trail.leave(room, max(self._now, socket.trail.since))
        self._touch(socket)

    def _is_noted(self, socket: Socket, room: str, *, inside: bool) -> bool:
        """Tell whether that a socket is in a room, or not, is noted with what it comes back to."""
        claim: Any = socket.claim
        if claim is None:
            return False
        if room not in claim.moved and (room in claim.session.rooms) is inside:
            return True
        claim.moved.add(room)
        return False

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
        if trail:
            before, socket.trail = decode_trail(socket.pid, trail)
        else:  # that hub's log is another one
            before, socket.trail = "", Trail(socket.pid, self.log.number)
        if not trail or not self._hears_since(socket, None):
            socket.trail.floor = Trail.NEVER
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
