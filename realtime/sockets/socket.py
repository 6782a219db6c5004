"""One socket: a connection in one namespace, its acknowledgements and its events in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import Any

from django.utils import timezone

from ..authority.changes import REAUTHORIZE
from ..authority.decisions import FORBIDDEN, decide
from ..error_answers import connect_data
from ..exceptions import (
    ClientDisconnected,
    ClientError,
    ConnectionRefused,
    EventError,
    ServerError,
    TooManyConnections,
)
from ..execution.calls import raise_if_stopping
from ..identity import outages
from ..identity.clients import ClientFacts
from ..identity.logins import user_key
from ..identity.renewal import Login
from ..utils.oneshot import OneShotEvent
from . import authentication
from .acks import Acks
from .delivery import CLOSED, CONNECTED, MOVED, handling
from .dispatch import Dispatcher
from .interfaces import Claim, Connection, Consumer, Hub, Recovery, Route
from .membership import NONE
from .overrides import path_of
from .sharing import NOTHING
from .standing import Standing

# How long a socket's last hook waits for the handlers that are at work when the client goes away,
# and then for those that it has cancelled.
DISCONNECT_GRACE = 2.0


class Socket(Standing):
    """
    The machinery behind one consumer instance.

    Events are handled in order, one at a time, but for handlers that run beside the others.
    Acknowledgements and disconnects are taken at once, whatever a handler is doing.
    """

    __slots__ = (
        *("_accepted", "_entering", "acks", "connection", "consumer", "context", "dispatcher"),
        *("hub", "namespace", "shared", "sid"),
    )

    # A session is what stays of a socket whose client is away.
    away_since: datetime | None = None

    def __init__(
        self, hub: Hub, connection: Connection, namespace: str, route: Route, query: str
    ) -> None:
        self.hub = hub
        self.connection = connection
        self.namespace = namespace
        self.sid = hub.new_sid()
        # What others see of it, as JSON.
        self.shared = NOTHING
        self.context = copy_context()
        self.acks = Acks(self)
        # While `connect()` runs, and whether it let the client in.
        self._entering: OneShotEvent | None = OneShotEvent()
        self._accepted = False
        super().__init__()
        self.context.run(handling.set, self)
        self.consumer: Consumer = route.consumer_class(**route.initkwargs)
        self.consumer._attach(self, route.kwargs, query)
        self.dispatcher = Dispatcher(self)

    @property
    def connected(self) -> bool:
        """Whether the client was told that it is connected, and still is."""
        return self.state is CONNECTED

    @property
    def facts(self) -> ClientFacts:
        """What is told of the client."""
        own = None if self.login is None else self.login.user
        return ClientFacts.of(self.connection, own)

    @property
    def consumer_class(self) -> type:
        """The class of the consumer."""
        return type(self.consumer)

    # Life

    def open(self, auth: dict[str, Any]) -> None:
        """Run `connect()` and answer the client."""
        if self.hub.recovery is None:
            self.register()
        self.hub.runner.run(self.dispatcher.run_first(self._connect(auth)), self.context)

    async def _connect(self, auth: dict[str, Any]) -> None:
        if self.hub.authenticators and not await self._authenticate(auth):
            return
        if self.hub.recovery is not None:
            auth = await self._come_back(self.hub.recovery, auth)
        if not self.gone:
            await self._enter(auth)
        if self._accepted and self._is_whose_it_was():
            await self.wait_asked()
            await self._accept()

    async def _authenticate(self, auth: dict[str, Any]) -> bool:
        """Be whose the client says by what it shows; tell whether it is not refused for that."""
        try:
            await authentication.log_in(self, auth)
        except ConnectionRefused as refusal:
            self._refuse(refusal)
        if self.gone:
            self._set_entered()
        return not self.gone

    async def _come_back(self, recovery: Recovery, auth: dict[str, Any]) -> dict[str, Any]:
        """Be what the client was before, if it was; return what is left of `auth`."""
        auth = await recovery.restore(self, auth)
        self.connection.take_place()
        if self.gone:
            self._set_entered()
        else:
            self.register()
        return auth

    def resume(self, claim: Claim) -> None:
        """Take what the client had before, to which it has a claim."""
        session = claim.session
        self.claim, self.recovered = claim, True
        self.sid, self.pid = session.sid, session.trail.pid
        self.rooms, self.shared = set(session.rooms), session.shared
        self.asked = session.asked
        self.consumer._restore(session.data)

    async def _enter(self, auth: dict[str, Any]) -> None:
        """
        Ask whether the client may be here, run the first hook, and refuse it where one of these
        does.
        """
        try:
            if self.login is not None:
                self._count_login(self.login)
            await self._decide()
            if self.gone:
                return
            decided_for = self.user
            await self.dispatcher.call(self.consumer.connect, auth)
            if self.user is not decided_for:
                if self.login is not None:
                    self._count_login(self.login)
                await self._decide_for_another()
        except (ConnectionRefused, EventError) as refusal:
            self._refuse(refusal)
        except outages.ERRORS as error:
            outages.lines.note(error, step="connect", consumer=path_of(type(self.consumer)))
            self._refuse(ConnectionRefused(outages.MESSAGE, outages.DATA))
        except BaseException as error:
            raise_if_stopping(error, self.hub)
            if isinstance(error, ClientDisconnected) and self.gone:
                self.log(logging.INFO, "unanswered", event="connect")  # no fault of the hook
            else:
                self.log_error("connect")
            self._refuse(ConnectionRefused(ServerError.default_message))
        else:
            self._accepted = True
        finally:
            self._set_entered()

    def _count_login(self, login: Login) -> None:
        """Raise ConnectionRefused where the user has as many connections as it may."""
        try:
            self.connection.count_login(login.user)
        except TooManyConnections as error:
            raise ConnectionRefused(error.message, code=FORBIDDEN) from None

    async def _decide(self) -> None:
        """
        Raise ConnectionRefused where the client may not be here; let it begin anew where there is a
        room that it comes back to, and may be in no more: it is sent nothing of that.
        """
        rooms = self.guarded_rooms()
        decision = await decide(self.consumer, rooms, self.dispatcher.call)
        if decision.refusal is not None:
            raise decision.refusal
        if decision.lost:
            self.log(logging.INFO, "rooms-lost", rooms=len(decision.lost))
            await self._begin_anew()

    async def _decide_for_another(self) -> None:
        """Raise ConnectionRefused where the user that it has by now may not be here."""
        if self.gone:
            return
        decision = await decide(self.consumer, self.guarded_rooms(), self.dispatcher.call)
        if decision.refusal is not None:
            raise decision.refusal
        for room in decision.lost:
            self.leave(room)

    def _is_whose_it_was(self) -> bool:
        """
        Tell whether the user is who the client comes back as: `connect()` may have set another one.

        Where it has, the client is made to come once more, to nothing.
        """
        if self.gone or self.claim is None or self.claim.session.whose == self._user_text():
            return True
        self.log(logging.INFO, "another-user")
        claim, self.claim = self.claim, None
        claim.refuse()
        self.connection.close("transport close")
        return False

    def _user_text(self) -> str | None:
        key = user_key(self.user)
        return None if key is None else str(key)

    async def _begin_anew(self) -> None:
        """Be a new client, with nothing of what it would come back to."""
        recovery = self.hub.recovery
        if self.claim is None or recovery is None:
            return
        pid = self.hub.new_sid()
        trail = await recovery.new_trail(pid)
        if self.gone:
            return
        claim, self.claim = self.claim, None
        claim.refuse()
        self.hub.registry.remove(self)
        self._backlog = None
        self.sid, self.trail = self.hub.new_sid(), trail
        recovery.begin_anew(self, pid)
        self.rooms, self.asked, self.shared = set(), NONE, NOTHING
        self.recovered, self.lost = False, True
        self.consumer._forget()
        self.register()

    def _set_entered(self) -> None:
        if self._entering is not None:
            self._entering.set()
            self._entering = None

    async def _accept(self) -> None:
        """Tell the cluster, and then the client, unless it went away meanwhile."""
        if self.gone:
            return
        self.unflushed = False
        if self.login is not None:
            self.hub.reasking.look_at(self)
        if self.claim is not None and self.claim.count():
            self.opened_at = self.claim.session.opened_at
            self.hub.observers.back(self)
        else:
            self.opened_at = timezone.now()
            self.hub.observers.opened(self)
        await self.hub.flush_local()
        if not self.gone:
            await self._let_in()

    def _refuse(self, error: ClientError) -> None:
        self.log(logging.INFO, "refused", message=error.message)
        self.dispatcher.drop()
        if self.gone:
            return
        if self.claim is not None:
            self.claim.refuse()
        self._close()
        without_data = ClientError(error.message, code=error.code)
        for told in (error, without_data):
            try:
                self.connection.send_connect_error(self.namespace, told.message, connect_data(told))
                return
            except Exception:  # of the site's own objects, too, which cannot be sent
                self.log_error("connect")
        self.connection.send_connect_error(self.namespace, ServerError.default_message, None)

    def disconnect(self, reason: str) -> None:
        """
        Take the socket out of everything at once; its `disconnect(reason)` hook follows.

        The client is not told here: see `close`.
        """
        if self.gone:
            return
        counts = False
        try:
            if self.hub.recovery is not None:
                counts = self.hub.recovery.keep(self, reason)
            else:
                self.hub.note_left(self.sid)
        except Exception:  # then nobody comes back to it
            self.log_error("disconnect")
        try:
            self._close()
        finally:  # whatever raised: the rows go, and the hook runs
            try:
                if self.observed and not counts:
                    self.hub.observers.closed(self, reason)
            finally:
                self.connection.note_ending(self.hub.spawn(self._finish(reason), self.context))

    def close(self, refusal: ConnectionRefused | None = None) -> None:
        """Tell the client that the server disconnects it from this namespace, and perhaps why."""
        if self.state is MOVED:
            self.hub.command_after(self, "close")
        if self.gone:
            return
        was_connected = self.connected
        self.disconnect("server namespace disconnect")
        if was_connected:
            self.connection.send_disconnect(self.namespace, refusal)
            return
        self.dispatcher.drop()
        refusal = refusal or ConnectionRefused("Connection refused")
        self.connection.send_connect_error(self.namespace, refusal.message, connect_data(refusal))

    def _close(self) -> None:
        self.state = CLOSED
        self.connection.sockets.pop(self.namespace, None)
        self.connection.last_ack_id = max(self.connection.last_ack_id, self.acks.last_id)
        self.connection.unthrottle(self)
        self._backlog = None
        try:
            self.hub.registry.remove(self)
        finally:
            self.acks.give_up()
            if self._spawned is not None:
                self._spawned.cancel()

    async def _finish(self, reason: str) -> None:
        """
        Run the last hook: after the first one, however long that takes; then after what was
        spawned, and the events that had arrived, or the grace, whichever is first.
        """
        if (entering := self._entering) is not None:
            await self._wait_entered(entering)
        if not self._accepted:
            return
        if self._spawned is not None and not await self._spawned.wait(DISCONNECT_GRACE):
            self.log(logging.WARNING, "task-outlives-client")
        await self.dispatcher.wait_idle(DISCONNECT_GRACE)
        if self.observed:
            await self.hub.observers.wait_written()
        self.log_end(reason)
        try:
            await self.dispatcher.call(self.consumer.disconnect, reason)
        except BaseException as error:
            self.log_failure("disconnect", error)

    async def wait_let_in(self) -> None:
        """Wait until `connect()` has ended."""
        if self._entering is not None:
            await self._entering.wait()

    async def _wait_entered(self, entering: OneShotEvent) -> None:
        """Wait until `connect()` has ended: what it acquires is freed after that."""
        try:
            async with asyncio.timeout(DISCONNECT_GRACE):
                await entering.wait()
        except TimeoutError:
            self.log(logging.WARNING, "connect-outlives-client")
            await entering.wait()

    # Moves to other processes

    def depart(self) -> None:
        """
        Leave this hub without a word: another process has the client from now on.

        Who waits for acknowledgements goes on to wait; what is emitted later is sent there.
        """
        self.state = MOVED
        self.connection.sockets.pop(self.namespace, None)
        self.connection.unthrottle(self)
        self.hub.registry.remove(self)

    def arrive(self, rooms: Iterable[str]) -> None:
        """Be here, connected, in these rooms, with the sid that it has from another process."""
        self._set_entered()
        self._accepted = self._is_told = True
        self.state = CONNECTED
        self.connection.sockets[self.namespace] = self
        self.rooms = set(rooms)
        self.register()

    def end_elsewhere(self, reason: str) -> None:
        """Take note that the other process has not got the client after all: it is gone."""
        self.state = CLOSED
        self.acks.give_up()
        if self.observed:
            self.hub.observers.closed(self, reason)
        self.hub.spawn(self._finish(reason), self.context)

    # What others ask for

    def close_in_order(self, *, connection: bool) -> None:
        """
        Disconnect the client behind all that was sent before; with `connection` from all of its
        namespaces.
        """
        action = "end" if connection else "close"
        self._do_in_order(partial(self.execute, action, ()), action)

    def execute(self, action: str, names: tuple[str, ...]) -> None:
        """Do what is commanded from anywhere (see `envelopes.Command`)."""
        if action == "close":
            self.close()
        elif action == REAUTHORIZE:
            self.hub.reasking.ask(self)
        elif action == "end":
            self.connection.disconnect()
        elif action in ("join", "leave"):
            for name in names:
                getattr(self, action)(name)

    def note_shared(self) -> None:
        """Take note that others are to see something else of this socket."""
        if self.observed and not self.gone:
            self.unflushed = True
            self.hub.observers.shared(self)
