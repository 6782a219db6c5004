"""The activity feed: who has come and gone on a hub a moment ago, for the live page."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..cluster.peers import BEAT
from ..cluster.reports import MAX_ITEMS, MAX_TEXT, Item, Kind

if TYPE_CHECKING:
    from ..hub.hub import Hub
    from ..sockets.interfaces import Observed

# How long each is told, in seconds: in more than one beat, since one may be lost.
TOLD_FOR = 3 * BEAT


class ActivityFeed:
    """
    The newest connects and disconnects, and who is away or back: a hub with more of them leaves out
    the older ones.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque(maxlen=MAX_ITEMS)
        self._count = 0

    def recent(self) -> list[Item]:
        """Return what happened in the last seconds, the oldest first."""
        since = time.time() - TOLD_FOR
        return [item for item in self._items if item["at"] > since]

    def opened(self, socket: Observed) -> None:
        """Keep that a client has connected."""
        self._add("connect", socket, "")

    def closed(self, socket: Observed, reason: str) -> None:
        """Keep that a client has gone."""
        self._add("disconnect", socket, reason)

    def away(self, socket: Observed) -> None:
        """Keep that a client has dropped."""
        self._add("away", socket, "")

    def back(self, socket: Observed) -> None:
        """Keep that a client is back."""
        self._add("back", socket, "")

    def _add(self, kind: Kind, socket: Observed, reason: str) -> None:
        self._count += 1
        facts = socket.facts
        self._items.append(
            {
                "number": self._count,
                "at": time.time(),
                "kind": kind,
                "sid": socket.sid,
                "namespace": socket.namespace[:MAX_TEXT],
                "user": _name(socket.user)[:MAX_TEXT],
                "address": facts.address[:MAX_TEXT],
                "transport": facts.transport,
                "reason": reason[:MAX_TEXT],
            }
        )

    def arrived(self, socket: Observed) -> None:
        """Do nothing: it has neither come nor gone."""

    def moved(self, socket: Observed) -> None:
        """Do nothing: it is told where the client is back."""

    def adopted(self, socket: Observed) -> None:
        """Do nothing: it was told that it is away."""

    def joined(self, socket: Observed, room: str) -> None:
        """Do nothing: only who comes and goes is kept."""

    def left(self, socket: Observed, room: str) -> None:
        """Do nothing: only who comes and goes is kept."""

    def transport_changed(self, socket: Observed) -> None:
        """Do nothing: only who comes and goes is kept."""

    def shared(self, socket: Observed) -> None:
        """Do nothing: only who comes and goes is kept."""

    async def wait_written(self) -> None:
        """Return at once: nothing is written."""

    async def close(self) -> None:
        """Do nothing: the newest of them end with the hub."""


def _name(user: Any) -> str:
    """Return a user's name, or key where middleware's users have no names; "" for nobody."""
    if not getattr(user, "is_authenticated", False):
        return ""
    name = user.get_username() if hasattr(user, "get_username") else ""
    return str(name or getattr(user, "pk", ""))


def observe(hub: Hub) -> ActivityFeed:
    """Return an observer of a hub that adds to what the hub tells the others."""
    news = ActivityFeed()
    hub.news["news"] = news.recent
    return news
