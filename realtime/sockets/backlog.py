"""What is for a client that was not told yet that it is connected."""

from __future__ import annotations

from collections.abc import Iterator

from ..protocol.frames import Frames


class Backlog:
    """
    Keeps frames while `connect()` runs: what it sends to its own client goes first, and then what
    others have sent meanwhile.
    """

    __slots__ = ("_of_others", "_own", "bytes")

    def __init__(self) -> None:
        self._own: list[Frames] = []
        self._of_others: list[Frames] = []
        self.bytes = 0

    def add(self, frames: Frames, *, own: bool) -> None:
        """Keep frames until the client is connected."""
        (self._own if own else self._of_others).append(frames)
        self.bytes += frames.size

    def __iter__(self) -> Iterator[Frames]:
        yield from self._own
        yield from self._of_others
