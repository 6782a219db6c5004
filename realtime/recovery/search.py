"""The search for the hub that has a client's session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from ..cluster.envelopes import Take
from ..cluster.sids import server_of
from .claims import Here, RemoteClaim, ask
from .forms import Parcel, is_logged
from .transfers import Transfers

# How long a client is kept waiting, in seconds from when it has come for the first time; and how
# long at least, where it has dropped and come again since.
TIMEOUT = 10.0
GLANCE = 4.0

# How long a hub may take to answer before the next one is asked as well.
HEAD_START = 1.0

# How soon a hub is asked once more that was asked before, and to which the session has gone since.
PAUSE = 0.05


class Begun(NamedTuple):
    """Since when a client looks for its session, and until when that counts if it is gone."""

    since: float
    until: float


class Searches:
    """
    The searches of a hub's clients, which end in claims of a `kind`. Who drops meanwhile and comes
    again goes on where it was: it is told in time, however often it drops.
    """

    def __init__(
        self, transfers: Transfers, now: Callable[[], float], kind: type[RemoteClaim]
    ) -> None:
        self._transfers = transfers
        self._now = now
        self._kind = kind
        # By the client's pid, and who it is.
        self._begun: dict[tuple[str, str | None], Begun] = {}

    async def run(self, here: Here, question: Take) -> RemoteClaim | None:
        """
        Claim a session of another hub: of the one that the pid names, its heir, or any. Return None
        where none has it, or where the client is gone first: nobody waits for that one.
        """
        key, now = (question.pid, question.user), self._now()
        before = self._begun.get(key)
        again = before is not None and before.until > now
        since = before.since if before is not None and again else now
        self._begun[key] = Begun(since, inf)
        timeout = max(GLANCE, since + TIMEOUT - now)
        search = Search(here, self._transfers, question, self._kind, hurried=again)
        try:
            return await _unless_gone(here, search.run(timeout))
        finally:
            if here.socket.gone:
                self._begun[key] = Begun(since, self._now() + TIMEOUT)
            else:  # it is told, or back
                self._begun.pop(key, None)

    def sweep(self) -> None:
        """Forget who has not come again."""
        now = self._now()
        self._begun = {key: begun for key, begun in self._begun.items() if begun.until > now}


async def _unless_gone(here: Here, search: Any) -> RemoteClaim | None:
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


class Found(NamedTuple):
    """
    Who has a session, and what that hub tells of it: nothing where it is this one by now, or where
    its log is another one than this hub's.
    """

    server: str
    parcel: Parcel | None


class Search:
    """
    The search for one session, while hubs come and go, and it may go from one to another.

    Those that do not answer at once do not keep others from being asked; a `hurried` search asks
    all of them side by side.
    """

    def __init__(
        self,
        here: Here,
        transfers: Transfers,
        question: Take,
        kind: type[RemoteClaim],
        *,
        hurried: bool,
    ) -> None:
        self._here = here
        self._hub = here.hub
        self._transfers = transfers
        self._question = question
        self._kind = kind
        self._head_start = 0.0 if hurried else HEAD_START
        # All hubs that may have it, those too that were there and are gone; and who was asked.
        self._places: dict[str, None] = {}
        self._asked: set[str] = set()

    async def run(self, timeout: float) -> RemoteClaim | None:
        """Claim the session; return None where none has it, or where that takes too long."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._ask_all()
        except TimeoutError:
            return None
        if found is None or found.parcel is None:
            return None
        return self._kind(self._here, found.server, self._question, found.parcel)

    async def _ask_all(self) -> Found | None:
        """Ask all hubs that may have it, and first those of whom others say so."""
        asking: set[asyncio.Task[Found | None]] = set()
        try:
            while (server := self._next()) or asking or await self._meet():
                if server:
                    self._asked.add(server)
                    asking.add(self._hub.spawn(self._pursue(server)))
                if not asking:
                    continue
                timeout = self._head_start if self._next() else HEAD_START
                done, asking = await asyncio.wait(
                    asking, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                for found in filter(None, (task.result() for task in done)):
                    return found
            return None
        finally:
            for task in asking:
                task.cancel()

    async def _pursue(self, server: str) -> Found | None:
        """Ask a hub, and those to which the session has gone from there; return who has it."""
        is_new = True
        while True:
            parcel = await ask(self._hub, server, self._question)
            if parcel is not None and parcel.sessions:
                is_of_kind = is_logged(parcel.sessions[0]) is self._kind.logged
                return Found(server, parcel if is_of_kind else None)
            told = "" if parcel is None else parcel.elsewhere
            if not told and is_new:  # it may have handed over, to one that was asked before
                told = self._hub.cluster.heir(server) or ""
            if told == self._hub.server_id:
                await self._hub.arrivals.wait()
                if self._here.sessions.has(self._question.pid):  # it has come here
                    return Found(told, None)
                told = self._transfers.where(self._question.pid) or ""
            if not told:
                return None
            is_new = told not in self._asked
            if not is_new:
                await asyncio.sleep(PAUSE)
            self._asked.add(told)
            self._places[told] = None
            server = told

    async def _meet(self) -> bool:
        """Wait for a hub that was not there when others were asked, and may be so soon."""
        if not await self._hub.cluster.meet(self._places):
            return False
        self._asked.clear()
        return True

    def _next(self) -> str:
        """Return a hub that was not asked yet; an empty text where there is none."""
        cluster, pid = self._hub.cluster, self._question.pid
        home = server_of(pid) or ""
        likely = (self._transfers.where(pid), home, cluster.heir(home))
        for server in (*likely, *cluster.peers_with_recovery()):
            if server and server != self._hub.server_id:
                self._places[server] = None
        return next((server for server in self._places if server not in self._asked), "")
