"""The hub: it opens sockets, delivers to the local ones, and publishes to the other hubs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from dataclasses import asdict
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Any

from ..conf import get_settings
from ..exceptions import ServerGone, UnknownNamespace
from ..limits import ConnectionLimits, LogLimiter, parse_rate
from ..logs import log, tell_skipped, write
from ..lookups import Lookups
from ..messages import Format, Message, encode_args
from ..observers import Observers
from ..overrides import path_of
from ..routing import resolve
from ..running import raise_if_signalled
from ..serving import Serving
from ..sockets import CONNECTED, Socket
from ..transports.frames import Frames
from ..transports.heartbeats import Heartbeats
from .actions import HubActions
from .addressing import as_command, as_emit, as_question
from .alone import Alone, reaches_others
from .calls import Answers, call_sockets, collect
from .cluster import Cluster
from .counters import Counters
from .envelopes import Deliver, HttpRequest, HttpResponse, Wake
from .files import Files
from .health import problems
from .layers import new_layer
from .ownership import require_own_thread
from .questions import ANSWER_TIMEOUT
from .registry import Registry
from .shutdown import SignalGuard
from .sids import new_server_id, new_sid, server_of
from .targets import Target
from .tasks import Tasks
from .workers import Workers

if TYPE_CHECKING:
    from ..transports.connection import Connection

AnswerHttp = Callable[[HttpRequest], Awaitable[HttpResponse]]

# How long the server's own transports get to send what was written to them last.
FLUSH_TIME = 0.05

# How often polls are woken while a hub is closed: one may not have reached its session yet.
WAKE_INTERVAL = 0.2


class Hub:
    """
    Knows every connection, socket and room of this process, and is the only one who talks to the
    channel layer. All methods run on the hub's own event loop, except `run`, which leads there;
    what a site may reach raises RuntimeError elsewhere.
    """

    def __init__(self) -> None:
        self.settings = get_settings()
        self.server_id = new_server_id()
        self.loop = asyncio.get_running_loop()
        self.connections: dict[str, Connection] = {}
        self.closing = False
        self._closed = asyncio.Event()
        self.started = self.loop.time()
        # Polls that wait here for sessions of other servers: each one's server, and session.
        self.foreign_polls: dict[asyncio.Task[Any], tuple[str, str]] = {}
        self.counters = Counters()
        # What observers add to this hub's description, by its key there.
        self.news: dict[str, Callable[[], Any]] = {}
        self.limits = ConnectionLimits(
            per_user=self.settings.MAX_CONNECTIONS_PER_USER,
            per_address=self.settings.MAX_CONNECTIONS_PER_ADDRESS,
        )
        self.connect_rate = parse_rate(self.settings.CONNECT_RATE)
        # When it was logged last that a class cannot be served (None: a route).
        self._faults: dict[type | None, LogLimiter] = {}
        self.sync_handlers = asyncio.Semaphore(self.settings.SYNC_HANDLERS)
        self.lookups = Lookups(self.spawn, self.settings.SYNC_HANDLERS)
        self.heartbeats = Heartbeats(self.loop, self.settings)
        self.signals = SignalGuard(self)
        self._thread = threading.get_ident()
        self.tasks = Tasks(self.loop)
        self.services = Tasks(self.loop)
        self.files = Files(lambda: len(self.connections))
        self.services.supervise(self.files.run, "files")
        self.workers = Workers(self.loop, self.tasks)
        self.answer_http: AnswerHttp | None = None
        self.cluster = self._join_cluster()
        self.registry = Registry(self.cluster.subscribe, self.cluster.unsubscribe, self.is_sid)
        self.observers = Observers(self)
        self.serving = Serving(self)

    def _join_cluster(self) -> Cluster | Alone:
        make = partial(new_layer, self.settings.CHANNEL_LAYER)
        if not reaches_others(make()):
            return Alone()
        return Cluster(self.server_id, make, self.services, HubActions(self))

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

    async def settled(self) -> None:
        """Wait until what sockets opened, joined and left so far is in effect in the cluster."""
        await self.cluster.settled()
        await self.observers.settled()

    async def settled_everywhere(self) -> None:
        """Wait until that and what was sent so far is in effect in the whole cluster."""
        await self.observers.settled()
        await self.cluster.settled_everywhere()

    def new_sid(self) -> str:
        """Return an unguessable id that names this server in its first six characters."""
        return new_sid(self.server_id)

    def is_own_sid(self, name: str) -> bool:
        """Tell whether a name is the sid of a client that this hub has, or had."""
        return server_of(name) == self.server_id

    def is_sid(self, name: str) -> bool:
        """Tell whether a name is the sid of a client that any hub of the cluster has, or had."""
        return self.is_own_sid(name) or self.cluster.is_sid_elsewhere(name)

    # Sockets

    def connect(
        self, connection: Connection, namespace: str, auth: dict[str, Any], query: str
    ) -> bool:
        """
        Open a socket for a connection, and run its `connect()`; tell whether there is one.

        A client that asks for an unknown namespace, or for too many, is told so. What fails in a
        route or in the making of a consumer concerns that namespace alone.
        """
        try:
            route = resolve(namespace)
        except UnknownNamespace:
            connection.turn_away(namespace, "Invalid namespace")
            return False
        except BaseException as error:
            self._turn_away(connection, namespace, None, error)
            return False
        if len(connection.sockets) >= self.settings.MAX_NAMESPACES:
            connection.turn_away(namespace, "Too many namespaces")
            return False
        try:
            socket = Socket(self, connection, namespace, route, query)
        except BaseException as error:
            self._turn_away(connection, namespace, route.consumer_class, error)
            return False
        connection.sockets[namespace] = socket
        socket.open(auth)
        return True

    def _turn_away(
        self,
        connection: Connection,
        namespace: str,
        consumer_class: type | None,
        error: BaseException,
    ) -> None:
        """Refuse a namespace that cannot be served, and log why: not for each client that asks."""
        raise_if_signalled(error)
        if self._faults.setdefault(consumer_class, LogLimiter()).should_log():
            write(
                logging.ERROR,
                "error",
                namespace=namespace,
                connection=connection.sid[:12],
                transport=connection.transport,
                event="connect",
                consumer="-" if consumer_class is None else path_of(consumer_class),
                exc_info=error,
            )
        connection.turn_away(namespace, "server error")

    # Delivery

    def emit(self, target: Target, message: Message) -> None:
        """Deliver to the local sockets of a target, and send to the other hubs."""
        self.deliver(target, message)
        if self._is_here(target):
            return
        self.cluster.send(target, as_emit(target, message))

    def emit_to_client(self, target: Target, message: Message) -> None:
        """Deliver to the one client of a target, or send to the hub that may have it."""
        self.deliver_to_client_of(target, message)
        if not self._is_here(target):
            self.cluster.send(target, as_emit(target, message))

    def deliver_to_client_of(self, target: Target, message: Message) -> None:
        """Deliver to the one client of a target, if it is here, in its own namespace."""
        for socket in self.registry.find_client(target):
            self.deliver(Target(socket.namespace, (socket.sid,)), message.within(socket.namespace))

    def select(self, target: Target) -> list[Socket]:
        """Return the local sockets of any target."""
        find = self.registry.find_client if target.client else self.registry.select
        return find(target)

    def _is_here(self, target: Target) -> bool:
        """Tell whether a target is one client of this hub."""
        return len(target.rooms) == 1 and self.is_own_sid(target.rooms[0])

    def deliver(self, target: Target, message: Message) -> None:
        """Deliver to the local sockets of a target."""
        if threading.get_ident() != self._thread:  # no call more for each event
            self.require_own_thread("Hub.deliver")
        frames: dict[Format, Frames] = {}
        volatile = message.volatile
        sockets = self.registry.select(target)
        self.counters.events_out += len(sockets)
        for socket in sockets:
            connection = socket.connection
            wire_format = connection.format
            encoded = frames.get(wire_format)
            if encoded is None:
                encoded = frames[wire_format] = message.frames(wire_format)
            if socket.state is CONNECTED:
                connection.send(encoded, volatile)
            else:
                socket.deliver(encoded, volatile)

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the sockets of a target do `action` everywhere (see `Command`)."""
        self.execute(target, action, names)
        if not self._is_here(target):
            self.cluster.send(target, as_command(target, action, names))

    def execute(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let the local sockets of a target do `action` (see `Command`)."""
        self.require_own_thread("Hub.execute")
        for socket in self.select(target):
            if action == "close":
                socket.close()
            elif action == "end":
                socket.connection.disconnect()
            elif action in ("join", "leave"):
                for name in names:
                    getattr(socket, action)(name)

    async def call(self, target: Target, message: Message, timeout: float | None) -> Answers:
        """
        Send an event to a target and return the acknowledgements of the whole cluster.

        After `timeout` seconds the answers name who is missing. One client that is gone is missing
        at once.
        """
        self.require_own_thread("Hub.call")
        answers = Answers()
        sockets = self.select(target)
        if target.client and sockets:
            message = message.within(sockets[0].namespace)
        answers.asked(socket.sid for socket in sockets)
        local = call_sockets(sockets, message, timeout, answers.answered)
        try:
            async with asyncio.timeout(timeout):
                if self._is_here(target):
                    await local
                else:
                    question = as_question(target, message, timeout)
                    await asyncio.gather(local, collect(answers, self.cluster.ask_all(question)))
        except TimeoutError:
            pass
        answers.note_absent(target)
        return answers

    async def send_to_client(
        self, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
    ) -> bool:
        """
        Send an event to one client, in its sid's namespace or another; tell if it is there.

        Its server is asked, wherever it is. Raises LayerUnavailable where that cannot be done now.
        """
        server = server_of(sid)
        if server is None or not await self.cluster.find(server):
            return self.deliver_to_client(sid, namespace, event, args)
        question = Deliver(sid, namespace, *encode_args([event, *args]))
        try:
            return bool(await self.cluster.ask(server, question, ANSWER_TIMEOUT))
        except ServerGone:
            self.cluster.require_layer()
            return False

    def deliver_to_client(
        self, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
    ) -> bool:
        """Send an event to a client of this hub, as `send_to_client` does; tell if it is there."""
        socket = self.registry.sockets.get(sid)
        if socket is not None and namespace is not None:
            socket = socket.connection.sockets.get(namespace)
        if socket is None or not socket.connected:
            return False
        message = Message(socket.namespace, event, args)
        socket.emit(message.frames(socket.connection.format))
        return True

    # Counting

    def stats(self) -> dict[str, int]:
        """Return what this hub holds at the moment, for monitoring and for tests."""
        return {
            "connections": len(self.connections),
            "sockets": len(self.registry.sockets),
            "namespaces": len(self.registry.namespaces),
            "rooms": self.registry.count_rooms(),
            "tasks": len(self.tasks),
        }

    def report(self) -> dict[str, int]:
        """Return what this hub holds, and what it has counted since its start."""
        return {**self.stats(), **asdict(self.counters), "lost": self.cluster.lost}

    def describe(self) -> dict[str, Any]:
        """Return the same with what this server is, and what its observers add, for all others."""
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
        Tell receivers of `serving_stopping`, close every connection with "server shutting down",
        and wait for their last hooks.

        What is not done after `grace` seconds is cancelled. A second call waits for the first: a
        server that goes by the loop's own signal handlers has ended its lifespan meanwhile.
        """
        if self.closing:
            await self._closed.wait()
            return
        self.closing = True
        try:
            await self._close(grace)
        finally:
            self._closed.set()

    async def _close(self, grace: float) -> None:
        await self.serving.stop()
        log(logging.INFO, "shutdown", connections=len(self.connections))
        for connection in list(self.connections.values()):
            connection.close("server shutting down")
        self.spawn(self._release_foreign_polls())
        await self.tasks.finish(grace)
        self.heartbeats.close()
        await self.lookups.close()
        await self.observers.close()
        await self.cluster.close()
        self.services.cancel()
        self.workers.close()
        await asyncio.sleep(FLUSH_TIME)
        self.signals.remove()
        tell_skipped()

    async def _release_foreign_polls(self) -> None:
        """Have other servers' sessions answer the polls that wait here; they go on elsewhere."""
        while self.foreign_polls:
            await asyncio.gather(*(self._wake(*poll) for poll in self.foreign_polls.values()))
            await asyncio.sleep(WAKE_INTERVAL)

    async def _wake(self, server: str, sid: str) -> None:
        with contextlib.suppress(ServerGone):
            await self.cluster.ask(server, Wake(sid), ANSWER_TIMEOUT)
