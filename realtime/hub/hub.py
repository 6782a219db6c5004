"""The hub: it opens sockets, delivers to the local ones, and publishes to the other hubs."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from dataclasses import asdict
from functools import partial
from socket import gethostname
from typing import Any

from ..cluster.addressing import as_command, as_emit
from ..cluster.cluster import Cluster
from ..cluster.envelopes import HttpRequest, HttpResponse, Take, Upgrade
from ..cluster.layers import find_layer
from ..cluster.sids import new_server_id, new_sid, server_of
from ..cluster.standalone import LocalCluster, reaches_others
from ..cluster.targets import EVERYONE, Target
from ..conf import get_settings
from ..execution.tasks import Tasks
from ..execution.workers import JobRunner
from ..identity.authentication import find_authenticators
from ..identity.lookups import Lookups
from ..protocol.frames import Frames
from ..recovery.holds import Holds
from ..recovery.lingering import Lingering
from ..recovery.logged import LoggedRecovery
from ..recovery.places import place_of
from ..recovery.recovery import Recovery
from ..sockets.delivery import CONNECTED, CONNECTING, handling
from ..sockets.messages import Format, Message, with_offset
from ..sockets.once import Once
from ..sockets.socket import Socket
from ..transports.arrivals import Arrivals
from ..transports.connection import Connection
from ..transports.departures import Departures
from ..transports.heartbeats import TimerWheel
from ..transports.interfaces import Crossing
from ..transports.wanderers import Wanderers
from ..utils.limits import ConnectionLimits, parse_rate
from ..utils.recovery import RecoveryOptions, parse_recovery
from .actions import HubActions
from .bus import Bus
from .closing import shut_down
from .counters import Counters
from .draining import Drain
from .entrance import Entrance
from .files import Files
from .handing import hand_over, take
from .health import problems
from .interfaces import Sessions
from .lifespan import Serving
from .moves import Moves
from .observers import Observers
from .ownership import require_own_thread
from .reasking import Reasking
from .rechecks import Rechecks
from .registry import Registry
from .shutdown import SignalGuard

AnswerHttp = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Hub:
    """
    Knows every connection, socket and room of this process, and is the only one who talks to the
    channel layer. All methods run on the hub's own event loop, except `run`, which leads there;
    what a site may reach raises RuntimeError elsewhere.
    """

    def __init__(self) -> None:
        # Who it is: this process's settings, its id among the hubs, and the loop and the thread on
        # which all of it runs.
        self.settings = get_settings()
        self.server_id = new_server_id()
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.started = self.loop.time()

        # Its life: whether it takes no more clients, whether `close` was called, whether clients
        # have been told since, and whether that has ended; SIGTERM and SIGINT.
        self.draining = False
        self.drain = Drain(self)
        self._is_told_to_close = False
        self.closing = False
        self._closed = asyncio.Event()
        self.signals = SignalGuard(self)

        # What runs for it: `tasks` are clients', and end with them; `services` are its own, and end
        # last. `timers` has the heartbeats of all connections, `runner` begins handlers at once.
        self.tasks = Tasks(self.loop)
        self.services: Tasks = Tasks(self.loop)
        self.timers = TimerWheel(self.loop, self.settings)
        self.runner = JobRunner(self.loop, self.tasks)

        # Threads: slots for plain handlers, and those that look up sessions and users.
        self.sync_handlers = asyncio.Semaphore(self.settings.SYNC_HANDLERS)
        self.lookups = Lookups(self.spawn, self.settings.SYNC_HANDLERS)

        # Who says who clients are by what they show; none where only their sessions count.
        self.authenticators = find_authenticators()

        # Events that are handled once, for who sends them again.
        self.once = Once(self)

        # Its clients: connections by their secret ids, what lets them into namespaces, and what
        # bounds them.
        self.connections: dict[str, Connection] = {}
        self.entrance = Entrance(self)
        self.limits = ConnectionLimits(
            per_user=self.settings.MAX_CONNECTIONS_PER_USER,
            per_address=self.settings.MAX_CONNECTIONS_PER_ADDRESS,
        )
        self.connect_rate = parse_rate(self.settings.CONNECT_RATE)
        self.files = Files(lambda: len(self.connections))
        self.services.supervise(self.files.run, "files")

        # Polling through other servers: what answers their requests for sessions of this one, and
        # the polls that wait here for sessions of theirs, with each one's server and session.
        self.answer_http: AnswerHttp | None = None
        self.foreign_polls: dict[asyncio.Task[Any], tuple[str, str]] = {}

        # Sessions that move to other processes, or here, as their clients move to WebSockets or
        # their requests go elsewhere; and those of them that are to know of all that is delivered.
        self.departures = Departures(self)
        self.arrivals = Arrivals(self)
        self.wanderers = Wanderers(self)
        self.crossings: set[Crossing] = set()
        self._event_ids = itertools.count(1)

        # What is told of it: counts since its start, and what observers add to its description, by
        # its key there.
        self.counters = Counters()
        self.news: dict[str, Callable[[], Any]] = {}

        # The other hubs, the sockets and rooms of this one, those that are away, and who is told of
        # them.
        options = parse_recovery(self.settings.RECOVERY)
        self.cluster = self._join_cluster(0.0 if options is None else options.seconds)
        # The way of what is sent to clients where the log is shared, and leads to this hub's too.
        self.bus: Bus | None = None
        self.recovery = self._new_recovery(options)
        self.holds = self._open_holds()
        self.registry = Registry(self.holds.subscribe, self.holds.unsubscribe, self.is_sid)
        self.moves = Moves(self, scattered=self.recovery is not None)
        self.lingering = Lingering(self, self.holds)
        self.sessions: Sessions | None = None if self.recovery is None else self.recovery.transfers
        self.news["recovery"] = lambda: self.recovery is not None
        self.news["draining"] = lambda: self.draining
        self.observers = Observers(self)

        # What clients may, asked again: when something changes, and now and then.
        self.reasking = Reasking(self)
        self.services.supervise(Rechecks(self, self.reasking).run, "rechecks")
        self.serving = Serving(self)

    def _new_recovery(self, options: RecoveryOptions | None) -> Recovery | None:
        if options is None:
            return None
        if isinstance(self.cluster, LocalCluster) or not self.cluster.logged:
            return Recovery(self, options)
        cluster = self.cluster
        recovery = LoggedRecovery(self, options, lambda: cluster.link.layer)
        self.bus = Bus(self, cluster, recovery, HubActions(self).receive)
        return recovery

    def _join_cluster(self, recovery_seconds: float) -> Cluster | LocalCluster:
        make = partial(find_layer, self.settings.CHANNEL_LAYER, self.server_id)
        if not reaches_others(make()):
            return LocalCluster()
        return Cluster(self.server_id, make, self.services, HubActions(self), recovery_seconds)

    def _open_holds(self) -> Holds:
        if self.recovery is not None:
            return self.recovery.holds
        return Holds(self.cluster.subscribe, self.cluster.unsubscribe)

    # Running

    def run(self, call: Callable[..., object], *args: Any) -> None:
        """Call on the hub's loop: at once from there, in order and soon from other threads."""
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            self.loop.call_soon_threadsafe(call, *args)

    def on_loop(self) -> bool:
        """Tell whether the caller is on the hub's own thread."""
        return threading.get_ident() == self._thread

    def require_own_thread(self, what: str) -> None:
        """Raise RuntimeError where the caller is not on the hub's own thread."""
        require_own_thread(self._thread, what)

    def spawn(
        self, work: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Run `work` in a task that is kept, and whose failure is logged."""
        return self.tasks.spawn(work, context)

    def keep_current_task(self) -> None:
        """Count the caller's task among those that `close` waits for."""
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("There is no task to wait for: call this from a coroutine.")
        self.tasks.keep(task)

    async def flush_local(self) -> None:
        """
        Wait until what this hub's sockets opened, joined and left so far is in effect; where the
        log is shared, also until what they have sent is in it.
        """
        if self.bus is not None:
            await self.bus.flush()
        await self.cluster.flush_local()
        if self.recovery is not None:
            await self.recovery.flush()
        await self.observers.wait_written()

    async def wait_returned(self) -> None:
        """Wait until what was sent so far is done here, where that takes its way by the log."""
        if self.bus is not None:
            await self.bus.flush()

    async def flush_cluster(self) -> None:
        """
        Wait until all hubs have done what this one has asked for so far, its sockets' part too.
        """
        await self.wait_returned()
        await self.observers.wait_written()
        await self.cluster.flush_cluster()

    def new_event_id(self) -> str:
        """Return the id of an event, a command or a question, which no other one has anywhere."""
        return f"{self.server_id}.{next(self._event_ids)}"

    def new_sid(self) -> str:
        """Return an unguessable id that names this server in its first six characters."""
        return new_sid(self.server_id)

    def is_own_sid(self, name: str) -> bool:
        """Tell whether a name is the sid of a client that this hub has, or had."""
        # Most names are rooms', which begin with something else.
        return name.startswith(self.server_id) and server_of(name) is not None

    def is_sid(self, name: str) -> bool:
        """Tell whether a name is the sid of a client that any hub of the cluster has, or had."""
        return self.is_own_sid(name) or self.cluster.is_sid_elsewhere(name)

    # Delivery

    def emit(self, target: Target, message: Message) -> None:
        """Deliver to the local sockets of a target, and send to the other hubs."""
        if self.bus is not None:
            self.require_own_thread("Hub.emit")
            self.bus.emit(self._put_off_own(target, message), message)
            return
        # Where clients come back, the offset that an event gets is its id.
        own_id = "" if self.recovery is not None and not message.volatile else self.new_event_id()
        event_id = self.deliver(target, message, own_id)
        if not self.is_here(target):
            self.cluster.send(target, as_emit(target, message, own_id or event_id))

    def _put_off_own(self, target: Target, message: Message) -> Target:
        """
        Give an event of a client's own `connect` to that client first: behind what it has missed.

        Returns whom it is for beside that client.
        """
        socket = handling.get()
        if socket is None or socket.state is not CONNECTING or socket not in self.select(target):
            return target
        if not socket.put_off_own(message):
            return target
        return target._replace(excluded=(*target.excluded, socket.sid))

    def select(self, target: Target) -> list[Socket]:
        """Return the local sockets of any target."""
        find = self.registry.find_client if target.client else self.registry.select
        return find(target)

    def is_here(self, target: Target) -> bool:
        """Tell whether a target is one client of this hub."""
        return len(target.rooms) == 1 and self.moves.is_here(target.rooms[0])

    def deliver(self, target: Target, message: Message, event_id: str = "", number: int = 0) -> str:
        """
        Deliver to the local sockets of a target. `event_id` is the event's own in the cluster, and
        `number` its place in the log that hubs share.

        Returns its offset, where clients may come back and ask for what came after that.
        """
        if threading.get_ident() != self._thread:  # no call more for each event
            self.require_own_thread("Hub.deliver")
        frames: dict[Format, Frames] = {}
        volatile = message.volatile
        sockets = self.select(target)
        recovery = self.recovery
        if target.client:  # which may be in a namespace that the sender does not know
            target, message = self._aim(target, message, sockets)
        offset = "" if recovery is None else recovery.note(target, message, event_id, number)
        self.counters.events_out += len(sockets)
        if self.crossings:
            for crossing in self.crossings:
                crossing.note_emit(target, message, event_id or offset)
        for socket in sockets:
            connection = socket.connection
            wire_format = connection.format
            encoded = frames.get(wire_format)
            if encoded is None:
                encoded = message.frames(wire_format)
                if offset:
                    encoded = with_offset(encoded, wire_format, offset)
                frames[wire_format] = encoded
            if socket.state is CONNECTED:
                connection.send(encoded, volatile)
            elif offset:
                place = place_of(number) if number else None
                socket.deliver_later(encoded, message, event_id or offset, target, place)
            else:
                socket.deliver(encoded, volatile)
        return offset

    def _aim(
        self, target: Target, message: Message, sockets: list[Socket]
    ) -> tuple[Target, Message]:
        """Return whom the one client's target really means, and the message in that namespace."""
        found: Any = sockets[0] if sockets else None
        if found is None and self.recovery is not None:
            found = self.recovery.sessions.find_client(target)
        if found is None:
            return target, message
        return Target(found.namespace, (found.sid,)), message.within(found.namespace)

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the sockets of a target do `action` everywhere (see `Command`)."""
        if self.bus is not None:
            self.require_own_thread("Hub.command")
            self.bus.command(target, action, names)
            return
        command_id = self.new_event_id()
        self.execute(target, action, names, command_id)
        if not self.is_here(target):
            self.cluster.send(target, as_command(target, action, names, command_id))

    def emit_after(self, socket: Socket, message: Message) -> None:
        """Send an event to the client of a socket that has ended here, wherever that is now."""
        self.emit(Target(socket.namespace, (socket.sid,)), message)

    def command_after(self, socket: Socket, action: str, *names: str) -> None:
        """Let the client of a socket that is elsewhere do `action`."""
        self.command(Target(socket.namespace, (socket.sid,)), action, names)

    def note_left(self, sid: str) -> None:
        """Take note that a client of this hub is gone for good."""
        if self.moves.where(sid) is None:
            self.moves.forget(sid)

    def execute(
        self,
        target: Target,
        action: str,
        names: tuple[str, ...],
        command_id: str = "",
        number: int = 0,
    ) -> None:
        """
        Let the local sockets of a target do `action` (see `Command`, whose id this may have), which
        may have a `number` in the log that hubs share.
        """
        self.require_own_thread("Hub.execute")
        if self.recovery is not None and number:
            with self.recovery.obeying(place_of(number)):
                self._execute(target, action, names, command_id)
        else:
            self._execute(target, action, names, command_id)

    def _execute(
        self, target: Target, action: str, names: tuple[str, ...], command_id: str
    ) -> None:
        if target == EVERYONE:
            self.reasking.hear(action, names)
        elif self.recovery is not None:
            self.recovery.execute(target, action, names)
        if self.crossings:
            for crossing in self.crossings:
                crossing.note_command(target, action, names, command_id)
        for socket in self.select(target):
            socket.execute(action, names)

    # Sessions that other hubs have, or are to have

    async def take(self, server: str, question: Take | Upgrade) -> bytes | None:
        """Ask another hub for a session; return its bytes, or None. Raises ServerGone."""
        return await take(self, server, question)

    async def hand_over(self, server: str, kind: str, body: bytes) -> bool:
        """Let another hub keep something; tell whether it does. Raises ServerGone."""
        return await hand_over(self, server, kind, body)

    # Counting

    def stats(self) -> dict[str, int]:
        """Return what this hub holds at the moment, for monitoring and for tests."""
        return {
            "connections": len(self.connections),
            "sockets": len(self.registry.sockets),
            "away": 0 if self.sessions is None else len(self.sessions.counted()),
            "namespaces": len(self.registry.namespaces),
            "rooms": self.registry.count_rooms(),
            "tasks": len(self.tasks),
        }

    def report(self) -> dict[str, int]:
        """Return what this hub holds, and what it has counted since its start."""
        return {**self.stats(), **asdict(self.counters), "lost": self.cluster.lost}

    def describe(self) -> dict[str, Any]:
        """Return the report with what this server is and what its observers add, for all others."""
        described = {
            **self.report(),
            "host": gethostname(),
            "pid": os.getpid(),
            "uptime": self.loop.time() - self.started,
            "problems": problems(self),
        }
        for name, tell in self.news.items():
            with self.observers.contained(name, "news"):
                described[name] = tell()
        return described

    # Shutting down

    async def close(self, grace: float = 4.0) -> None:
        """
        Tell receivers of `serving_stopping`, close every connection with "server shutting down", in
        waves, and wait for their last hooks.

        What is not done after `grace` seconds is cancelled. A second call waits for the first: a
        server that goes by the loop's own signal handlers has ended its lifespan meanwhile.
        """
        if self._is_told_to_close:
            await self._closed.wait()
            return
        self._is_told_to_close = True
        try:
            await shut_down(self, grace)
        finally:
            self._closed.set()

    def hurry(self) -> None:
        """Let the end that has begun wait for nobody any more: neither clients nor their hooks."""
        if self._is_told_to_close and not self._closed.is_set():
            self.closing = True
            self.drain.hurry()
            self.tasks.cancel()
