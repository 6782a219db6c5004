"""ClientRooms: a mixin by which clients join and leave rooms, as far as the site lets them."""

from __future__ import annotations

from typing import Any

from .consumers import NamespaceConsumer
from .exceptions import EventError, InvalidConsumer
from .execution.calls import call_hook
from .protocol.names import check_rooms
from .sockets.handlers import event
from .sockets.overrides import path_of

OK = {"ok": True}


class ClientRooms(NamespaceConsumer):
    """
    Clients of this class join and leave rooms: by the events "join" and "leave", with a room's
    name.

    `may_join` says which rooms a client may be in. Each event is acknowledged with
    ``{"ok": True}``, or with an error. A client leaves only rooms that it has joined in this way.
    """

    # In as many rooms one client may be by its own wish.
    max_client_rooms: int = 100

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise InvalidConsumer for a class that cannot work as it is written."""
        super().__init_subclass__(**kwargs)
        most = cls.max_client_rooms
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise InvalidConsumer(
                f"{path_of(cls)}.max_client_rooms is {most!r}.",
                "Give the number of rooms that a client may be in by its own wish, like 100.",
            )

    @event("join")
    async def on_join(self, room: str) -> Any:
        """
        Let the client join a room.

        Raises InvalidName for what no room can be called, and EventError where `may_join` says no
        ("forbidden") or the client is in as many rooms as it may ("too_many_rooms").
        """
        check_rooms((room,))
        socket = self._socket
        asked = socket.asked - socket.leaving
        if room not in asked and len(asked) >= self.max_client_rooms:
            raise EventError(
                f"a client may join {self.max_client_rooms} rooms", code="too_many_rooms"
            )
        if not await call_hook(self.may_join, room, slots=socket.hub.sync_handlers):
            if room in socket.asked:  # it was let in before
                socket.leave_in_order(room)
            raise EventError("you may not join this room", code="forbidden")
        socket.admit(room)
        return OK

    @event("leave")
    async def on_leave(self, room: str) -> Any:
        """
        Let the client leave a room; one that it is not in is left already.

        Raises InvalidName for what no room can be called, and EventError ("forbidden") for a room
        that the site's own code has put the client into.
        """
        check_rooms((room,))
        socket = self._socket
        if room in socket.asked:
            socket.leave_in_order(room)
        elif room in socket.rooms:
            raise EventError("you may not leave this room", code="forbidden")
        return OK
