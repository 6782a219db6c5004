"""
The hub's way to all clients, its own too, where the log is the bus: everything that is sent has its
place in one order, and is done here when it comes back.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..cluster.addressing import as_command, as_emit
from ..cluster.cluster import Cluster
from ..cluster.envelopes import AnyEnvelope, Command, Echo, Emit
from ..cluster.returns import Returns
from ..cluster.targets import Target
from ..execution.tasks import Tasks
from ..logs import log as write_log
from ..recovery.logged import LoggedRecovery
from ..sockets.delivery import note_unflushed
from ..sockets.messages import Message

# How long the oldest of what waits may wait, before it is found out whether it comes at all.
PATIENCE = 0.5

# How long an outage may last until this hub's own clients get what is sent without its numbers.
OUTAGE = 1.0

# How long an acknowledgement waits, at most, for what its handler has sent.
FLUSH_TIMEOUT = 5.0


# What takes an envelope of a server, with whether it asks no other hub, and its number in the log.
Receive = Callable[[str, Emit | Command, bool, int], None]


class Hub(Protocol):
    """What is needed of the hub."""

    server_id: str
    loop: asyncio.AbstractEventLoop
    services: Tasks

    def new_event_id(self) -> str:
        """Return the id of an event or a command, which no other one has anywhere."""

    def deliver(self, target: Target, message: Message, event_id: str = "", number: int = 0) -> str:
        """Deliver to the local sockets of a target."""

    def execute(
        self,
        target: Target,
        action: str,
        names: tuple[str, ...],
        command_id: str = "",
        number: int = 0,
    ) -> None:
        """Let the local sockets of a target do something."""


class Bus:
    """Sends, and does here what comes back. `recovery` knows the log."""

    def __init__(
        self, hub: Hub, cluster: Cluster, recovery: LoggedRecovery, receive: Receive
    ) -> None:
        self._hub = hub
        self._receive = receive
        self._cluster = cluster
        self._recovery = recovery
        self._returns = Returns()
        self._ids = itertools.count(1)
        self._watching: asyncio.TimerHandle | None = None
        self._watched = 0
        self._mending: asyncio.Task[None] | None = None
        self._echoes: dict[int, asyncio.Future[None]] = {}
        # In an outage that goes on, what is sent is done here before it comes back.
        self._is_alone = False
        self._giving_up: asyncio.TimerHandle | None = None
        cluster.take_back(self.hear, recovery.streams, recovery.namespaces)
        cluster.hearing.on_down, cluster.hearing.on_back = self.down, self.back
        recovery.use(self)

    # Sending

    def emit(self, target: Target, message: Message) -> None:
        """Deliver to the sockets of a target, everywhere, when that has its number."""
        note_unflushed()
        id = self._hub.new_event_id()
        deliver = partial(self._deliver, target, message, id)
        envelope = as_emit(target, message, id)
        self._send(id, target, envelope, deliver)

    def _deliver(self, target: Target, message: Message, id: str, number: int) -> None:
        self._hub.deliver(target, message, id, number)

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the sockets of a target do something everywhere, when its turn has come."""
        id = self._hub.new_event_id()
        envelope = as_command(target, action, names, id)
        execute = partial(self._hub.execute, target, action, names, id)
        self._send(id, target, envelope, execute)

    def _send(
        self, id: str, target: Target, envelope: Emit | Command, do: Callable[[int], object]
    ) -> None:
        if not self._cluster.link.up.is_set():
            if self._is_alone:
                self._returns.early.add(id)
                do(0)
                self._cluster.send(target, envelope)
                return
            if isinstance(envelope, Emit) and envelope.volatile:  # which is not sent then
                self._returns.after(partial(do, 0))
                return
        self._returns.expect(id, do)
        if not self._cluster.send(target, envelope):
            self._returns.settle(self._returns.count)
            do(0)
        elif not self._cluster.hears(target):
            self._cluster.echo(self._returns.count)
        self._watch()

    def after(self, call: Callable[[], object]) -> None:
        """Do something when all that was sent so far is done."""
        self._returns.after(call)

    def expect_join(self, namespace: str, room: str) -> None:
        """Let what is sent to a room next come back here, though it is not joined yet."""
        if len(self._returns):
            self._cluster.router.note_join(namespace, (room,))

    async def flush(self) -> None:
        """Wait until all that was sent so far is done here, but not for ever."""
        if len(self._returns):
            try:
                async with asyncio.timeout(FLUSH_TIMEOUT):
                    await self._returns.wait()
            except TimeoutError:
                write_log(logging.WARNING, "layer-slow", waiting=len(self._returns))

    # What comes back

    def hear(self, envelope: AnyEnvelope, number: int) -> None:
        """Take an envelope of this hub's own."""
        if isinstance(envelope, Echo):
            if (waiter := self._echoes.pop(envelope.id, None)) is not None:
                if not waiter.done():
                    waiter.set_result(None)
            else:
                self._returns.settle(envelope.id)
        elif isinstance(envelope, (Emit, Command)) and not self._returns.returned(
            envelope.id, number
        ):
            # It came after all, though nobody waited for it any more.
            self._receive(self._hub.server_id, envelope, False, number)

    async def echo(self) -> None:
        """Wait until this hub has heard all that was sent so far, by whomever."""
        id = -next(self._ids)
        waiter = self._echoes[id] = self._hub.loop.create_future()
        try:
            self._cluster.echo(id)
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await waiter
        finally:
            self._echoes.pop(id, None)

    def _watch(self) -> None:
        """See to it that nothing waits for what does not come: a room may be left meanwhile."""
        if self._watching is None and len(self._returns):
            self._watched = self._returns.oldest
            self._watching = self._hub.loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        self._watching = None
        if len(self._returns) and self._returns.oldest == self._watched:
            self._cluster.echo(self._returns.count)
        self._watch()

    # Outages

    def down(self) -> None:
        """Take note that the layer is down: what is sent waits for a moment."""
        if self._giving_up is None:
            self._giving_up = self._hub.loop.call_later(OUTAGE, self._be_alone)

    def _be_alone(self) -> None:
        """Let this hub's own clients have at once what waits, and what is sent from now on."""
        self._is_alone = True
        self._recovery.begin_gap()
        self._returns.give_up()

    def back(self, complete: bool) -> None:
        """Take note that the layer is back, and whether all was heard that the log has."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        if not complete:
            self._recovery.begin_gap()
        if self._is_alone or not complete:
            self.lost()
        self._is_alone = False

    def lost(self) -> None:
        """Take note that something may be lost, or out of order, until all is heard again."""
        if self._mending is None:
            self._mending = self._hub.services.spawn(self._mend())

    async def _mend(self) -> None:
        """Find a place behind everything that may be lost: from there on nothing is."""
        try:
            while not await self._ends_gap():
                await asyncio.sleep(PATIENCE)
        finally:
            self._mending = None
        self._returns.early.clear()

    async def _ends_gap(self) -> bool:
        """Tell whether nothing is lost any more."""
        try:
            return await self._recovery.end_gap()
        except Exception as error:
            write_log(logging.DEBUG, "layer-error", error=repr(error))
            return False

    def close(self) -> None:
        """Do what waits."""
        if self._mending is not None:
            self._mending.cancel()
        for timer in (self._watching, self._giving_up):
            if timer is not None:
                timer.cancel()
        self._returns.give_up()
