"""What an observer of a hub's sockets notes, for its rows to be written later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from ..cluster.sids import server_of
from ..identity.user_rooms import without_user_rooms
from .changes import Changes, Room

if TYPE_CHECKING:
    from ..hub.hub import Hub
    from ..sockets.interfaces import Observed
    from ..sockets.socket import Socket

Note = Callable[["Observed", Iterable[Room], datetime], None]


class Notes:
    """
    What has changed since it was written last, and what is being written at the moment.

    Nothing is noted while the writer is behind: it will write all sockets.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._recovers = bool(hub.settings.RECOVERY)
        self._changes = Changes()
        self._in_flight: Changes | None = None
        # Sockets that have moved, and when: other servers are to take their rows over.
        self._departed: dict[str, float] = {}
        self._behind = True
        self._wake = asyncio.Event()

    def opened(self, socket: Socket) -> None:
        """Note a new socket and its rooms."""
        if self._behind:
            return
        # Another server may be about to remove the row of one whose client was away for long.
        is_new = server_of(socket.sid) == self._hub.server_id and not self._recovers
        self._note(self._changes.open if is_new else self._changes.come_back, socket)
        self._wake.set()

    def back(self, socket: Socket) -> None:
        """Note that a socket is here, whatever its row was until now."""
        if not self._behind:
            self._note(self._changes.come_back, socket)
            self._wake.set()

    def arrived(self, socket: Socket) -> None:
        """Note that a socket is here, and its row is another server's until now."""
        self.back(socket)

    def adopted(self, socket: Observed) -> None:
        """Note that a socket that is away belongs to this server."""
        if not self._behind:
            self._note_session(socket)
            self._wake.set()

    def _note(self, note: Note, socket: Socket) -> None:
        self._note_in(note, socket, self._hub.registry.rooms_of(socket))

    def _note_session(self, socket: Observed) -> None:
        self._note_in(self._changes.come_back, socket, tuple(socket.rooms))

    def _note_in(self, note: Note, socket: Observed, rooms: Iterable[str]) -> None:
        self._departed.pop(socket.sid, None)
        rooms = without_user_rooms(rooms)
        note(socket, [Room(socket.namespace, room) for room in rooms], timezone.now())

    def away(self, socket: Observed) -> None:
        """Note since when a socket is away."""
        if not self._behind:
            self._changes.drop(socket.sid, socket.away_since or timezone.now())
            self._wake.set()

    def moved(self, socket: Observed) -> None:
        """Write nothing more of a socket: its row is another server's, or will be."""
        self._changes.forget(socket.sid)
        if self._in_flight is not None and self._in_flight.is_bound(socket.sid):
            self._in_flight.withdrawn.add(socket.sid)
        if not self._behind:
            self._departed.pop(socket.sid, None)
            self._departed[socket.sid] = self._hub.loop.time()

    def _remove_departed(self, until: float) -> None:
        """
        Note that rows of sockets go that have moved before then, as far as they are this server's
        still: the other one could not write, and its socket, too, may be gone by now.
        """
        for sid, moved in list(self._departed.items()):
            if moved > until:
                return
            del self._departed[sid]
            self._changes.closed.add(sid)

    def closed(self, socket: Observed, reason: str) -> None:
        """Note that a socket is gone."""
        if not self._behind:
            self._changes.close(socket.sid)
            self._wake.set()

    def joined(self, socket: Observed, room: str) -> None:
        """Note a socket's new room."""
        if not self._behind:
            self._changes.join(socket.sid, Room(socket.namespace, room), timezone.now())
            self._wake.set()

    def left(self, socket: Observed, room: str) -> None:
        """Note that a socket has left a room."""
        if not self._behind:
            self._changes.leave(socket.sid, Room(socket.namespace, room))
            self._wake.set()

    def transport_changed(self, socket: Socket) -> None:
        """Note a socket's new transport."""
        if not self._behind:
            self._changes.change_transport(socket.sid, socket.connection.transport)
            self._wake.set()

    def shared(self, socket: Socket) -> None:
        """Note what a socket shares now."""
        if not self._behind:
            self._changes.share(socket.sid, socket.shared)
            self._wake.set()
