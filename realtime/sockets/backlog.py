"""What is for a client that was not told yet that it is connected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..protocol.frames import Frames
from .interfaces import Target
from .messages import Message


class Postponed(NamedTuple):
    """
    An event that gets its place among all others when it is sent. `id` is its own, if any, and
    `target` whom it was for, where that is not this client alone.
    """

    message: Message
    id: str
    target: Target | None = None

    def is_for(self, client: Any) -> bool:
        """Tell whether a client is meant, in the rooms in which it is."""
        return self.target is None or self.target.means(client)


class Placed(NamedTuple):
    """The frames of an event that has its place already."""

    frames: Frames
    place: int


class Backlog:
    """
    Keeps frames, and events, while `connect()` runs: what it sends to its own client goes first,
    and then what others have sent meanwhile.
    """

    __slots__ = ("bytes", "of_others", "own")

    def __init__(self) -> None:
        self.own: list[Frames | Postponed | Placed] = []
        self.of_others: list[Frames | Postponed | Placed] = []
        self.bytes = 0

    def add(self, item: Frames | Postponed | Placed, size: int, *, own: bool) -> None:
        """Keep something of so many bytes until the client is connected."""
        (self.own if own else self.of_others).append(item)
        self.bytes += size

    def drop(self, client: Any) -> None:
        """Drop the events that are not for a client in the rooms in which it is now."""
        for items in (self.own, self.of_others):
            items[:] = [
                item for item in items if not isinstance(item, Postponed) or item.is_for(client)
            ]

    def __iter__(self) -> Iterator[Frames | Postponed | Placed]:
        yield from self.own
        yield from self.of_others
