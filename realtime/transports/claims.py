"""
Taking over a session that another process has, without a reconnect.

That is done for a client whose WebSocket has come to another process than its polling, its owner
(see `takeover`), and for one whose polling comes through another process for good (`wanderers`):

1. The owner is asked to get ready (PREPARE, or PREPARE_POLLING where the client stays on polling).
   It gives the handlers of that client nothing new, waits until they have done what they had, and
   keeps what comes by POST; acknowledgements and heartbeats go on, and so does what it sends. It
   tells who the client is and in which rooms. Where something cannot move it says so, and all goes
   on as before.
2. This process asks for what is sent to these rooms and to these sids, and waits until no other one
   sends anything by what it knew before (`Cluster.fence`).
3. The owner is asked to give the session (TAKE). What this process hears from that moment on it
   keeps; what it heard before, the owner has heard before the question. The owner stops, in one
   go, and answers with everything: sockets, rooms and data, what waits for the client, the frames
   it has kept, and the ids of what it has done lately.
4. This process has the session, in one go: what waited goes out first, then what it has kept, but
   for what the owner has done. Frames that were kept are handled, then those that come here.
5. The owner is told (DONE). It leads on what comes late: requests of polling, what is sent to the
   sids, the acknowledgements of what it has asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from ..cluster.envelopes import Upgrade
from ..exceptions import RealtimeError, ServerGone
from ..identity.logins import user_key
from ..identity.renewal import Login
from ..logs import log
from ..recovery.identities import identify_exactly
from ..routing import has_namespace
from ..sockets.moving import Immovable, unpack_shown
from ..webservers.writers import Writer
from . import crossing_forms as forms
from .connection import address_of, count_key
from .crossing_forms import Plan
from .departure import DONE, KEEP, TAKE
from .interfaces import Hub
from .session import Session

Complete = Callable[[Any, dict[str, Any]], Awaitable[dict[str, Any]]]

# How often it is told to the old owner that all is well, or not.
ATTEMPTS = 3

# How often a session is looked for where it has gone.
MAX_HOPS = 8


class Refused(Exception):
    """A session is not taken over; the text says why."""


# What `Claim.prepare` and `Claim.take` raise.
FAILURES = (Refused, RealtimeError, msgspec.MsgspecError)


class Claim:
    """
    One session that the hub `owner` has, and this one is to have.

    `otherwise` is what the owner is told where that fails; nothing before it was asked.
    """

    def __init__(self, hub: Hub, owner: str, sid: str) -> None:
        self.owner = owner
        self.otherwise = ""
        self._hub = hub
        self._sid = sid
        self._plan = Plan()
        self._scope: dict[str, Any] = {}
        self._logins: dict[str, Login] = {}
        self._expected = self._is_over = False

    def fields(self, reason: object) -> dict[str, Any]:
        """Return what a log line says of a client that stays where it is."""
        return {"connection": self._sid[:12], "server": self.owner, "message": str(reason)}

    def end(self) -> None:
        """Let go of what is not needed any more, and tell the owner where this has failed."""
        self._end(self.otherwise)

    def _end(self, step: str) -> None:
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
                await self._hub.take(self.owner, Upgrade(self._sid, step))
                return

    # Before the client moves

    async def prepare(self, step: str, scope: dict[str, Any], complete: Complete) -> None:
        """Get ready, with the owner. `scope` is a request that came here. Raises `FAILURES`."""
        hub = self._hub
        self.otherwise = KEEP
        self._plan = plan = await self._find_plan(step)
        if plan.refusal:
            self.otherwise = ""
            raise Refused(plan.refusal)
        for place in plan.places:
            if not has_namespace(place.namespace):
                raise Refused(f"no route leads to {place.namespace} here")
        self._scope = await self._complete(scope, complete)
        await self._find_logins()
        self._check_room()
        self._expected = True
        for place in plan.places:
            hub.moves.expect(place.sid)
            for room in (None, *place.rooms):
                hub.holds.subscribe(place.namespace, room)
        await hub.cluster.flush_local()
        await hub.cluster.fence()

    async def _find_plan(self, step: str) -> Plan:
        """Return the plan of the owner, wherever the session has gone."""
        for _ in range(MAX_HOPS):
            plan = forms.decode_plan(await self._ask(step))
            if not plan.elsewhere or plan.elsewhere == self._hub.server_id:
                break
            self.owner = plan.elsewhere
        return plan

    async def _ask(self, step: str) -> bytes:
        body = await self._hub.take(self.owner, Upgrade(self._sid, step))
        if body is None:
            raise Refused("its process does not give it")
        return body

    async def _complete(self, scope: dict[str, Any], complete: Complete) -> dict[str, Any]:
        """
        Return the scope that the client has from now on: its first request, with the same user.

        That is who the request here is found to be of, or whoever that first one's cookie says.
        Raises Refused where neither is the same, or where middleware knew what is not known here.
        """
        plan = self._plan
        by_middleware = "user" in scope
        found = await complete(self._hub, scope)
        if missing := set(plan.added) - {str(key) for key in found}:
            raise Refused(
                f"its scope has {min(missing)!r}, which that of its {_kind(scope)} has not"
            )
        if identify_exactly(found) == plan.identity:
            return forms.join_scopes(found, plan.scope)
        if not by_middleware:
            here = {key: scope[key] for key in scope.keys() - {"user", "session", "cookies"}}
            again = await complete(self._hub, forms.join_scopes(here, plan.scope))
            if identify_exactly(again) == plan.identity:
                return again
        raise Refused(f"its {_kind(scope)} is not of the same user and login")

    async def _find_logins(self) -> None:
        """Find who the client is in namespaces for which it has shown something. Raises Refused."""
        for place in self._plan.places:
            if place.shown is not None:
                try:
                    self._logins[place.sid] = await unpack_shown(
                        self._hub, place.namespace, place.shown, self._scope
                    )
                except Immovable as reason:
                    raise Refused(str(reason)) from None

    def _check_room(self) -> None:
        """Raise TooManyConnections where this process may not have one more of such a client."""
        self._check_draining()
        self._hub.limits.admit(count_key(self._scope), address_of(self._scope))()
        for login in self._logins.values():
            self._hub.limits.admit(str(user_key(login.user)), "")()

    def _check_draining(self) -> None:
        if self._hub.draining:
            raise Refused("this process is about to stop")

    # The move

    async def take(self, writer: Writer) -> tuple[Session, list[str | bytes]]:
        """
        Have the session here, with frames that the client has sent and the caller is to give it,
        before anything else. Raises `FAILURES`.
        """
        hub = self._hub
        self._check_draining()
        arrival = hub.arrivals.begin(self._sid)
        try:
            luggage = forms.decode_luggage(await self._ask(TAKE))
            session: Session = arrival.settle(luggage, self._scope, writer, self._logins)
        except FAILURES:
            raise
        except Exception as error:
            log(logging.ERROR, "error", connection=self._sid[:12], exc_info=error)
            raise Refused("it cannot be opened here") from error
        finally:
            hub.arrivals.end(arrival)
        self._end(DONE)
        log(
            logging.INFO,
            "taken-over",
            connection=self._sid[:12],
            server=self.owner,
            transport=session.transport,
        )
        return session, luggage.unread


def _kind(scope: dict[str, Any]) -> str:
    return "WebSocket" if scope["type"] == "websocket" else "request"
