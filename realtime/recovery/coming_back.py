"""The side of recovery with a log in Redis on which clients come back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from ..cluster.envelopes import Take
from ..sockets.socket import Socket
from .claims import Claim, LocalClaim, RemoteClaim, ask
from .forms import open_session
from .identities import Identity
from .letting_in import LettingIn
from .log import Lost
from .recalled import LoggedClaim, OrphanClaim, Recalled
from .recalls import Recall
from .streams import Elsewhere
from .transfers import describe

# How often a session that is on its way is looked for, and how many seconds there are between.
ATTEMPTS = 4
PAUSE = 0.3


class ComingBack(LettingIn):
    """Finds sessions, wherever they are, and has them here for who comes back to them."""

    remote_claim = LoggedClaim

    async def restore(self, socket: Socket, auth: dict[str, Any]) -> dict[str, Any]:
        """Let a new socket be what its client had before (see `Recovery.restore`)."""
        left = await super().restore(socket, auth)
        if socket.gone:
            return left
        if socket.claim is not None:
            socket.trail = socket.claim.session.trail
        else:
            socket.trail = await self.new_trail(socket.pid)
        return left

    async def _catch_up(self, claim: Recalled) -> Recalled:
        """
        Let the session of a claim do what others wanted of it up to now; return the claim. From now
        on the new socket does that itself. Raises Lost.
        """
        try:
            await self._hub.cluster.flush_local()
            position = await self._position()
            with contextlib.suppress(TimeoutError):
                await self._bus.echo()
            await claim.catch_up(max(position, self.log.number))
        except Lost:
            claim.refuse()
            raise
        return claim

    async def _claim(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        session = self.sessions.find(pid, socket.namespace, identity)
        if session is None:
            return None
        session.claimant = socket
        await self.store.flush()
        recall = Recall(self.log, session, offset, self._hub.server_id, self._bus.echo)
        try:
            await recall.begin()
        except Lost as lost:
            socket.log(logging.INFO, "not-recovered", error=lost)
            if self.sessions.get(pid) is session:
                self.sessions.end(session)
            return None
        if self.sessions.get(pid) is not session or session.claimant is not socket:
            return None
        claim = LocalClaim(self.sessions, session, [])
        return Recalled(self._hub, claim, recall, socket, self.sessions)

    async def _find(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        """Claim a session of another hub, or of one that is gone; it may be on its way."""
        why = "no server has the session"
        for _ in range(ATTEMPTS):
            try:
                claim = await self._find_elsewhere(socket, pid, offset, identity)
                if claim is None and not socket.gone:
                    claim = await self._find_orphan(socket, pid, offset, identity)
            except Elsewhere as elsewhere:
                why = str(elsewhere)
            except Lost as lost:
                why = str(lost)
                break
            else:
                return claim
            if socket.gone:
                return None
            await asyncio.sleep(PAUSE)
        socket.log(logging.INFO, "not-recovered", error=why)
        return None

    async def _find_elsewhere(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        claim = await super()._find(socket, pid, offset, identity)
        if claim is None or isinstance(claim, Recalled):
            return claim
        assert isinstance(claim, RemoteClaim)
        recall = Recall(self.log, claim.session, offset, claim.server, self._bus.echo)
        try:
            await recall.begin()
        except Elsewhere:
            claim.release(socket)
            raise
        except Lost:
            claim.refuse()
            raise
        return await self._catch_up(Recalled(self._hub, claim, recall, socket, self.sessions))

    async def _find_orphan(
        self, socket: Socket, pid: str, offset: str | None, identity: Identity
    ) -> Claim | None:
        """Claim a session whose hub is gone. Raises Lost."""
        found = await self.store.find(pid)
        if found is None:
            raise Lost("no server has the session")
        owner, parcel = found
        (form,) = parcel.sessions
        question = Take(pid, None, describe(identity), socket.namespace, final=False)
        if not await self._is_orphan(owner, question):
            raise Elsewhere(f"{owner} has let go of the session")
        if (form.namespace, Identity(form.user, form.login)) != (socket.namespace, identity):
            raise Lost("its user or namespace is another one")
        session = open_session(parcel, form, self.log.number, self._hub.loop.time())
        recall = Recall(self.log, session, offset, owner, self._bus.echo)
        claim = OrphanClaim(self._hub, self.sessions, session)
        try:
            await recall.begin(alone=True)
        except Lost:
            claim.release(socket)
            raise
        if socket.gone:
            claim.release(socket)
            return None
        claim.follow()
        return await self._catch_up(Recalled(self._hub, claim, recall, socket, self.sessions))

    async def _is_orphan(self, owner: str, question: Take) -> bool:
        """
        Tell whether nobody that lives has a session, which Redis has as that of `owner`: that is
        gone, or has given it to a hub that was killed before it had let the client in.
        """
        where: str | None = owner
        if owner == self._hub.server_id:
            where = self.transfers.where(question.pid)
        elif self._hub.cluster.is_peer(owner):
            parcel = await ask(self._hub, owner, question)
            if parcel is not None and not parcel.sessions:
                where = parcel.elsewhere
        if not where or where == self._hub.server_id:
            return False
        return not self._hub.cluster.is_peer(where)
