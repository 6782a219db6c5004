"""Which lanes of the layer lead to a target."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..identity.user_rooms import is_user_room
from .envelopes import HUBS, group_name, server_group
from .sequences import Lane
from .sids import server_of
from .streams import streams_of
from .targets import EVERYONE, Target

# After a remote join, how long messages to that room go to the whole namespace: a server that has
# just got its first member is in the room's group a little later.
JOIN_TIME = 5.0

# Rooms that are remembered for that.
MAX_JOINED = 10_000

EVERYBODY = Lane(HUBS, exclusive=True)


class Router:
    """
    Finds lanes.

    `channel(server)` is the channel of a hub that has all of its clients, or None: then its group
    leads to them, and to the hubs that have some. `knows(server)` tells whether an id is a hub's.
    """

    def __init__(
        self,
        channel: Callable[[str], str | None] = lambda server: None,
        knows: Callable[[str], bool] = lambda server: False,
    ) -> None:
        self._channel = channel
        self._knows = knows
        self._joined: dict[tuple[str, str], float] = {}

    def logged_lanes(self, target: Target) -> list[Lane]:
        """Return the lanes to a target for an event that the log keeps: at most one."""
        lanes = self.lanes(target)
        also = tuple(lane.name for lane in lanes[1:])
        return [lane._replace(streams=streams_of(target), also=also) for lane in lanes[:1]]

    def lanes(self, target: Target) -> list[Lane]:
        """
        Return the lanes to a target: one for most.

        A room whose name may be a sid of a server that is not known is looked for both ways.
        """
        namespace = target.namespace
        if target.client:
            return self._lanes_to_client(target)
        if len(target.rooms) != 1:
            return [EVERYBODY if target == EVERYONE else self._wide(namespace)]
        room = target.rooms[0]
        group = Lane(group_name(namespace, room), namespace=namespace)
        if is_user_room(room) or (self._joined and self._joined_lately(namespace, room)):
            return [self._wide(namespace)]
        if (server := server_of(room)) is None:
            return [group]
        if channel := self._channel(server):
            return [Lane(channel, direct=True, namespace=namespace)]
        to_server = Lane(server_group(server), namespace=namespace)
        return [to_server] if self._knows(server) else [to_server, group]

    def _lanes_to_client(self, target: Target) -> list[Lane]:
        """Return the lane to a client's server. Nothing overtakes what is for any namespace."""
        if (server := server_of(target.rooms[0])) is None:
            return []
        channel = self._channel(server)
        namespace = target.namespace or None
        return [
            Lane(
                channel or server_group(server),
                direct=channel is not None,
                namespace=namespace,
                exclusive=namespace is None,
            )
        ]

    def _wide(self, namespace: str) -> Lane:
        return Lane(group_name(namespace), namespace=namespace, wide=True)

    def note_join(self, namespace: str, rooms: tuple[str, ...]) -> None:
        """Take note that sockets of other servers are about to join rooms."""
        now = time.monotonic()
        for room in rooms:
            self._joined[namespace, room] = now + JOIN_TIME
        while self._joined and (
            len(self._joined) > MAX_JOINED or next(iter(self._joined.values())) < now
        ):
            del self._joined[next(iter(self._joined))]

    def _joined_lately(self, namespace: str, room: str) -> bool:
        # A client in whatever namespace may have joined a room of any.
        return any(self._is_recent(key) for key in ((namespace, room), ("", room)))

    def _is_recent(self, key: tuple[str, str]) -> bool:
        until = self._joined.get(key)
        if until is None:
            return False
        if until > time.monotonic():
            return True
        del self._joined[key]
        return False
