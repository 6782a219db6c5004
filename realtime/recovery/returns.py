"""
Clients that have come back lately.

That something was lost on its way here is noticed a little later. Who was away then, and has come
back before it was noticed, was told that nothing is missing: it is made to come once more, and is
told then.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from ..sockets.socket import Socket
from .identities import identify
from .log import Key
from .sessions import Live


class Returns:
    """
    Remembers who has come back, for `seconds`; `now` is the loop's clock.
    """

    def __init__(self, live: Live, seconds: float, now: Callable[[], float]) -> None:
        self._live = live
        self._seconds = seconds
        self._now = now
        self._sockets: deque[tuple[float, Socket]] = deque()

    def note(self, socket: Socket) -> None:
        """Take note that the client of a socket is coming back."""
        self._sockets.append((self._now(), socket))

    def lose(self, key: Key | None, since: float) -> None:
        """
        Have those come once more who have come back since then, and may have missed something that
        was for `key`, or for anybody.
        """
        for returned, socket in reversed(self._sockets.copy()):
            if returned < since:
                return
            if not socket.gone and _may_miss(socket, key):
                socket.log(logging.INFO, "lost-before-return")
                self._live.remove(socket)
                socket.connection.close("transport close")

    def log_out(self, user: str, login: str | None = None) -> None:
        """
        Have those come once more who are just coming back to what a user had in a login, or in any:
        they were let in by that.
        """
        for _, socket in self._sockets.copy():
            if socket.claim is None or socket.gone:
                continue
            who = identify(socket.connection.scope)
            if who is not None and who.user == user and login in (None, who.login):
                socket.claim.log_out()
                socket.connection.close("transport close")

    def sweep(self) -> None:
        """Forget who came back long ago."""
        oldest = self._now() - self._seconds
        while self._sockets and self._sockets[0][0] < oldest:
            self._sockets.popleft()


def _may_miss(socket: Socket, key: Key | None) -> bool:
    """Tell whether something for a namespace, or for a room of it, may have been for a client."""
    if key is None:
        return True
    namespace, room = key
    if socket.namespace != namespace:
        return False
    if room is None or socket.trail is None:
        return True
    return any(stay.room == room for stay in socket.trail.stays(socket.rooms))
