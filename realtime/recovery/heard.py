"""
What a hub has heard for a client that comes from another one, and that one has not.

Both hear the same for a while. What the other one has for the client it gives with it; the rest of
what it has heard was not for the client there, or the client has got it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from ..cluster.sids import sender_of
from ..protocol.frames import Frames
from ..sockets.backlog import Postponed


class Heard:
    """
    Tells what another hub has heard, from what it is `known` to have, by the ids of events.

    Each event is to be shown to `has`, the newest first: what a sender has sent to a room before
    something known was heard before that, since what one sends to a room keeps its order.
    """

    def __init__(self, known: Container[str]) -> None:
        self._known = known
        self._until: set[tuple[str, Any]] = set()

    def has(self, id: str, places: Iterable[Any]) -> bool:
        """Tell whether an event for some places, such as rooms, was heard there too."""
        sender = sender_of(id)
        marks = [(sender, place) for place in places]
        if id in self._known:
            self._until.update(marks)
            return True
        return any(mark in self._until for mark in marks)


def unheard(items: Iterable[Frames | Postponed], known: Container[str]) -> list[Frames | Postponed]:
    """Return what was put off, in order, without the events that another hub has heard."""
    heard = Heard(known)
    left = [item for item in reversed(list(items)) if not _was_heard(item, heard)]
    return left[::-1]


def _was_heard(item: Frames | Postponed, heard: Heard) -> bool:
    if isinstance(item, Frames) or not item.id:
        return False
    target: Any = item.target
    return heard.has(item.id, target.rooms or (None,))
