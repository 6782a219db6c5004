"""Clients in one namespace each: who they are there, what they hear, and where they go."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.recovery.chaos.links import Broken
from tests.recovery.chaos.model import Model, Session
from tests.recovery.chaos.servers import Life, Servers
from tests.recovery.chaos.sockets import ClientSocket

if TYPE_CHECKING:
    from tests.recovery.chaos.members import Member

NAMESPACES = ("/recovery", "/recovery/two")
ROOMS = tuple(f"room {number}" for number in range(8))

# What clients are told, of whose session's process was killed; who have waited where something, or
# the whole machine, stood still, for longer than servers let them wait; and others.
TOLD = "told of a loss"
TOLD_AFTER_STALL = "told of a loss after a stall"
TOLD_FOR_NOTHING = "told of a loss for nothing"

# For how long a CONNECT may lead to something whose client has dropped before it was answered, and
# a stall to something.
LATE = 20.0

# How long nothing more is done with a room after something of which nobody knows whether it was.
OPERATION_PAUSE = 6.0


class Place:
    """What a client is in one namespace."""

    def __init__(
        self, member: Member, namespace: str, rooms: list[str], model: Model, servers: Servers
    ) -> None:
        self.member = member
        self.namespace = namespace
        self.name = f"{member.name} in {namespace}"
        self.rooms = rooms
        self.session: Session | None = None
        self.entries = 0
        # When it was told of a loss for nothing, and who it was.
        self.losses: list[tuple[float, str]] = []
        # The processes that may have its session.
        self.holders: set[Life] = set()
        self.socket = ClientSocket(namespace, {"rooms": rooms}, self._hear, self._enter)
        self._asked = 0.0
        self._model = model
        self._servers = servers
        # Rooms that it is just joining or leaving.
        self._moving: set[str] = set()

    def tell(self, what: str) -> None:
        """Add a line to its client's story."""
        self.member.tell(f"{what} in {self.namespace}")

    def visit(self, now: float, life: Life) -> None:
        """Take note that its client comes to a process."""
        if not self.socket.connected:
            self._asked = now
        self.holders.add(life)

    def drop(self) -> None:
        """Take note that its client has dropped."""
        if self.session is not None:
            self.session.away = True

    # What comes

    def _enter(self, answer: dict[str, Any], recovered: bool) -> None:
        now, member = time.monotonic(), self.member
        if recovered and self.session is not None and answer["sid"] == self.session.sid:
            self.session.away = False
            member.counts["recovered"] += 1
        else:
            if self.session is not None:
                self._note_loss(now, self.session.sid)
            self.session = Session(
                answer["sid"], self.namespace, self._asked, now, frozenset(self.rooms)
            )
            self._model.sessions[self.name].append(self.session)
        self.tell(f"is let in as {answer['sid']}: {'recovered' if recovered else 'new'}")
        self.entries += 1
        self.holders = {life for _, life in member.visits}
        self.note_endings()

    def note_endings(self) -> None:
        """Take note that whoever is told to stop hands what it has to some other."""
        if any(life.ending for life in self.holders):
            self.holders |= self._servers.lives

    def _note_loss(self, now: float, sid: str) -> None:
        if any(life.killed for life in self.holders):
            self.member.counts[TOLD] += 1
        elif self._servers.stood_still > now - LATE:
            self.member.counts[TOLD_AFTER_STALL] += 1
        else:
            self.member.counts[TOLD_FOR_NOTHING] += 1
            self.losses.append((now, sid))

    def _hear(self, args: list[Any]) -> None:
        if args[0] == "n":
            assert self.session is not None
            _, number, *payload, offset = args
            self.session.hear(number, payload, time.monotonic())
            self.tell(f"hears {number} at {offset}")

    def has_heard(self, number: int) -> bool:
        """Tell whether a number has come in this session."""
        assert self.session is not None
        return any(number == heard for _, heard in self.session.arrivals[-1000:])

    # Where it goes

    async def move_somewhere(self, choose: random.Random) -> None:
        """Join or leave a room, as the client's own wish."""
        room, inside = choose.choice(ROOMS), choose.random() < 0.5
        call = self.socket.call("join" if inside else "leave", room)
        await self.move(room, inside, call, "itself")

    async def move(self, room: str, inside: bool, call: Coroutine[Any, Any, Any], by: str) -> None:
        """Do one at a time with a room, and none soon after one of which nobody knows."""
        session = self.session
        if room in self._moving or session is None:
            call.close()
            return
        self._moving.add(room)
        move = session.move(room, inside, time.monotonic())
        self.tell(f"{'joins' if inside else 'leaves'} {room} by {by}")
        self.member.counts["moves"] += 1
        try:
            await call
            session.finish(room, move, time.monotonic())
            self.tell(f"has {'joined' if inside else 'left'} {room}")
        except Broken:
            self.tell(f"has perhaps {'joined' if inside else 'left'} {room}")
            self.member.counts["moves of which nobody knows"] += 1
            await asyncio.sleep(OPERATION_PAUSE)
        finally:
            self._moving.discard(room)
