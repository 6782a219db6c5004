"""Where senders are in their lanes, as far as a bound in bytes allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from sys import getsizeof

from .lanes import Position

# What a lane and a sender's position in it take, without the names.
LANE_BYTES = 450
POSITION_BYTES = 250

# Senders that are kept count of in one lane.
MAX_SENDERS = 1_000


class Positions:
    """
    The positions of senders in lanes; beyond `limit` bytes, the lane unused for longest is
    forgotten, and of the senders in one lane the one that was silent for longest.
    """

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self._limit = limit
        self._lanes: OrderedDict[str, dict[str, Position]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, lane: str, server: str) -> Position | None:
        """Return a sender's position in a lane, or None where it is not known."""
        senders = self._lanes.get(lane)
        return None if senders is None else senders.get(server)

    def senders(self, lane: str) -> dict[str, Position] | None:
        """Return the positions in a lane that is used now, by their senders; None for no lane."""
        senders = self._lanes.get(lane)
        if senders is not None:
            self._lanes.move_to_end(lane)
        return senders

    def put(self, lane: str, server: str, position: Position) -> str | None:
        """Keep a position; return the sender that was forgotten for it in this lane, if any."""
        senders = self._lanes.get(lane)
        if senders is None:
            senders = self._lanes[lane] = {}
            self.bytes += LANE_BYTES + getsizeof(lane)
        if senders.pop(server, None) is None:
            self.bytes += POSITION_BYTES + getsizeof(server)
        senders[server] = position
        oldest = None
        if len(senders) > MAX_SENDERS:
            oldest = next(iter(senders))
            self._drop(lane, senders, oldest)
        while self.bytes > self._limit and len(self._lanes) > 1:
            self.pop(next(iter(self._lanes)))
        return oldest

    def pop(self, lane: str) -> dict[str, Position]:
        """Forget a lane, and return what was known of it."""
        senders = self._lanes.pop(lane, None)
        if senders is None:
            return {}
        self.bytes -= LANE_BYTES + getsizeof(lane)
        self.bytes -= sum(POSITION_BYTES + getsizeof(server) for server in senders)
        return senders

    def forget_sender(self, server: str) -> None:
        """Forget a sender in all lanes."""
        for lane in list(self._lanes):
            senders = self._lanes[lane]
            if server in senders:
                self._drop(lane, senders, server)

    def _drop(self, lane: str, senders: dict[str, Position], server: str) -> None:
        del senders[server]
        self.bytes -= POSITION_BYTES + getsizeof(server)
        if not senders:
            self.pop(lane)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes)
