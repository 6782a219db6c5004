"""How much memory the sessions of clients that are away take, about."""

from __future__ import annotations

from sys import getsizeof

from .log import Packet
from .session import Session

# What a session takes beside its texts, with its user as Django has it, its timers and its places
# in the index; and beside their names each of its rooms, each event that another hub had for it,
# and each name of an event.
SESSION_BYTES = 4_000
STAY_BYTES = 150
MISSED_BYTES = 150
NAME_BYTES = 100

# What a room takes beside that, of which somebody who is away keeps this hub in the layer's group.
ROOM_BYTES = 620


class Footprint:
    """
    Adds up what sessions take. Of events that other hubs had, of which many sessions have the same,
    each counts once.
    """

    def __init__(self) -> None:
        self.bytes = 0
        # Of each session what stays as it is, and what its rooms take.
        self._sizes: dict[Session, tuple[int, int]] = {}
        # How many sessions have a packet, by what tells it from equal ones.
        self._packets: dict[int, int] = {}

    def add(self, session: Session) -> None:
        """Count a session."""
        sizes = _measure(session), _measure_rooms(session)
        self._sizes[session] = sizes
        self.bytes += sum(sizes)
        for missed in session.tail:
            self._count(missed.packet, 1)

    def update(self, session: Session) -> None:
        """Take note that a session may be in other rooms now, if it is counted."""
        if session not in self._sizes:
            return
        lasting, before = self._sizes[session]
        now = _measure_rooms(session)
        self._sizes[session] = lasting, now
        self.bytes += now - before

    def remove(self, session: Session) -> None:
        """Count a session no more."""
        sizes = self._sizes.pop(session, None)
        if sizes is None:
            return
        self.bytes -= sum(sizes)
        for missed in session.tail:
            self._count(missed.packet, -1)

    def _count(self, packet: Packet, change: int) -> None:
        before = self._packets.get(id(packet), 0)
        after = self._packets[id(packet)] = before + change
        if not after:
            del self._packets[id(packet)]
        if not (before and after):
            self.bytes += change * _measure_packet(packet)


def _measure(session: Session) -> int:
    texts = session.data, session.shared, session.facts.user_agent
    names = [
        name
        for each in (*session.trail.names.values(), *(missed.names for missed in session.tail))
        for name in each
    ]
    events = len(session.trail.names) + len(session.tail)
    return (
        SESSION_BYTES + sum(map(getsizeof, texts)) + events * MISSED_BYTES + len(names) * NAME_BYTES
    )


def _measure_rooms(session: Session) -> int:
    stays = session.trail.stays(session.rooms)
    return sum(STAY_BYTES + getsizeof(stay.room) for stay in stays)


def _measure_packet(packet: Packet) -> int:
    return getsizeof(packet.text) + sum(map(getsizeof, packet.attachments))
