"""The search for the hub that has a client's session."""

from __future__ import annotations

import asyncio
from typing import Any

from ..cluster.envelopes import Take
from ..cluster.sids import server_of
from .claims import Here, RemoteClaim, ask
from .transfers import Transfers

# How long it may take, in seconds.
TIMEOUT = 10.0

# How soon a hub is asked once more that was asked before, and to which the session has gone since.
PAUSE = 0.05


async def search(here: Here, transfers: Transfers, question: Take) -> RemoteClaim | None:
    """
    Claim a session of another hub: of the one that the pid names, its heir, or any. Return None
    where none has it, or where the client is gone first: nobody waits for that one.
    """
    hub = here.hub
    searching: asyncio.Task[RemoteClaim | None] = hub.spawn(_search(here, transfers, question))
    gone = here.socket.connection.closed.wait()
    first: set[asyncio.Future[Any]] = {searching, gone}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not searching.done():
        searching.cancel()
    elif searching.exception() is None:  # which has been logged
        return searching.result()
    return None


async def _search(here: Here, transfers: Transfers, question: Take) -> RemoteClaim | None:
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _ask_all(here, transfers, question)
    except TimeoutError:
        return None


async def _ask_all(here: Here, transfers: Transfers, question: Take) -> RemoteClaim | None:
    """Ask all hubs that may have it, and first those of whom others say so."""
    hub, pid, told = here.hub, question.pid, ""
    asked = {hub.server_id}
    if (home := server_of(pid)) is not None:
        await hub.cluster.find(home)  # which may have started just now
    while server := told or _next(here, transfers, pid, asked):
        asked.add(server)
        parcel = await ask(hub, server, question)
        if parcel is not None and parcel.sessions:
            return RemoteClaim(here, server, question, parcel)
        told = "" if parcel is None else parcel.elsewhere
        if told == hub.server_id:
            if here.sessions.get(pid) is not None:  # it has come here meanwhile
                return None
            told = transfers.where(pid) or ""
        if told in asked:
            await asyncio.sleep(PAUSE)
    return None


def _next(here: Here, transfers: Transfers, pid: str, asked: set[str]) -> str:
    """Return a hub that is to be asked, of those that are there now; an empty text for none."""
    cluster, home = here.hub.cluster, server_of(pid) or ""
    likely = (transfers.where(pid), home, cluster.heir(home))
    places = (*likely, *cluster.peers_with_recovery())
    return next((server for server in places if server and server not in asked), "")
