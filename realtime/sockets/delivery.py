"""What a socket's client is sent: at once, once it is connected, or when it is back."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from typing import Any

from ..protocol.frames import Frames
from .backlog import Backlog, Placed, Postponed
from .interfaces import Claim, Recovery, Target
from .log import SocketLog
from .messages import Message
from .trail import Trail

# The socket whose hook or handler runs here.
handling: ContextVar[Any] = ContextVar("realtime_socket", default=None)


def note_unflushed() -> None:
    """Let the answer of the handler that runs here wait until what it changed is in effect."""
    if (socket := handling.get()) is not None:
        socket.unflushed = True


class State(Enum):
    """Where a socket is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"
    MOVED = "moved"  # its client is in another process


CONNECTING, CONNECTED, CLOSED, MOVED = State


class Delivery(SocketLog):
    """
    The side of a socket on which events leave.

    Where clients can come back, `pid` is the secret by which this one does, and `trail` what was
    sent to it, once it is let in. `claim` is what it comes back to until then; `recovered` and
    `lost` are what the site is told of that.
    """

    __slots__ = ("_backlog", "claim", "lost", "pid", "recovered", "state", "trail")

    def __init__(self) -> None:
        super().__init__()
        self.state = CONNECTING
        # What is for the client once it is connected: nothing, as a rule.
        self._backlog: Backlog | None = None
        self.pid = ""
        self.trail: Trail | None = None
        self.claim: Claim | None = None
        self.recovered = self.lost = False

    @property
    def gone(self) -> bool:
        """Whether the client left, was disconnected, or is in another process."""
        return self.state is CLOSED or self.state is MOVED

    def deliver(self, frames: Frames, volatile: bool = False) -> None:
        """
        Send frames to the client; where that was not told yet that it is connected, once it is.

        What `connect()` sends to rooms with this client in them keeps its place among what it sends
        to the client alone, and goes before what others send meanwhile.
        """
        if self.state is CONNECTED:
            self.connection.send(frames, volatile)
        elif self.state is CONNECTING:
            self._put_off(frames, frames.size, own=handling.get() is self)

    def deliver_later(
        self,
        frames: Frames,
        message: Message,
        event_id: str,
        target: Target,
        place: int | None = None,
    ) -> None:
        """
        Send the frames of an event once the client is connected; or, where it has no place among
        the events for this client yet, the event, which is for a target.
        """
        if self.state is CONNECTING:
            own = handling.get() is self
            item: Frames | Postponed | Placed = frames
            if place is not None:
                item = Placed(frames, place)
            elif self.trail is None or self.shares_log:
                item = Postponed(message, event_id, target)
            self._put_off(item, frames.size, own=own)

    def put_off_own(self, message: Message) -> bool:
        """
        Send an event once the client is connected, behind what it has missed; tell whether that is
        still to come.
        """
        if self.state is not CONNECTING or self.hub.recovery is None or self._is_let_in:
            return False
        self._put_off(Postponed(message, ""), message.frames(self.connection.format).size, own=True)
        return True

    @property
    def _is_let_in(self) -> bool:
        """Whether it has its place among all events, which go on from there."""
        recovery = self.hub.recovery
        return recovery is not None and recovery.is_let_in(self)

    @property
    def shares_log(self) -> bool:
        """Whether hubs share a log, from which what is sent comes back before it is done here."""
        recovery = self.hub.recovery
        return recovery is not None and recovery.shared

    def in_order(self, call: Callable[[], object]) -> None:
        """Do something behind all that this process has sent before."""
        recovery = self.hub.recovery
        if recovery is None or not recovery.shared:
            call()
        else:
            note_unflushed()  # it may have to wait
            recovery.in_order(call)

    def emit(self, message: Message, frames: Frames) -> None:
        """Send an event, with its frames, to this client alone, in the same way."""
        hub = self.hub
        if hub.recovery is not None and hub.recovery.shared:
            if not self.put_off_own(message) and (self.state is not CLOSED or self.trail):
                hub.emit_after(self, message)
            return
        hub.counters.events_out += 1
        if hub.recovery is not None:
            if self.state is not CONNECTED and self.gone:
                if self.trail is not None:
                    hub.emit_after(self, message)
                return
            if self.state is CONNECTING and self.trail is None:
                self._put_off(Postponed(message, ""), frames.size, own=True)
                return
            frames = hub.recovery.to_socket(self, message)
        if self.state is CONNECTED:
            self.connection.send(frames)
        elif self.state is CONNECTING:
            self._put_off(frames, frames.size, own=True)
        elif self.state is MOVED:
            hub.emit_after(self, message)

    def drop_put_off(self) -> None:
        """Drop the events that were put off, and are not for the client in its rooms of now."""
        if self._backlog is not None:
            self._backlog.drop(self)

    def _put_off(self, item: Frames | Postponed | Placed, size: int, *, own: bool) -> None:
        if self._backlog is None:
            self._backlog = Backlog()
        # What has a number goes by that: the client is to get no higher one first.
        self._backlog.add(item, size, own=own and not self._is_let_in)
        if self._backlog.bytes > self.hub.settings.OUTBOX_BYTES:
            self.connection.overflow()

    async def _let_in(self) -> None:
        """Tell the client that it is connected, and send what was put off."""
        if self.hub.recovery is None:
            self.state = CONNECTED
            self.connection.send_connect(self)
            self.log_connect()
            backlog, self._backlog = self._backlog, None
            for frames in backlog or ():
                self.connection.send(frames)  # type: ignore[arg-type]
            return
        recovery = self.hub.recovery
        missed, place = await self._replay(recovery)
        if self.gone:
            return
        # Before what it has missed: a client that drops between them would hand that out twice.
        self.connection.send_connect(self)
        self.log_connect(**self._come_back_as())
        if not await self._send_all(missed):
            return
        while (backlog := self._backlog) is not None:
            self._backlog = None
            waiting, place = recovery.unfold(self, backlog, place)
            if not await self._send_all(waiting):
                return
        if not self.gone:
            self.state = CONNECTED

    def _come_back_as(self) -> dict[str, bool]:
        """Return what the log tells of a client that wanted to come back."""
        if not (self.recovered or self.lost):
            return {}
        return {"recovered": self.recovered}

    async def _replay(self, recovery: Recovery) -> tuple[list[Frames], int]:
        """
        Return what the client has missed, and number what was put off so far after that; return
        also the place of the last of it, where hubs share a log.
        """
        claim = self.claim
        packets = [] if claim is None else await claim.finish()
        if self.gone:
            return [], 0
        if recovery.shared:
            backlog, self._backlog = self._backlog, None
            return await recovery.let_in(self, packets, backlog or Backlog())
        missed = recovery.begin(self, packets)
        backlog, self._backlog = self._backlog, None
        items: list[Any] = list(backlog or ())
        for item in recovery.unheard(items, packets):
            frames = item
            if isinstance(item, Postponed):
                frames = recovery.to_socket(self, item.message, item.id)
            self._put_off(frames, frames.size, own=False)
        return missed, 0

    async def _send_all(self, frames: list[Frames]) -> bool:
        """Send much, as fast as the client reads it; tell whether it is there still."""
        for each in frames:
            self.connection.send(each)
            if self.connection.is_behind():
                await self.connection.drain()
        return not self.gone
