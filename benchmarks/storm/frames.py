"""The frames of WebSockets, as far as the storm's clients need them."""

from __future__ import annotations

from collections.abc import Iterator

TEXT, CLOSE = 1, 8


def text_frame(text: str) -> bytes:
    """Return a client's frame of a short text, masked by nothing but zeros."""
    data = text.encode()
    size = len(data)
    head = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return b"\x81" + head + bytes(4) + data


def take_frames(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take a server's whole frames from the start of `data`: opcode and content of each."""
    while (size := _frame_size(data)) and len(data) >= size:
        yield data[0] & 15, bytes(data[4 if data[1] == 126 else 2 : size])
        del data[:size]


def _frame_size(data: bytearray) -> int:
    """Return the size of the first frame, or 0 while that cannot be told."""
    if len(data) < 2:
        return 0
    if data[1] < 126:
        return 2 + data[1]
    return 4 + int.from_bytes(data[2:4]) if len(data) >= 4 else 0
