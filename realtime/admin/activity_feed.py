"""The activity feed: the newest connects and disconnects of a hub, for the live page."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.peers import BEAT
from ..cluster.reports import MAX_ITEMS, MAX_TEXT, Item

if TYPE_CHECKING:
    from ..hub.hub import Hub
    from ..sockets.socket import Socket

# How long each is told, in seconds: in more than one beat, since one may be lost.
TOLD_FOR = 3 * BEAT


class ActivityFeed:
    """The newest connects and disconnects: a hub with more of them leaves out the older ones."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque(maxlen=MAX_ITEMS)
        self._count = 0

    def recent(self) -> list[Item]:
        """Return the connects and disconnects of the last seconds, the oldest first."""
        since = time.time() - TOLD_FOR
        return [item for item in self._items if item["at"] > since]

    def opened(self, socket: Socket) -> None:
        """Keep that a client has connected."""
        self._add("connect", socket, "")

    def closed(self, socket: Socket, reason: str) -> None:
        """Keep that a client has gone."""
        self._add("disconnect", socket, reason)

    def _add(self, kind: Literal["connect", "disconnect"], socket: Socket, reason: str) -> None:
        self._count += 1
        scope = socket.connection.scope
        self._items.append(
            {
                "number": self._count,
                "at": time.time(),
                "kind": kind,
                "sid": socket.sid,
                "namespace": socket.namespace[:MAX_TEXT],
                "user": _name(scope.get("user"))[:MAX_TEXT],
                "address": str((scope.get("client") or ("",))[0] or "")[:MAX_TEXT],
                "transport": socket.connection.transport,
                "reason": reason[:MAX_TEXT],
            }
        )

    def joined(self, socket: Socket, room: str) -> None:
        """Do nothing: only connects and disconnects are kept."""

    def left(self, socket: Socket, room: str) -> None:
        """Do nothing: only connects and disconnects are kept."""

    def transport_changed(self, socket: Socket) -> None:
        """Do nothing: only connects and disconnects are kept."""

    def shared(self, socket: Socket) -> None:
        """Do nothing: only connects and disconnects are kept."""

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
