"""Where senders are in their lanes, as far as a bound in bytes allows."""

from __future__ import annotations

from collections import OrderedDict
from sys import getsizeof

from .sequences import Position

# What a lane and a sender's position in it take, without the names.
LANE_BYTES = 450
POSITION_BYTES = 250

# Senders that are kept count of in one lane.
MAX_SENDERS = 1_000


class Positions:
    """
    The positions of senders in `lanes`; beyond `limit` bytes, the lane unused for longest is
    forgotten, and of the senders in one lane the one that was silent for longest.

    While it is `crowded`, who puts a position in its place says with `touch` what is in use; before
    that nothing is to be forgotten soon, and this takes no time.
    """

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self.crowded = False
        self.lanes: OrderedDict[str, dict[str, Position]] = OrderedDict()
        self._limit = limit

    def get(self, lane: str, server: str) -> Position | None:
        """Return a sender's position in a lane, or None where it is not known."""
        senders = self.lanes.get(lane)
        return None if senders is None else senders.get(server)

    def touch(self, lane: str, server: str) -> None:
        """Take note that a lane, and a sender in it that is known, are in use."""
        self.lanes.move_to_end(lane)
        senders = self.lanes[lane]
        senders[server] = senders.pop(server)

    def put(self, lane: str, server: str, position: Position) -> str | None:
        """Keep a position; return the sender that was forgotten for it in this lane, if any."""
        senders = self.lanes.get(lane)
        if senders is None:
            senders = self.lanes[lane] = {}
            self.bytes += LANE_BYTES + getsizeof(lane)
        if senders.pop(server, None) is None:
            self.bytes += POSITION_BYTES + getsizeof(server)
        senders[server] = position
        oldest = None
        if len(senders) > MAX_SENDERS:
            oldest = next(iter(senders))
            self._drop(lane, senders, oldest)
        while self.bytes > self._limit and len(self.lanes) > 1:
            self.pop(next(iter(self.lanes)))
        self.crowded = (
            self.crowded or self.bytes * 2 > self._limit or len(senders) * 2 > MAX_SENDERS
        )
        return oldest

    def pop(self, lane: str) -> dict[str, Position]:
        """Forget a lane, and return what was known of it."""
        senders = self.lanes.pop(lane, None)
        if senders is None:
            return {}
        self.bytes -= LANE_BYTES + getsizeof(lane)
        self.bytes -= sum(POSITION_BYTES + getsizeof(server) for server in senders)
        return senders

    def forget_sender(self, server: str) -> None:
        """Forget a sender in all lanes."""
        for lane, senders in list(self.lanes.items()):
            if server in senders:
                self._drop(lane, senders, server)

    def _drop(self, lane: str, senders: dict[str, Position], server: str) -> None:
        del senders[server]
        self.bytes -= POSITION_BYTES + getsizeof(server)
        if not senders:
            self.pop(lane)
