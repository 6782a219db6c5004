"""
The log of a hub: which events it has delivered, in which order, and to whom.

Each event that can be recovered gets a number, one higher than the one before. All sockets of the
hub get their events in the order of these numbers, so one number says what a client has got.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from sys import getsizeof
from typing import NamedTuple

import msgspec

from ..sockets.trail import NOW, Stay, Trail
from ..utils.recovery import RecoveryOptions
from .heard import Heard
from .offsets import format_offset

# What the process keeps of all streams together, as a multiple of what it keeps of one.
STREAMS = 16

# About what an entry and a stream take beside the packets.
ENTRY_BYTES = 330
STREAM_BYTES = 1_000

# The namespace and a room, a sid, or None for all of the namespace.
Key = tuple[str, str | None]


class Lost(Exception):
    """Something that a client needs is not kept any more."""


class Packet(NamedTuple):
    """An event, encoded for Socket.IO; `id` is its own in the whole cluster."""

    id: str
    text: str
    attachments: tuple[bytes, ...]


class Entry(msgspec.Struct, gc=False, frozen=True, eq=False):
    """An event in the log. `excluded` has the rooms and sids that it was not for."""

    number: int
    at: float
    packet: Packet
    excluded: tuple[str, ...]
    size: int


class Dropped(NamedTuple):
    """The highest number of a stream that had to go before its time, and when that was."""

    number: int = 0
    at: float = 0.0


NOTHING = Dropped()


class Stream:
    """The entries of one room, of which there is at least one."""

    __slots__ = ("bytes", "dropped", "entries")

    def __init__(self, dropped: Dropped) -> None:
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self.dropped = dropped

    def pop(self) -> Entry:
        """Take the oldest entry out."""
        entry = self.entries.popleft()
        self.bytes -= entry.size
        return entry

    def drop(self, now: float) -> Entry:
        """Take the oldest entry out before its time."""
        entry = self.pop()
        self.dropped = Dropped(entry.number, now)
        return entry


class EventLog:
    """
    Keeps events for `lifetime` seconds, within the bounds of the options.

    `clock` tells the time, in seconds from anywhere.
    """

    def __init__(
        self, server: str, options: RecoveryOptions, lifetime: float, clock: Callable[[], float]
    ) -> None:
        self.server = server
        self.number = 0
        # The highest number of what was too old for anybody whose connection has a heartbeat.
        self.expired = 0
        self.bytes = 0
        self._events, self._bytes = options.events, options.bytes
        self._all = options.bytes * STREAMS
        self._lifetime = lifetime
        self._clock = clock
        self._streams: dict[Key, Stream] = {}
        # Up to this number something may have been lost for anybody.
        self._gap = 0
        # What was dropped from streams in which nothing is left.
        self._dropped: dict[Key, Dropped] = {}

    @property
    def offset(self) -> str:
        """The offset of the newest event."""
        return format_offset(self.server, self.number)

    def offset_of(self, number: int) -> str:
        """Return the offset of an event."""
        return format_offset(self.server, number)

    def id_of(self, entry: Entry) -> str:
        """Return an event's own id in the cluster: its offset, where this hub has sent it."""
        return entry.packet.id or self.offset_of(entry.number)

    def add(self, keys: Iterable[Key], packet: Packet, excluded: tuple[str, ...] = ()) -> str:
        """Keep an event for each key, under the next number; return its offset."""
        self.number += 1
        now = self._clock()
        size = ENTRY_BYTES + getsizeof(packet.text)
        if packet.attachments:
            size += sum(map(getsizeof, packet.attachments))
        if excluded:
            size += sum(map(getsizeof, excluded))
        entry = Entry(self.number, now, packet, excluded, size)
        for key in keys:
            self._append(key, entry)
        return format_offset(self.server, self.number)

    def _append(self, key: Key, entry: Entry) -> None:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(self._dropped.pop(key, NOTHING))
            self.bytes += STREAM_BYTES
        entries = stream.entries
        if entries and entries[0].at < entry.at - self._lifetime:
            self._expire(stream, entry.at)
        entries.append(entry)
        stream.bytes += entry.size
        self.bytes += entry.size
        if len(entries) > self._events or stream.bytes > self._bytes or self.bytes > self._all:
            self._shorten(key, stream, entry.at)

    def _shorten(self, key: Key, stream: Stream, now: float) -> None:
        """Keep within the bounds of a stream, and of the process."""
        while len(stream.entries) > self._events or stream.bytes > self._bytes:
            self.bytes -= stream.drop(now).size
        if not stream.entries:
            self._remove(key, stream)
        if self.bytes > self._all:
            self._shrink(now)

    def _remove(self, key: Key, stream: Stream) -> None:
        """Forget a stream in which nothing is left, but for what was dropped."""
        del self._streams[key]
        self.bytes -= STREAM_BYTES
        if stream.dropped.number:
            self._dropped[key] = stream.dropped

    def _shrink(self, now: float) -> None:
        """
        Halve the largest stream, again and again, until there is room for one more that is full: a
        noisy room pays for its noise. With less room this would be done for each event.
        """
        goal = self._all - self._bytes
        order = [(-stream.bytes, place) for place, stream in enumerate(self._streams.values())]
        streams = list(self._streams.items())
        heapify(order)
        while self.bytes > goal:
            place = order[0][1]
            key, stream = streams[place]
            half = stream.bytes // 2
            while stream.bytes > half:
                self.bytes -= stream.drop(now).size
            if stream.entries:
                heapreplace(order, (-stream.bytes, place))
            else:
                heappop(order)
                self._remove(key, stream)

    def _expire(self, stream: Stream, now: float) -> None:
        until = now - self._lifetime
        while stream.entries and stream.entries[0].at < until:
            entry = stream.pop()
            self.bytes -= entry.size
            self.expired = max(self.expired, entry.number)

    def lose(self, key: Key) -> None:
        """Take note that something for a key never came."""
        self.number += 1
        dropped = Dropped(self.number, self._clock())
        if (stream := self._streams.get(key)) is not None:
            stream.dropped = dropped
        else:
            self._dropped[key] = dropped

    def lose_all(self) -> None:
        """Take note that something never came, and may have been for anybody."""
        self.number += 1
        self._gap = self.number

    def sweep(self) -> None:
        """Forget what is too old for anybody to need."""
        now = self._clock()
        for key, stream in list(self._streams.items()):
            self._expire(stream, now)
            if not stream.entries:
                self._remove(key, stream)
        until = now - self._lifetime
        self._dropped = {
            key: dropped for key, dropped in self._dropped.items() if dropped.at >= until
        }

    def clear(self) -> None:
        """Forget everything."""
        self._streams.clear()
        self._dropped.clear()
        self.bytes = 0

    def missed(
        self,
        namespace: str,
        sid: str,
        trail: Trail,
        rooms: set[str],
        position: int,
        *,
        heard: Heard | None = None,
    ) -> list[Entry]:
        """
        Return what is numbered above `position` and for a socket, in order, and was not `heard` by
        another hub before.

        `rooms` are those that it is in. Raises Lost where some of that is gone.
        """
        position = max(position, trail.confirmed)
        if position < trail.floor:
            raise Lost("what it was in then, or was sent, is not known any more")
        if position < self._gap:
            raise Lost("something was lost on its way here")
        found: dict[int, Entry] = {}
        stays = trail.stays(rooms)
        own = Stay(sid, trail.since, NOW, trail.since)
        for room, after, until, _ in (own, *stays):
            self._find((namespace, room), max(position, after), until, found, heard)
        self._find((namespace, None), position, NOW, found, heard)
        return [
            entry
            for _, entry in sorted(found.items())
            if not (entry.excluded and is_excluded(entry, sid, stays))
        ]

    def _find(
        self, key: Key, after: int, until: int, found: dict[int, Entry], heard: Heard | None
    ) -> None:
        if after >= until:
            return
        stream = self._streams.get(key)
        dropped = self._dropped.get(key, NOTHING) if stream is None else stream.dropped
        if dropped.number > after:
            raise Lost("too much was sent since")
        if stream is None:
            return
        for entry in _newest_first(stream, after):
            if heard is not None and heard.has(self.id_of(entry), (key[1],)):
                continue
            if entry.number <= until:
                found[entry.number] = entry


def _newest_first(stream: Stream, after: int) -> Iterator[Entry]:
    for entry in reversed(stream.entries):
        if entry.number <= after:
            return
        yield entry


def is_excluded(entry: Entry, sid: str, stays: list[Stay]) -> bool:
    """Tell whether an event was not for a socket, which was in rooms at its time."""
    if sid in entry.excluded:
        return True
    return any(
        stay.room in entry.excluded and stay.excluded < entry.number <= stay.until for stay in stays
    )
