"""The side of recovery with a log in Redis on which clients get their places among all events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..cluster.addressing import as_emit
from ..cluster.envelopes import Emit, server_group
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
from .interfaces import Hub
from .places import format_place, number_of, parse_place, place_of
from .recalls import Recall
from .recovery import Recovery
from .session import Missed, Session
from .store import Store
from .streams import StreamLog


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


class LettingIn(Recovery):
    """Lets clients in, and writes their sessions. `layer()` returns what keeps the log."""

    shared = True
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

    async def new_trail(self, pid: str) -> Trail:
        """Return the trail of a new client, for which all is that comes from now on."""
        return Trail(pid, await self._position())

    async def _position(self) -> int:
        try:
            async with asyncio.timeout(5):
                return max(await self.log.position(), self.log.number)
        except Exception:  # while Redis is away nobody comes back to what is sent
            return self.log.number

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
        upto = since if recall is None else recall.upto
        self._forget_coming(socket, socket.pid)
        socket.claim = None
        self.sessions.live.add(socket)
        own, emits = self._own(socket, backlog, since)
        place = place_of(number_of(since), len(emits)) if emits else since
        if missed:
            place = parse_place(missed[-1].names[-1]) or place
        others = [
            item
            for item in backlog.of_others
            if not isinstance(item, Placed) or item.place > upto  # or it is among what was missed
        ]
        rest, place = self.unfold(socket, others, place)
        await self._begin(socket, recall, since, emits)
        first = [] if recall is None else self._replayed(socket, recall.first)
        return [*first, *own, *self._replayed(socket, missed), *rest], place

    def _replayed(self, socket: Socket, missed: list[Missed]) -> list[Frames]:
        return [self._frames(socket, packet, names[-1]) for names, packet in missed]

    def _own(self, socket: Socket, backlog: Backlog, since: int) -> tuple[list[Frames], list[Emit]]:
        """
        Return the frames of what a socket's own `connect` has emitted to it, behind a place, and
        those of these events that are to be kept.
        """
        frames: list[Frames] = []
        emits: list[Emit] = []
        place, target = since, Target(socket.namespace, (socket.sid,))
        for item in backlog.own:
            if isinstance(item, Postponed) and not item.message.volatile:
                emits.append(as_emit(target, item.message))
                place = place_of(number_of(since), len(emits))
            frames += self._unfold(socket, item, place)
        return frames, emits

    async def _begin(
        self, socket: Socket, recall: Recall | None, since: int, emits: list[Emit]
    ) -> None:
        """
        Write the session of a socket that is let in, and what its `connect` has emitted to it; let
        its client be told of a loss, the next time, where that cannot be.
        """
        assert socket.trail is not None
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
