"""
Taking over a session whose WebSocket has come to another process than its polling.

A client starts with polling at one process, its owner, and a proxy may lead the WebSocket to which
it moves to another one. That one becomes the owner, without a reconnect:

1. The WebSocket's probe has come. The owner is asked to get ready (PREPARE). It gives the handlers
   of that client nothing new, waits until they have done what they had, and keeps what comes by
   POST; acknowledgements and heartbeats go on, and so does what it sends. It tells who the client
   is and in which rooms. Where something cannot move it says so, and all goes on as before.
2. This process asks for what is sent to these rooms and to these sids, and waits until no other one
   sends anything by what it knew before (`Cluster.fence`).
3. The probe is answered. The client lets its requests of polling end, of which the owner answers
   polls at once from now on, and sends the UPGRADE packet. From here on it has left polling.
4. The owner is asked to give the session (TAKE). What this process hears from that moment on it
   keeps; what it heard before, the owner has heard before the question. The owner stops, in one
   go, and answers with everything: sockets, rooms and data, what waits for the client, the frames
   it has kept, and the ids of what it has done lately.
5. This process has the session, in one go: what waited goes out first, then what it has kept, but
   for what the owner has done. Frames that were kept are handled, then those of the WebSocket.
6. The owner is told (DONE). It leads on what comes late: requests of polling, what is sent to the
   sids, the acknowledgements of what it has asked.

Until 3 anything that fails leaves the client on polling, unharmed (KEEP). After that it is closed,
and comes back by itself (DROP).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from ..cluster.envelopes import Upgrade
from ..exceptions import RealtimeError, ServerGone, TooLarge
from ..logs import log
from ..protocol import engineio
from ..protocol.frames import Frames
from ..recovery.identities import identify_exactly
from ..routing import has_namespace
from ..webservers.readers import Reader
from . import crossing_forms as forms
from .connection import address_of, count_key
from .crossing_forms import Luggage, Plan
from .departures import DONE, DROP, KEEP, PREPARE, TAKE
from .interfaces import Hub
from .session import Session

Complete = Callable[[Any, dict[str, Any]], Awaitable[dict[str, Any]]]

PROBE = engineio.PacketType.PING + "probe"
PROBE_ANSWER = engineio.PacketType.PONG + "probe"

# How often it is told to the old owner that all is well, or not.
ATTEMPTS = 3


class Refused(Exception):
    """A session is not taken over; the text says why."""


class Takeover:
    """One session that the hub `owner` has, and this one is to have."""

    def __init__(self, hub: Hub, owner: str, sid: str, reader: Reader) -> None:
        self._hub = hub
        self._owner = owner
        self._sid = sid
        self._reader = reader
        self._plan = Plan()
        self._scope: dict[str, Any] = {}
        self._expected = self._is_answered = self._is_over = False
        # What the owner is told where this fails; nothing before it was asked.
        self._otherwise = ""

    async def run(self, scope: dict[str, Any], complete: Complete) -> Session | None:
        """
        Lead the probe, and return the session, which takes frames already. Return None where it is
        not here: if the client has not moved, it stays on polling.
        """
        try:
            return await self._run(scope, complete)
        except TooLarge:
            pass
        except (Refused, RealtimeError, msgspec.MsgspecError) as reason:
            self._note_refused(str(reason))
        finally:
            self._end(self._otherwise)
        return None

    async def _run(self, scope: dict[str, Any], complete: Complete) -> Session | None:
        timeout = asyncio.timeout(self._hub.settings.UPGRADE_TIMEOUT)
        try:
            async with timeout:
                if await self._reader.receive() != PROBE:
                    return None
                await self._prepare(scope, complete)
                self._is_answered = True
                self._reader.writer.write(Frames(PROBE_ANSWER))
                if await self._reader.receive() != engineio.PacketType.UPGRADE:
                    return None
        except TimeoutError:
            if not self._is_answered:
                raise Refused("it was not ready in time") from None
            return None
        self._otherwise = DROP
        return await self._take()

    def _note_refused(self, reason: str) -> None:
        self._hub.counters.not_upgraded += 1
        log(
            logging.WARNING,
            "not-upgraded",
            connection=self._sid[:12],
            server=self._owner,
            message=reason,
        )

    def _end(self, step: str) -> None:
        """Let go of what is not needed any more, and tell the owner how this has ended."""
        if self._is_over:
            return
        self._is_over = True
        if self._expected:
            for place in self._plan.places:
                if step != DONE:
                    self._hub.moves.give_up(place.sid)
                for room in (None, *place.rooms):
                    self._hub.holds.unsubscribe(place.namespace, room)
        if step:
            self._hub.services.spawn(self._tell(step))

    async def _tell(self, step: str) -> None:
        for _ in range(ATTEMPTS):
            with suppress(ServerGone):
                await self._hub.take(self._owner, Upgrade(self._sid, step))
                return

    # Before the client moves

    async def _prepare(self, scope: dict[str, Any], complete: Complete) -> None:
        """Get ready, with the owner. Raises Refused, and other errors of the project."""
        hub = self._hub
        self._otherwise = KEEP
        self._plan = plan = forms.decode_plan(await self._ask(PREPARE))
        if plan.refusal:
            self._otherwise = ""
            raise Refused(plan.refusal)
        for place in plan.places:
            if not has_namespace(place.namespace):
                raise Refused(f"no route leads to {place.namespace} here")
        self._scope = await self._complete(scope, complete)
        self._check_room()
        self._expected = True
        for place in plan.places:
            hub.moves.expect(place.sid)
            for room in (None, *place.rooms):
                hub.holds.subscribe(place.namespace, room)
        await hub.cluster.flush_local()
        await hub.cluster.fence()

    async def _ask(self, step: str) -> bytes:
        body = await self._hub.take(self._owner, Upgrade(self._sid, step))
        if body is None:
            raise Refused("its process does not give it")
        return body

    async def _complete(self, scope: dict[str, Any], complete: Complete) -> dict[str, Any]:
        """
        Return the scope that the client has from now on: its first request, with the same user.

        That is who the WebSocket is found to be, or whoever that request's cookie says. Raises
        Refused where neither is the same, or where middleware knew what is not known here.
        """
        plan = self._plan
        by_middleware = "user" in scope
        found = await complete(self._hub, scope)
        if missing := set(plan.added) - {str(key) for key in found}:
            raise Refused(f"its scope has {min(missing)!r}, which its WebSocket's has not")
        if identify_exactly(found) == plan.identity:
            return forms.join_scopes(found, plan.scope)
        if not by_middleware:
            here = {key: scope[key] for key in scope.keys() - {"user", "session", "cookies"}}
            again = await complete(self._hub, forms.join_scopes(here, plan.scope))
            if identify_exactly(again) == plan.identity:
                return again
        raise Refused("its WebSocket is not of the same user and login")

    def _check_room(self) -> None:
        """Raise TooManyConnections where this process may not have one more of such a client."""
        hub = self._hub
        if hub.draining:
            raise Refused("this process is about to stop")
        hub.limits.admit(count_key(self._scope), address_of(self._scope))()

    # After the client has moved

    async def _take(self) -> Session:
        """Have the session here, and what it has sent handled. Raises Refused and others."""
        hub = self._hub
        if hub.draining:
            raise Refused("this process is about to stop")
        arrival = hub.arrivals.begin(self._sid)
        try:
            luggage = forms.decode_luggage(await self._ask(TAKE))
            session: Session = arrival.settle(luggage, self._scope, self._reader.writer)
        except (Refused, RealtimeError, msgspec.MsgspecError):
            raise
        except Exception as error:
            log(logging.ERROR, "error", connection=self._sid[:12], exc_info=error)
            raise Refused("it cannot be opened here") from error
        finally:
            hub.arrivals.end(arrival)
        self._end(DONE)
        log(logging.INFO, "taken-over", connection=self._sid[:12], server=self._owner)
        await self._read(session, luggage)
        self._reader.start(session)
        return session

    async def _read(self, session: Session, luggage: Luggage) -> None:
        """Let the session have the frames that were kept for it, as fast as it takes them."""
        frames = deque(luggage.unread)

        async def receive() -> str | bytes | None:
            return frames.popleft() if frames else None

        await session.read(receive)
