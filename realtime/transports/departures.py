"""Sessions that other processes take over: what their owner does (see `claims`)."""

from __future__ import annotations

import asyncio

from ..cluster.envelopes import HttpRequest, Upgrade
from ..exceptions import HandshakeError
from ..sockets.moving import Immovable
from . import crossing_forms as forms
from .courses import Course
from .crossing_forms import Plan
from .departure import DONE, DROP, GIVEN, HELD, KEEP, PREPARE, PREPARE_POLLING, TAKE, Departure
from .interfaces import Hub
from .session import Session

# How long after a client was ready, or was given away, the next step may take beyond the upgrade.
SPARE_TIME = 10.0


class Departures:
    """The sessions of a hub that others are about to have, or have."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[str, Departure] = {}

    def invites(self, question: HttpRequest) -> bool:
        """
        Take note of a request that has come through another hub; tell whether that had better have
        the session.
        """
        session = self._hub.connections.get(question.sid)
        if not isinstance(session, Session) or session.polling is None:
            return False
        if session.course is None:
            session.course = Course()
        if not session.course.note(question.server, self._hub.loop.time()):
            return False
        is_busy = session.upgrading or self._hub.wanderers.approached(session.sid)
        return not is_busy and not self._hub.draining

    async def settled(self, sid: str) -> None:
        """Wait until a client that stays on polling is not about to go, but not for long."""
        departure = self._open.get(sid)
        if departure is not None and departure.stays_polling:
            timeout = self._hub.settings.UPGRADE_TIMEOUT
            await asyncio.wait([departure.over.wait()], timeout=timeout)

    async def answer(self, question: Upgrade) -> bytes | None:
        """Do the step that another hub asks for; return what that hub is told."""
        sid = question.sid
        if question.step in (PREPARE, PREPARE_POLLING):
            return forms.encode(await self._prepare(question))
        departure = self._open.get(sid)
        if departure is None or departure.server != question.server:
            return None
        if question.step == TAKE:
            return await self._give(departure)
        self._end(departure, question.step)
        return b""

    async def _prepare(self, question: Upgrade) -> Plan:
        await self._hub.arrivals.wait_for(question.sid)
        stays_polling = question.step == PREPARE_POLLING
        if not stays_polling:
            await self.settled(question.sid)
        session = self._hub.connections.get(question.sid)
        if session is None and (server := self._hub.moves.where(question.sid)) is not None:
            return Plan("it is at another process", elsewhere=server)
        if not isinstance(session, Session) or session.polling is None or session.upgrading:
            return Plan("there is no such session on polling")
        return await self._prepare_session(session, question.server, stays_polling)

    async def _prepare_session(self, session: Session, server: str, stays_polling: bool) -> Plan:
        if self._hub.draining:
            return Plan("its process is about to stop")
        if stays_polling and self._hub.wanderers.approached(session.sid):
            return Plan("its WebSocket is here")
        try:
            session.prove()
        except HandshakeError as error:
            return Plan(error.message)
        departure = Departure(self._hub, session, server, stays_polling)
        self._open[session.sid] = departure
        try:
            await departure.settle()
            plan = departure.plan()
        except Immovable as reason:
            self._end(departure, KEEP)
            return Plan(str(reason))
        except BaseException:
            self._end(departure, KEEP)
            raise
        self._end_later(departure, KEEP)
        return plan

    def _end_later(self, departure: Departure, step: str) -> None:
        """End a departure by itself, where nobody asks for the next step in time."""
        if departure.timer is not None:
            departure.timer.cancel()
        seconds = self._hub.settings.UPGRADE_TIMEOUT + SPARE_TIME
        departure.timer = self._hub.loop.call_later(seconds, self._end, departure, step)

    async def _give(self, departure: Departure) -> bytes | None:
        if departure.stays_polling and not await departure.wait_posted():
            return None
        if departure.state is not HELD or self._open.get(departure.session.sid) is not departure:
            return None
        session = departure.session
        try:
            luggage = departure.give()
        except Immovable:
            self._end(departure, KEEP if departure.stays_polling else DROP)
            return None
        except Exception:
            session.fail()
            self._end(departure, DROP)
            return None
        self._end_later(departure, DROP)
        self._hub.services.spawn(departure.relay_acks())
        return forms.encode(luggage)

    def _end(self, departure: Departure, step: str) -> None:
        """End a departure, by DONE, KEEP or DROP."""
        if self._open.get(departure.session.sid) is departure:
            del self._open[departure.session.sid]
        if departure.timer is not None:
            departure.timer.cancel()
        if step == DONE:
            return
        if departure.state is GIVEN:
            departure.fail()
            return
        departure.keep()
        if departure.stays_polling and departure.session.course is not None:
            departure.session.course.stay()
        if step == DROP:  # it has left polling for good
            departure.session.close("transport close")

    def keep(self) -> None:
        """Keep all clients that would stay on polling elsewhere: this hub is about to stop."""
        for departure in list(self._open.values()):
            if departure.stays_polling and departure.state is not GIVEN:
                self._end(departure, KEEP)

    def forget_server(self, server: str) -> None:
        """Take note that another hub is gone: clients that it has not got yet stay here."""
        for departure in list(self._open.values()):
            if departure.server == server and departure.state is not GIVEN:
                self._end(departure, KEEP)

    def close(self) -> None:
        """Wait for nothing any more."""
        for departure in list(self._open.values()):
            if departure.timer is not None:
                departure.timer.cancel()
        self._open.clear()
