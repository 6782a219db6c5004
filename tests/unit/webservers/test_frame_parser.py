"""A client's bytes, taken apart however they come: against frames made by another library."""

from __future__ import annotations

import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from realtime.exceptions import TooLarge
from realtime.webservers.frame_parser import CloseFinder, ControlFrame, FrameSplitter, Unusual
from realtime.webservers.masking import choose, unmask, unmask_in_python

LIMIT = 70_000

texts = st.text(max_size=200) | st.integers(0, LIMIT // 3).map(lambda size: "é€x"[:2] * size)
messages = (
    texts.filter(lambda text: len(text.encode()) <= LIMIT)
    | st.binary(max_size=300)
    | st.integers(65_000, LIMIT).map(bytes)
)
controls = st.builds(
    Frame, st.sampled_from([Opcode.PING, Opcode.PONG, Opcode.CLOSE]), st.binary(max_size=125)
)


def wire(frame: Frame | str | bytes) -> bytes:
    """Return a frame's bytes, as a client sends them."""
    if isinstance(frame, str):
        frame = Frame(Opcode.TEXT, frame.encode())
    elif isinstance(frame, bytes):
        frame = Frame(Opcode.BINARY, frame)
    return frame.serialize(mask=True)


def take(splitter: FrameSplitter) -> list[Any]:
    """Take all that is complete."""
    found: list[Any] = []
    while (frame := splitter.next()) is not None:
        found.append(frame)
        if isinstance(frame, Unusual):
            break
    return found


@given(st.lists(messages | controls, max_size=8), st.data())
def test_frames_come_whole_in_order_however_they_are_cut(frames: list[Any], data: Any) -> None:
    parts = [wire(frame) for frame in frames]
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    splitter = FrameSplitter(LIMIT)
    found: list[Any] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        splitter.add(stream[start:end])
        found += take(splitter)
    expected = [
        ControlFrame(part) if isinstance(frame, Frame) else frame
        for frame, part in zip(frames, parts, strict=True)
    ]
    assert found == expected
    assert splitter.is_empty()
    assert splitter.rest() == b""


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masks(data: bytes, mask: bytes) -> None:
    assert unmask_in_python(data, mask) == unmask(data, mask) == apply_mask(data, mask)


def _refuses(data: bytes, mask: bytes) -> bytes:
    raise TypeError("the test has changed this")


@pytest.mark.parametrize(
    "changed",
    [
        _refuses,
        lambda data: data,
        lambda data, mask: data,
        lambda data, mask: memoryview(unmask_in_python(data, mask)),
        None,
    ],
)
def test_a_function_of_websockets_that_has_changed(
    monkeypatch: pytest.MonkeyPatch, changed: Any
) -> None:
    assert choose() is not unmask_in_python
    monkeypatch.setattr("websockets.speedups.apply_mask", changed)
    assert choose() is unmask_in_python


def test_a_frame_that_comes_byte_by_byte() -> None:
    splitter = FrameSplitter(LIMIT)
    stream = wire("x" * 300)
    for byte in stream[:-1]:
        splitter.add(bytes((byte,)))
        assert splitter.next() is None
        assert not splitter.is_empty()
    splitter.add(stream[-1:])
    assert splitter.next() == "x" * 300
    assert splitter.is_empty()


UNUSUAL = {
    "fragment": Frame(Opcode.TEXT, b"begin", fin=False).serialize(mask=True),
    "continuation": Frame(Opcode.CONT, b"end").serialize(mask=True),
    "compressed": b"\xc1\x81" + bytes(4) + b"x",
    "unmasked": Frame(Opcode.TEXT, b"bare").serialize(mask=False),
    "unmasked and empty": b"\x81\x00",
    "unmasked close": b"\x88\x00",
    "unknown opcode": b"\x83\x80" + bytes(4),
    "long control frame": b"\x89\xfe" + bytes(4),
    "fragmented control frame": b"\x09\x80" + bytes(4),
    "not UTF-8": b"\x81\x81" + bytes(4) + b"\xff",
    "a short length in two bytes": struct.pack(">BBH", 0x81, 0xFE, 125) + bytes(129),
    "a short length in eight bytes": struct.pack(">BBQ", 0x81, 0xFF, 65_535) + bytes(4),
}


@pytest.mark.parametrize("unusual", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_the_servers_stays_as_it_came(unusual: bytes) -> None:
    after = wire("after")
    splitter = FrameSplitter(LIMIT)
    splitter.add(wire("before") + unusual + after)
    assert take(splitter) == ["before", Unusual.FRAME]
    assert splitter.next() is Unusual.FRAME
    assert splitter.rest() == unusual + after
    assert splitter.is_empty()


def test_a_part_of_a_frame_is_among_the_rest() -> None:
    splitter = FrameSplitter(LIMIT)
    stream = wire("x" * 200)
    splitter.add(stream[:100])
    assert splitter.next() is None
    splitter.add(stream[100:150])
    assert splitter.rest() == stream[:150]


@pytest.mark.parametrize("kind", [Opcode.TEXT, Opcode.BINARY])
def test_a_frame_is_refused_by_what_its_head_announces(kind: Opcode) -> None:
    for size, limit in ((100, 99), (1000, 999), (70_001, 70_000)):
        splitter = FrameSplitter(limit)
        splitter.add(wire(Frame(kind, bytes(size)))[:14])
        with pytest.raises(TooLarge, match=f"a frame of {size} bytes, at most {limit}"):
            splitter.next()


def test_what_was_not_taken_stands_before_what_comes() -> None:
    splitter = FrameSplitter(LIMIT)
    splitter.add(wire("one") + wire("two"))
    assert splitter.next() == "one"
    splitter.add(wire("three"))
    assert take(splitter) == ["two", "three"]


def test_nothing_is_kept_of_what_was_taken() -> None:
    splitter = FrameSplitter(LIMIT)
    data = wire("x" * 60_000)
    splitter.add(data)
    assert len(str(splitter.next())) == 60_000
    references = sys.getrefcount(data)
    assert splitter.is_empty()
    assert sys.getrefcount(data) == references - 1


# After the server's close frame

any_frames = st.lists(
    messages
    | st.builds(Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
    | st.builds(
        Frame,
        st.sampled_from([Opcode.TEXT, Opcode.CONT]),
        st.binary(max_size=200),
        fin=st.booleans(),
    ),
    max_size=8,
)


@given(any_frames, st.binary(max_size=125), st.data())
def test_a_close_frame_is_found_among_all_others(frames: list[Any], text: bytes, data: Any) -> None:
    close = wire(Frame(Opcode.CLOSE, text))
    stream = b"".join(map(wire, frames)) + close + wire("more")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    finder, found = CloseFinder(), None
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found = finder.find(stream[start:end])
        assert len(finder._head) < 6 + 125, "nothing is kept"
        if found is not None:
            break
    assert found == close


def test_what_is_no_close_frame_is_not_waited_for() -> None:
    finder = CloseFinder()
    too_long = b"\x88\xfe" + struct.pack("!H", 300) + bytes(4)
    assert finder.find(too_long + bytes(200)) is None
    close = wire(Frame(Opcode.CLOSE, b""))
    assert finder.find(bytes(100) + close) == close
