"""
Handing sessions from hub to hub: one that is asked for, or all of a hub that stops.

What is large goes in parts, so that no layer message is too long.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from ..cluster.envelopes import Inherit, Take, Upgrade
from ..exceptions import ServerGone
from .interfaces import Hub

# Bytes of one part.
PART_BYTES = 1024 * 1024

# Seconds until all of a session is here, and until a part of what is handed over is kept.
TIMEOUT = 15.0

# What is kept of parcels whose last part has not come: their bytes, and seconds.
MAX_PARTIAL_BYTES = 256 * 1024 * 1024
MAX_PARTIAL_AGE = 60.0


async def take(hub: Hub, server: str, question: Take | Upgrade) -> bytes | None:
    """
    Ask another hub for a session, and return its bytes; None where it gives none.

    Raises ServerGone where that hub does not answer, or not all.
    """
    question.server = hub.server_id
    parts: list[bytes] = []

    def hear(part: bytes | None) -> None:
        if part is not None:
            parts.append(part)

    # One that is gone is noticed sooner; one that is busy is not to lose its clients.
    count = await hub.cluster.ask(server, question, TIMEOUT, hear, patience=TIMEOUT)
    if count is None:
        return None
    if count != len(parts):
        raise ServerGone(f"of {count} parts of a session at {server} {len(parts)} have come")
    return b"".join(parts)


async def give(hub: Hub, question: Take, tell: Callable[[Any], None]) -> int | None:
    """Answer a hub that asks for a session: with its parts, and last with how many they are."""
    if hub.sessions is None:
        return None
    return await _tell_in_parts(hub.sessions.take(question), tell)


async def give_up(hub: Hub, question: Upgrade, tell: Callable[[Any], None]) -> int | None:
    """Answer a hub that takes a session over, in the same way."""
    return await _tell_in_parts(hub.departures.answer(question), tell)


async def _tell_in_parts(
    answer: Awaitable[bytes | None], tell: Callable[[Any], None]
) -> int | None:
    tell(None)  # the asker waits, now that it knows that this server lives
    if (body := await answer) is None:
        return None
    parts = _split(body)
    for part in parts:
        tell(part)
    return len(parts)


async def hand_over(hub: Hub, server: str, kind: str, body: bytes) -> bool:
    """
    Let another hub keep something; tell whether it does.

    Raises ServerGone where it does not answer.
    """
    parts, id = _split(body), secrets.token_urlsafe(9)
    for number, part in enumerate(parts):
        more = number < len(parts) - 1
        question = Inherit(kind, part, id, number, more)
        if not await hub.cluster.ask(server, question, TIMEOUT, patience=TIMEOUT):
            return False
    return True


def _split(body: bytes) -> list[bytes]:
    """Return the parts of some bytes: at least one."""
    return [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)] or [b""]


class Partial(NamedTuple):
    """The parts of a parcel so far, and until when the next one may come."""

    parts: list[bytes]
    until: float


class Inheritance:
    """Takes what other hubs hand over, and gives it to `hub.sessions` when it is whole."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._partial: dict[str, Partial] = {}

    async def add(self, question: Inherit, tell: Callable[[Any], None]) -> bool:
        """Take a part, or all; tell whether it is kept."""
        tell(None)
        if self._hub.sessions is None:
            return False
        self._forget_old()
        partial = self._partial.pop(question.id, None) or Partial([], 0.0)
        if question.part != len(partial.parts):
            return False
        partial.parts.append(question.body)
        if not question.more:
            body = b"".join(partial.parts)
            return await self._hub.sessions.inherit(Inherit(question.kind, body))
        size = len(question.body) + sum(
            len(part) for other in self._partial.values() for part in other.parts
        )
        if size + sum(map(len, partial.parts[:-1])) > MAX_PARTIAL_BYTES:
            return False
        until = self._hub.loop.time() + MAX_PARTIAL_AGE
        self._partial[question.id] = Partial(partial.parts, until)
        return True

    def _forget_old(self) -> None:
        now = self._hub.loop.time()
        for id, partial in list(self._partial.items()):
            if partial.until <= now:
                del self._partial[id]
