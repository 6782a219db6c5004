"""
A parser of WebSocket frames: the bytes that come from a client, taken apart.

Specification: RFC 6455, section 5.2.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..exceptions import TooLarge
from .masking import unmask

# The first byte of a frame that is a whole message, and of a control frame.
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_MESSAGES, _CONTROL = frozenset({TEXT, BINARY}), frozenset({CLOSE, PING, PONG})
_MASKED, _MAX_SHORT = 0x80, 125
_MAX_CONTROL = 6 + _MAX_SHORT

# A longer length, by its first byte: its bytes, and the least that it may be.
_LONGER = {126: (2, 126), 127: (8, 65_536)}


class ControlFrame(NamedTuple):
    """A control frame, as it came."""

    wire: bytes

    @property
    def kind(self) -> int:
        """The kind of the frame: CLOSE, PING or PONG."""
        return self.wire[0]

    def make_pong(self) -> bytes:
        """Return the frame that answers this ping."""
        payload = unmask(self.wire[6:], self.wire[2:6])
        return bytes((PONG, len(payload))) + payload


class Unusual(Enum):
    """What stands in the place of a frame."""

    FRAME = "neither a whole message nor a control frame"


class FrameSplitter:
    """
    Takes the usual frames from a client's bytes: masked, unfragmented, without extensions.

    A payload has at most `limit` bytes; no more than that waits for the rest of its frame.
    """

    __slots__ = ("_data", "_missing", "_position", "_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = b""
        self._position = 0
        # The part of a frame that has come, and how many bytes it has to have to be looked at.
        self._waiting: bytearray | None = None
        self._missing = 0

    def add(self, data: bytes) -> None:
        """Add bytes that the client sent."""
        waiting = self._waiting
        if waiting is not None:
            waiting += data
            if len(waiting) < self._missing:
                return
            data, self._waiting = bytes(waiting), None
        elif self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data, self._position = data, 0

    def is_empty(self) -> bool:
        """Tell whether all that came was taken; then nothing of it is kept."""
        if self._position < len(self._data):
            return False
        self._data, self._position = b"", 0
        return self._waiting is None

    def next(self) -> str | bytes | ControlFrame | Unusual | None:
        """
        Return the payload of the next frame, or a control frame; None until it is complete.

        What is neither, as a fragment, stays where it is. Raises TooLarge when a frame announces
        more than it may have.
        """
        data, start = self._data, self._position
        if len(data) - start < 2:
            self._wait(2)
            return None
        head, length = data[start], data[start + 1] - _MASKED
        if length < 0 or head not in _MESSAGES:
            return self._next_control(head, length)
        body = start + 6
        if length > _MAX_SHORT:
            size, least = _LONGER[length]
            body += size
            length = int.from_bytes(data[start + 2 : body - 4], "big")
            if len(data) < body:
                length = 0  # it is not known yet
            elif length < least:
                return Unusual.FRAME
        if length > self.limit:
            raise TooLarge(f"a frame of {length} bytes, at most {self.limit} are accepted")
        end = body + length
        if len(data) < end:
            self._wait(end - start)
            return None
        payload = unmask(data[body:end], data[body - 4 : body])
        try:
            frame = payload.decode() if head == TEXT else payload
        except UnicodeDecodeError:
            return Unusual.FRAME
        self._position = end
        return frame

    def _next_control(self, head: int, length: int) -> ControlFrame | Unusual | None:
        if head not in _CONTROL or not 0 <= length <= _MAX_SHORT:
            return Unusual.FRAME
        end = self._position + 6 + length
        if len(self._data) < end:
            self._wait(6 + length)
            return None
        wire = self._data[self._position : end]
        self._position = end
        return ControlFrame(wire)

    def _wait(self, size: int) -> None:
        """Keep what has come of a frame until it has that size."""
        rest = self._data[self._position :]
        self._data, self._position = b"", 0
        if rest:
            self._waiting, self._missing = bytearray(rest), size

    def rest(self) -> bytes:
        """Return what was not taken, and forget it."""
        rest = bytes(self._waiting or self._data[self._position :])
        self._data, self._position, self._waiting = b"", 0, None
        return rest


class CloseFinder:
    """Finds a client's close frame among frames that nobody reads any more, and keeps none."""

    __slots__ = ("_head", "_skip")

    def __init__(self) -> None:
        self._head = b""
        # How many bytes of a frame are to come that are of no interest.
        self._skip = 0

    def find(self, data: bytes) -> bytes | None:
        """Return the close frame once the client's bytes have all of it."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return None
        data, position = self._head + data[self._skip :], 0
        self._head, self._skip = b"", 0
        while (end := _end_of_frame(data, position)) is not None:
            if data[position] == CLOSE and end - position <= _MAX_CONTROL:
                if end <= len(data):
                    return data[position:end]
                break
            if end > len(data):
                self._skip = end - len(data)
                return None
            position = end
        self._head = data[position:]
        return None


def _end_of_frame(data: bytes, start: int) -> int | None:
    """Return where a frame of whatever kind ends, or None until that is known."""
    if len(data) - start < 2:
        return None
    masked, length = divmod(data[start + 1], _MASKED)
    size = _LONGER[length][0] if length in _LONGER else 0
    body = start + 2 + size
    if len(data) < body:
        return None
    if size:
        length = int.from_bytes(data[start + 2 : body], "big")
    return body + 4 * masked + length
