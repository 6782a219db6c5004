"""
The log in Redis, as a hub knows it: how far it is, and what is read from it.

Its numbers are the same for all hubs.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from time import time as now
from typing import Any, NamedTuple, Protocol

import msgspec

from ..cluster.envelopes import Command, Emit, open_parcel, unpack
from ..cluster.log_entries import LogEntry, read_entry, why_incomplete
from ..cluster.log_layer import LogLayer, read_number
from ..cluster.log_scripts import PER_MILLISECOND, number_at
from ..cluster.ordered import MESSAGE_ENVELOPES
from ..cluster.streams import group_of, stream_name
from ..sockets.messages import ForeignMessage, Format
from ..sockets.trail import NOW, Stay, Trail
from .log import Entry, Lost, Packet, is_excluded
from .places import NAME, end_of, format_place, number_of, place_of
from .session import NOTHING, Missed

# By how many milliseconds this machine's clock may be behind that of Redis.
CLOCKS = 10_000

# For how many milliseconds, at most, it may not have been written yet what a hub has let a client
# do, though that has got later events.
UNWRITTEN = 10_000


class Elsewhere(Lost):
    """The session is another server's, or on its way to one."""


class View(Protocol):
    """Whose events are read: a session, or what is known of one."""

    sid: str
    namespace: str
    trail: Trail
    rooms: set[str]
    siblings: tuple[str, ...]
    seen: int


class Found(NamedTuple):
    """
    What is read: the events that a client has missed, and what it was made to do, with its place;
    and up to which place.
    """

    missed: list[Missed]
    commands: list[tuple[int, Command]]
    upto: int


class Reach(NamedTuple):
    """A stream, and which of its events and commands are for a client: both `until` a place."""

    name: str
    after: int
    commands_after: int
    until: int
    # Whether only what names the client's connection, and this namespace, is for it.
    others: bool = False


class StreamLog:
    """
    The log of a site, which `layer()` keeps. `number` is the place up to which this hub, `server`,
    has delivered.
    """

    def __init__(self, server: str, layer: Callable[[], LogLayer]) -> None:
        self.server = NAME
        self.number = 0
        self._hub = server
        self._layer = layer
        # Up to this place something may have been lost for clients of this hub.
        self.gap: float = 0
        self._losses = 0

    @property
    def layer(self) -> LogLayer:
        """The layer, which may be another one after an outage."""
        return self._layer()

    @property
    def offset(self) -> str:
        """The offset of the newest event."""
        return format_place(self.number)

    def advance(self, number: int) -> str:
        """Take note that an event is delivered now; return its offset."""
        place = place_of(number)
        self.number = max(self.number, place)
        return format_place(place)

    def reach(self, place: int) -> None:
        """Take note that all up to a place was delivered, or was not for this hub."""
        self.number = max(self.number, place)

    async def position(self) -> int:
        """Return the place of all that was sent so far."""
        return place_of(await self.layer.position())

    def since(self, namespace: str, room: str) -> int | None:
        """Return the place from which on this hub hears a room, if it does."""
        number = self.layer.since.get(group_of(namespace, room))
        return None if number is None else place_of(number)

    @property
    def expired(self) -> int:
        """The place of what is too old for anybody whose connection has a heartbeat."""
        oldest = now() * 1000 - self.layer.lifetime + CLOCKS
        return place_of(int(oldest * PER_MILLISECOND))

    def sweep(self) -> None:
        """Do nothing: Redis forgets by itself what is too old."""

    def clear(self) -> None:
        """Do nothing: what is in Redis is for others, too."""

    # Losses

    def begin_gap(self) -> None:
        """Take note that something may be lost, until `end_gap`."""
        self.gap = math.inf
        self._losses += 1

    @property
    def gap_end(self) -> int:
        """A place behind the gap: none, while it goes on."""
        return Trail.NEVER if self.gap == math.inf else place_of(number_of(int(self.gap)) + 1)

    async def end_gap(self, heard: Callable[[], Awaitable[None]]) -> bool:
        """
        Take note that nothing is lost from now on; tell whether that is so, and nothing was lost
        meanwhile. `heard()` waits until this hub has heard all that was sent before.
        """
        losses = self._losses
        number = await self.layer.reach(number_of(self.number))
        await heard()
        (answer,) = await self.layer.run(
            ("SET", self.layer.gap(self._hub), number, "PX", 2 * self.layer.lifetime)
        )
        if isinstance(answer, Exception):
            raise answer
        self.number = max(self.number, end_of(number) + 1)
        if self._losses != losses:
            return False
        self.gap = end_of(number)
        return True

    # Reading

    async def read(self, view: View, after: int, owner: str, pid: str) -> Found:
        """
        Return what is for a client behind the place `after`.

        Raises Lost where some of it is gone, and Elsewhere where the session is not `owner`'s.
        """
        trail = view.trail
        after = max(after, trail.confirmed)
        if after < trail.floor or after < self.gap:
            raise Lost("something was lost on its way here")
        stays = trail.stays(view.rooms)
        reaches = list(_reaches(view, stays, after))
        last, time, gap, holder, *answers = await self._ask(reaches, owner, pid)
        if holder != owner.encode():
            raise Elsewhere("another server has the session")
        if (gap := read_number(gap)) and after < end_of(gap):
            raise Lost("something was lost on its way to where it was")
        events: dict[int, Emit] = {}
        commands: dict[int, Command] = {}
        upto = end_of(number_at(read_number(last), time))
        for number, reach in enumerate(reaches):
            newest, raw, dropped = answers[3 * number : 3 * number + 3]
            entries, known = list(map(read_entry, raw)), number_of(reach.after)
            if why := why_incomplete(known, read_number(newest), read_number(dropped), entries):
                raise Lost(why)
            for place, envelope in _envelopes(reach, entries, view.namespace):
                if place <= upto and isinstance(envelope, Command):
                    commands[place] = envelope
                elif place <= upto and isinstance(envelope, Emit):
                    events[place] = envelope
        missed = list(_missed(view, stays, events))
        return Found(missed, sorted(commands.items()), place_of(number_of(upto)))

    async def _ask(self, reaches: list[Reach], owner: str, pid: str) -> list[Any]:
        """
        Return the last number, Redis' time, a server's gap, whose a session is, and three answers
        for each stream: its last number, its entries, and the last number that had to go.

        They are asked for in this order, so that what comes meanwhile is no loss. Raises Lost.
        """
        layer = self.layer
        commands: list[tuple[Any, ...]] = [
            ("GET", layer.last),
            ("TIME",),
            ("GET", layer.gap(owner)),
            ("HGET", layer.session(pid), "o"),
        ]
        for reach in reaches:
            stream, known = layer.stream(reach.name), layer.known(reach.name)
            after = min(reach.after, reach.commands_after)
            first = max(0, number_of(after) - MESSAGE_ENVELOPES)
            commands += ("HGET", known, "l"), ("XRANGE", stream, first, "+"), ("HGET", known, "d")
        answers = await layer.run(*commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise Lost(f"the log cannot be read: {answer!r}")
        return answers


def _missed(view: View, stays: list[Stay], events: dict[int, Emit]) -> Iterator[Missed]:
    """Yield those of some events that are for a client, each once, in order."""
    ids = set[str]()
    for place, emit in sorted(events.items()):
        packet = _packet(emit, view.namespace)
        entry = Entry(place, 0.0, packet, emit.excluded, 0)
        if emit.id in ids or is_excluded(entry, view.sid, stays):
            continue
        if emit.id:
            ids.add(emit.id)
        yield Missed((format_place(place),), packet)


def _reaches(view: View, stays: list[Stay], after: int) -> Iterator[Reach]:
    namespace = view.namespace
    done = after
    if view.seen != NOTHING:  # what it has not done is not written; or it is, and that is not
        done = min(after, max(view.seen, after - place_of(UNWRITTEN * PER_MILLISECOND)))
    yield Reach(stream_name(namespace, None), after, done, NOW)
    yield Reach(stream_name("", None), after, done, NOW)  # for all hubs: who has logged out
    for room, since, until, _ in (Stay(view.sid, 0, NOW, 0), *stays):
        if max(done, since) < until:
            yield Reach(stream_name(namespace, room), max(after, since), max(done, since), until)
    for sid in view.siblings:
        yield Reach(stream_name(namespace, sid), after, done, NOW, others=True)


def _envelopes(
    reach: Reach, entries: Iterable[LogEntry], namespace: str
) -> Iterator[tuple[int, Emit | Command]]:
    """Yield what a stream has for a client, with its places."""
    for number, _, message, behind in entries:
        parcel = open_parcel(msgspec.msgpack.decode(message))
        for index, envelope in enumerate(unpack(parcel)):
            place = place_of(number + index) if behind is None else place_of(behind, index + 1)
            if not isinstance(envelope, (Emit, Command)):
                continue
            after = reach.after if isinstance(envelope, Emit) else reach.commands_after
            if not after < place <= reach.until:
                continue
            if reach.others and not (envelope.client and envelope.namespace == namespace):
                continue
            if not (envelope.client and envelope.namespace not in ("", namespace)):
                yield place, envelope


def _packet(emit: Emit, namespace: str) -> Packet:
    if emit.namespace == namespace:
        return Packet(emit.id, emit.text, emit.attachments)
    message = ForeignMessage(emit.namespace, emit.text, emit.attachments).within(namespace)
    frames = message.frames(Format.SOCKETIO)
    return Packet(emit.id, frames.first, frames.rest)  # type: ignore[arg-type]
