"""The hub's place among the other hubs: one channel for the process, one group for each room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Any

from channels.exceptions import ChannelFull

from ..exceptions import LayerUnavailable
from ..execution.tasks import Tasks
from ..identity.user_rooms import is_user_room
from ..logs import log
from ..utils.limits import LogLimiter
from . import capacity
from .envelopes import (
    HUBS,
    Answer,
    AnyEnvelope,
    Command,
    Echo,
    Emit,
    Flush,
    Question,
    encode,
    group_name,
    server_group,
)
from .fences import Fences
from .handover import Handover
from .hearing import Hearing
from .heartbeats import Deaf, Heartbeats
from .heirs import Heirs
from .layer_connection import (
    CALL_TIMEOUT,
    LAYER_DEAF,
    LAYER_DOWN,
    LayerConnection,
    LayerRefused,
)
from .layers import close_layer
from .listener import Listener
from .log_layer import Disconnected, LogLayer
from .loss_log import LossLog
from .memberships import SUBSCRIBE_TIMEOUT, Memberships
from .ordered import OrderedPublisher
from .overflows import Overflows
from .peers import ARRIVAL, BEAT, Peers
from .publisher import Publisher
from .receiver import LATE, Receiver
from .reconnects import Reconnects
from .requests import ANSWER_TIMEOUT
from .router import Router
from .rpc import Actions, PeerRequests
from .sequences import Lane
from .sids import server_of
from .targets import Target

# How long the layer may take for what is said last.
CLOSE_TIMEOUT = 1.0


class Cluster(Handover):
    """
    Keeps this process in its groups, sends to other hubs, and hands over what arrives.

    `new_layer()` makes a channel layer for it alone. For `recovery_seconds` it is known whose
    sessions a hub has that was handed them.
    """

    def __init__(
        self,
        server: str,
        new_layer: Callable[[], Any],
        tasks: Tasks,
        actions: Actions,
        recovery_seconds: float = 0.0,
    ) -> None:
        self.server = server
        self._new_layer = new_layer
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._all_heard_by = self._loop.time() + BEAT + ARRIVAL
        self.link = LayerConnection(
            new_layer(), tasks, self._probe, self._restore, self._layer_down
        )
        self.peers = Peers(self._loop.time, self._peer_gone)
        self.heirs = Heirs(
            server, recovery_seconds, self._loop.time, self.peers.__contains__, self.reports
        )
        self.router = Router(self.peers.direct_channel, self._is_server)
        self._memberships = Memberships(self.link)
        # Whether the layer keeps a log, and what this hub sends comes back to it.
        self.logged = isinstance(self.link.layer, LogLayer)
        self.publisher = (
            OrderedPublisher(server, self.link, self._memberships)
            if self.logged
            else Publisher(server, self._transmit)
        )
        self._requests = PeerRequests(server, self.peers, self.publisher, actions, tasks)
        self.fences = Fences(tasks, self._requests.ask_all, self.reports)
        self._refused = LossLog(self._loop)
        self.beats = Heartbeats(
            server, self.link, self.peers, self.publisher.outgoing, actions.report
        )
        self._receiver = Receiver(
            server,
            self.peers,
            self.beats,
            self._requests,
            actions,
            heirs=self.heirs,
            is_leaving=self._memberships.is_leaving,
        )
        self.hearing = Hearing(self.link, self._memberships, self._receiver)
        hear = self._receiver.take if self.logged else self._receiver.handle
        self._listener = Listener(tasks, hear, self._receive_failed)
        self._reconnects = Reconnects(self._reconnected)
        self.overflows = Overflows(self.link, self._receiver.note_overflow)
        self._silences = 0
        # Since when messages may be lost, in an outage.
        self._down_since = self._loop.time()
        self._actions = actions
        # Whether this hub has ever heard itself through the layer.
        self.heard = False
        self._memberships.add(server_group(server))
        self._memberships.add(HUBS)
        self._ignored = LogLimiter()
        tasks.supervise(self._start, "start")

    async def _start(self) -> None:
        try:
            await self._restore()
        except Exception as error:
            self.link.failed(error, _fault(error))
            await self.link.up.wait()
        self._tasks.supervise(self._memberships.run, "memberships")
        self._tasks.supervise(self.publisher.run, "publisher")
        self._tasks.supervise(self.beats.run, "beats")
        self._tasks.supervise(self.overflows.run, "overflows")

    # Where a log is kept

    def take_back(
        self,
        hear: Callable[[AnyEnvelope, int], None],
        streams: Callable[[], Iterable[tuple[str, str]]],
        namespaces: Callable[[], Iterable[str]],
    ) -> None:
        """
        Give this hub's own envelopes to `hear` when they come back, with their numbers; `streams()`
        are those of the log that it needs, with their groups, for clients in `namespaces()`.
        """
        self._receiver.hear_return = hear
        catching_up = self.hearing.catching_up
        catching_up.streams, catching_up.namespaces = streams, namespaces

    def echo(self, id: int) -> None:
        """Send this hub a note, which comes behind all that was sent before, by whomever."""
        self.publisher.put(Lane(self._memberships.channel, direct=True), encode(Echo(id)))

    def hears(self, target: Target) -> bool:
        """Tell whether this hub is to hear what is sent to a target."""
        return any(self._memberships.wants(lane.name) for lane in self.router.lanes(target))

    # Membership

    def subscribe(self, namespace: str, room: str | None) -> None:
        """
        Ask for a room's messages from now on; `flush_local` waits until that is in effect. Those of
        a user's room come with the namespace's.
        """
        if room is not None and is_user_room(room):
            return
        group = group_name(namespace, room)
        self._receiver.leave_lane(group)
        self._memberships.add(group)

    def unsubscribe(self, namespace: str, room: str | None) -> None:
        """Ask for a room's messages no more."""
        if room is not None and is_user_room(room):
            return
        group = group_name(namespace, room)
        self._memberships.discard(group)
        self._receiver.leave_lane(group)

    async def flush_local(self) -> None:
        """Wait until the memberships asked for so far are in effect, but not on a layer's end."""
        await self._memberships.flush()

    # Sending

    def send(self, target: Target, envelope: Emit | Command) -> bool:
        """
        Send to the other hubs that may hold a target, in order, without waiting; tell whether that
        was not refused.
        """
        if not self.logged and not self.peers.met and self._loop.time() > self._all_heard_by:
            return True  # whoever comes greets this hub before it has a client
        volatile = isinstance(envelope, Emit) and envelope.volatile
        if volatile and not self.link.up.is_set():
            return True
        body = encode(envelope)
        is_kept = self.logged and not volatile
        lanes = self.router.logged_lanes(target) if is_kept else self.router.lanes(target)
        # All of them, and not only until the first one is refused.
        taken = [self.publisher.put(lane, body) for lane in lanes]
        if isinstance(envelope, Command) and envelope.action == "join":
            self.router.note_join(target.namespace, envelope.names)
        return all(taken)

    async def find(self, server: str) -> bool:
        """
        Tell whether there is another hub of this id.

        That takes a while only for one that was never heard of, but perhaps by others: it has
        started just now, or this hub has, or there is none.
        """
        if server in self.peers:
            return True
        if server == self.server or self.peers.has_met(server):
            return False
        until = max(self._all_heard_by, self.peers.expected_until(server))
        return await self.peers.meet(server, until)

    async def meet(self, servers: Iterable[str]) -> bool:
        """
        Wait for another hub to be heard of that was not so far; tell whether there is one.

        One of `servers` of which nobody has heard may have started just now. And this hub may have:
        then it has not heard of all that were there before.
        """
        until = max([self._all_heard_by, *map(self.peers.expected_until, servers)])
        return self._loop.time() < until and await self.peers.wait_for_more(until)

    def require_layer(self) -> None:
        """Raise LayerUnavailable while the layer is down."""
        if not self.link.up.is_set():
            raise LayerUnavailable("The channel layer is down: other servers cannot be asked.")

    def is_sid_elsewhere(self, name: str) -> bool:
        """Tell whether a name is the sid of a client that another hub has, or had."""
        server = server_of(name)
        return server is not None and self.peers.knew(server)

    def _is_server(self, name: str) -> bool:
        return name == self.server or self.peers.knew(name)

    def reports(self) -> dict[str, dict[str, Any]]:
        """Return every other hub's last report, by its server's id."""
        return self.peers.reports()

    def peers_with_recovery(self) -> list[str]:
        """Return the other hubs that keep sessions of clients that are away."""
        return [server for server, report in self.reports().items() if report.get("recovery")]

    async def drain(self) -> None:
        """Wait until little waits for the layer."""
        await self.publisher.drain()

    async def _transmit(self, lane: Lane, message: dict[str, Any]) -> None:
        try:
            await self.link.call(partial(capacity.send, self.link.layer, lane, message))
        except (ChannelFull, LayerRefused) as error:
            lost = len(message["bodies"])
            self.publisher.lost += lost
            self._refused.note(lost, lane=lane.name, error=repr(error))

    # Questions

    async def ask(
        self,
        server: str,
        question: Question,
        timeout: float | None = None,
        hear: Callable[[Any], object] = lambda content: None,
        *,
        patience: float = ANSWER_TIMEOUT,
    ) -> Any:
        """Ask one peer and return its answer (see `Requests.ask`). Raises ServerGone."""
        return await self._requests.ask(server, question, timeout, hear, patience=patience)

    def ask_all(self, question: Question) -> AsyncGenerator[Answer]:
        """Ask all peers; yield their answers until each has given its last."""
        return self._requests.ask_all(question)

    async def flush_cluster(self) -> None:
        """Wait until what was sent so far is in effect in the whole cluster, but not for ever."""
        await self.flush_local()
        if not self.peers.met and self._loop.time() < self._all_heard_by:
            await self.peers.wait_for_more(self._all_heard_by)  # this hub has just started
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                async for _ in self.ask_all(Flush()):
                    pass
        except TimeoutError:
            log(logging.WARNING, "layer-slow", backlog=self.publisher.backlog)

    def _peer_gone(self, server: str, left: bool) -> None:
        if left:
            log(logging.INFO, "server-left", server=server)
        else:
            log(logging.WARNING, "server-gone", server=server)
        self._requests.gone(server)
        self._receiver.forget_server(server, left)
        self._actions.forget_server(server)

    # Receiving

    def _receive_failed(self, error: Exception, again: bool) -> None:
        if isinstance(error, Disconnected):
            self.hearing.broken()
            self.link.failed(error)
        else:
            self._tasks.spawn(self._examine(error))

    async def _examine(self, error: Exception) -> None:
        """Log what could not be received, such as what has no key, where that is no outage."""
        if await self.link.examine(error) and self._ignored.should_log():
            log(logging.WARNING, "layer-ignored", error=repr(error))

    def problems(self) -> list[dict[str, Any]]:
        """Return what is wrong with the layer or with clocks (see `health.problems`)."""
        found: list[dict[str, Any]] = [
            {"problem": "clock-off", "server": server, "ahead": round(seconds, 1)}
            for server, seconds in tuple(self.beats.clocks.off.items())
        ]
        if not self.link.up.is_set():
            found.append({"problem": self.link.fault})
        elif self.beats.late:
            found.append({"problem": LAYER_DEAF})
        return found

    @property
    def lost(self) -> int:
        """How many layer messages to or from this hub are known to be lost."""
        return self._receiver.lost + self.publisher.lost

    # An outage and its end

    async def _probe(self) -> None:
        await self.beats.probe()

    def _layer_down(self) -> None:
        self._memberships.release()
        self._down_since = self.peers.echoed
        if self.logged:
            self.hearing.on_down()
        else:
            self._actions.lose(None, self._down_since)

    def _reconnected(self) -> None:
        """Take note that the layer has opened anew what it hears messages on."""
        since = min(self.peers.echoed, self._loop.time() - LATE)
        self._actions.lose(None, since if self.link.up.is_set() else self._down_since)

    async def _restore(self) -> None:
        """Put back what the layer has forgotten; note what keeps that from being done."""
        try:
            await self._restore_all()
        except Exception as error:
            self.link.fault = _fault(error)
            raise
        self.heard = True

    async def _restore_all(self) -> None:
        """
        Put back what the layer has forgotten, then wait until the other hubs have done the same:
        what is published before that would not reach them.
        """
        if not self._memberships.channel:
            async with asyncio.timeout(CALL_TIMEOUT):
                channel = await self.link.layer.new_channel()
            self._memberships.channel = self._requests.channel = self.beats.channel = channel
            self.overflows.channel = channel
        anew, received = self.peers.deaf, self._listener.received
        if anew:
            self._listener.stop()
        self._listener.listen(self.link.layer, self._memberships.channel)
        if self.logged:
            await self.hearing.again(anew=anew)
        else:
            await self._memberships.restore(anew=anew)
            self._reconnects.watch(self.link.layer)
        try:
            await self.beats.greet()
        except Deaf:
            if self._listener.received == received:
                self._note_silence()
            raise
        self._silences = 0
        if self.logged:
            self.hearing.tell()
        elif not self.link.up.is_set():  # what was sent to a layer that has forgotten its groups
            self._actions.lose(None, self._down_since)

    def _note_silence(self) -> None:
        """
        Take another layer object: the layer takes what is sent, and nothing at all comes back.

        An object may be beyond help, as one of channels_redis' pubsub layer whose own reader has
        ended. Where a new one does not help either, it takes twice as long to the next.
        """
        self._silences += 1
        if self._silences & (self._silences - 1):
            return
        log(logging.WARNING, "layer-replaced")
        if self.logged:
            self.hearing.broken()
        old, self.link.layer = self.link.layer, self._new_layer()
        self._listener.stop()
        if self.logged:
            self.hearing.replaced()
        self._memberships.move()
        if self.link.layer is not old:
            self._tasks.spawn(close_layer(old))

    async def close(self) -> None:
        """
        Send what waits, say goodbye and leave all groups, as far as the layer answers at once.
        """
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                if self.link.up.is_set():
                    await self.publisher.drain(0)
                if self._memberships.channel:
                    await self.beats.say(leaving=True)
                    await self._memberships.leave_all()
        except Exception as error:
            log(logging.WARNING, "layer-error", error=repr(error), unsent=self.publisher.backlog)
        self._refused.tell()
        self._receiver.close()


def _fault(error: Exception) -> str:
    """Return the word for an outage that an error tells of."""
    return LAYER_DEAF if isinstance(error, Deaf) else LAYER_DOWN
