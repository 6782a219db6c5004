"""Through which other server a polling client's requests come, and since when."""

from __future__ import annotations

# After so many requests in a row through one other server a session had better be there. A move
# costs the CPU time of 5 to 10 requests that are relayed, and takes as long as 5 to 20 of them. So
# where the way changes again behind each move that costs a third more than to relay them all, at
# most; and where it does not, all that comes behind the next few requests is gained.
REQUESTS = 32

# So many seconds they take at least, which is longer than servers keep an idle connection: a burst
# on one connection says nothing of the next one.
SECONDS = 10.0

# Where a session could not move it is not tried again for twice as long, up to this.
MAX_SECONDS = 3600.0


class Course:
    """The way of one session's requests."""

    __slots__ = ("_count", "_seconds", "_server", "_since")

    def __init__(self) -> None:
        self._server = ""
        self._count = 0
        self._since = 0.0
        self._seconds = SECONDS

    def note(self, server: str, now: float) -> bool:
        """
        Take note of a request through a server, or "" where that is not known; tell whether the
        session had better be there.
        """
        if server != self._server:
            self._server, self._count, self._since = server, 0, now
        self._count += 1
        return bool(server) and self._count >= REQUESTS and now - self._since >= self._seconds

    def break_off(self) -> None:
        """Take note of a request that came to the session's own server."""
        self._server = ""

    def stay(self) -> None:
        """Take note that the session could not move."""
        self.break_off()
        self._seconds = min(2 * self._seconds, MAX_SECONDS)
