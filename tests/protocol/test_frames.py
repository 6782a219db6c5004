"""The frames of one message, as each transport has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from realtime.protocol.engineio import SEPARATOR, decode_payload
from realtime.protocol.frames import Frames, websocket_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("kind", [str, bytes])
def test_a_frame_is_as_another_library_makes_it(size: int, kind: type) -> None:
    body = b"x" * size
    data = body.decode() if kind is str else body
    opcode = Opcode.TEXT if kind is str else Opcode.BINARY
    assert websocket_frame(data) == Frame(opcode, body).serialize(mask=False)


def test_the_size_of_a_text_is_that_of_its_bytes() -> None:
    text = "№" * 60
    assert websocket_frame(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


@given(st.text(max_size=300), st.lists(st.one_of(st.text(), st.binary()), max_size=3))
def test_frames_leave_together(first: str, rest: list[str | bytes]) -> None:
    frames = Frames("4" + first, tuple(rest))
    assert frames.frames == ("4" + first, *rest)
    assert frames.size >= len(first) + sum(map(len, rest))
    wire = frames.make_wire()
    assert wire is frames.wire
    assert wire == b"".join(map(websocket_frame, frames.frames))


def test_a_payload_has_bytes_as_base64() -> None:
    frames = Frames("4text", (b"bytes",))
    assert frames.payload is frames.payload  # made once
    packets = decode_payload(SEPARATOR.join(frames.payload).encode())
    assert [packet.data for packet in packets] == ["text", b"bytes"]
