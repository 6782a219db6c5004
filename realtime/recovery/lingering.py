"""Clients that were given to another hub just now: what still comes for them here is sent on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ..cluster.addressing import target_of
from ..cluster.envelopes import Emit
from .holds import Holds
from .interfaces import Hub

# How long what is for a client is still heard after it was given away, and for how many.
LINGER = 1.0
MAX_LINGERING = 1_000

# How the ids of processes without clients begin, which no hub's does.
OUTSIDE = "-"


class Lingerer(NamedTuple):
    """A client that has left, and its rooms; of `late` ones the other hub has heard too late."""

    namespace: str
    sid: str
    rooms: frozenset[str]
    late: frozenset[str]


class Lingering:
    """
    Hears for some time what is for clients that were given away.

    Hubs that were asked for a fence have sent nothing that only reaches this hub. A process that
    serves no clients is not asked: what it was sending may come here alone. So may what is for a
    room that a client has joined after the other hub was told of its rooms. The other hub leaves
    out what is for a room that the client has left there.
    """

    def __init__(self, hub: Hub, holds: Holds) -> None:
        self._hub = hub
        self._holds = holds
        self._clients: deque[tuple[Lingerer, asyncio.TimerHandle]] = deque()

    def __bool__(self) -> bool:
        return bool(self._clients)

    def add(self, namespace: str, sid: str, rooms: Iterable[str], late: Iterable[str] = ()) -> None:
        """Hear what is for a client a little longer."""
        if len(self._clients) >= MAX_LINGERING:
            return
        client = Lingerer(namespace, sid, frozenset(rooms), frozenset(late))
        for room in (None, *client.rooms):
            self._holds.subscribe(namespace, room)
        self._clients.append((client, self._hub.loop.call_later(LINGER, self._let_go)))

    def _let_go(self) -> None:
        client, _ = self._clients.popleft()
        for room in (None, *client.rooms):
            self._holds.unsubscribe(client.namespace, room)

    def close(self) -> None:
        """Hear nothing any more."""
        while self._clients:
            _, timer = self._clients[0]
            timer.cancel()
            self._let_go()

    def send_on(self, server: str, envelope: Emit) -> None:
        """Send an event of a `server` on to those whom it may not have reached."""
        from_outside = envelope.id.startswith(OUTSIDE)
        target = target_of(envelope)
        for client, _ in self._clients:
            is_late = not client.late.isdisjoint(target.rooms)
            if (from_outside or is_late) and target.means(client):
                self._hub.moves.forward(client.sid, envelope, server)
