"""The search for the hub that has a client's session."""

from __future__ import annotations

import asyncio
from typing import Any

from ..cluster.envelopes import Take
from ..cluster.sids import server_of
from .claims import Here, RemoteClaim, ask
from .forms import is_logged
from .transfers import Transfers

# How long it may take, in seconds.
TIMEOUT = 10.0

# How soon a hub is asked once more that was asked before, and to which the session has gone since.
PAUSE = 0.05


async def search(
    here: Here, transfers: Transfers, question: Take, kind: type[RemoteClaim] = RemoteClaim
) -> RemoteClaim | None:
    """
    Claim a session of another hub: of the one that the pid names, its heir, or any. Return None
    where none has it, or where the client is gone first: nobody waits for that one. `kind` is the
    kind of claim.
    """
    search = Search(here, transfers, question, kind).run()
    searching: asyncio.Task[RemoteClaim | None] = here.hub.spawn(search)
    gone = here.socket.connection.closed.wait()
    first: set[asyncio.Future[Any]] = {searching, gone}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not searching.done():
        searching.cancel()
    elif searching.exception() is None:  # which has been logged
        return searching.result()
    return None


class Search:
    """The search for one session, while hubs come and go, and it may go from one to another."""

    def __init__(
        self, here: Here, transfers: Transfers, question: Take, kind: type[RemoteClaim]
    ) -> None:
        self._here = here
        self._hub = here.hub
        self._transfers = transfers
        self._question = question
        self._kind = kind
        # All hubs that may have it, those too that were there and are gone; and who was asked.
        self._places: dict[str, None] = {}
        self._asked: set[str] = set()

    async def run(self) -> RemoteClaim | None:
        """Claim the session; return None where none has it, or where that takes too long."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._ask_all()
        except TimeoutError:
            return None

    async def _ask_all(self) -> RemoteClaim | None:
        """Ask all hubs that may have it, and first those of whom others say so."""
        told = ""
        while server := told or await self._next():
            is_new = server not in self._asked
            self._asked.add(server)
            self._places[server] = None
            parcel = await ask(self._hub, server, self._question)
            if parcel is not None and parcel.sessions:
                if is_logged(parcel.sessions[0]) is not self._kind.logged:
                    return None
                return self._kind(self._here, server, self._question, parcel)
            told = "" if parcel is None else parcel.elsewhere
            if not told and is_new:  # it may have handed over, to one that was asked before
                told = self._hub.cluster.heir(server) or ""
            if told == self._hub.server_id:
                await self._hub.arrivals.wait()
                if self._here.sessions.has(self._question.pid):  # it has come here
                    return None
                told = self._transfers.where(self._question.pid) or ""
            if told in self._asked:
                await asyncio.sleep(PAUSE)
        return None

    async def _next(self) -> str:
        """Return a hub that was not asked yet; an empty text where there is none."""
        while not (server := self._first()):
            # One that was not there when it was asked may be so soon.
            if not await self._hub.cluster.meet(self._places):
                return ""
            self._asked.clear()
        return server

    def _first(self) -> str:
        cluster, pid = self._hub.cluster, self._question.pid
        home = server_of(pid) or ""
        likely = (self._transfers.where(pid), home, cluster.heir(home))
        for server in (*likely, *cluster.peers_with_recovery()):
            if server and server != self._hub.server_id:
                self._places[server] = None
        return next((server for server in self._places if server not in self._asked), "")
