"""How deep a JSON text is nested, told from the text: a walk over its value takes far longer."""

from __future__ import annotations

from itertools import accumulate

_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS + b'"'))
# Opening brackets become 1 and closing ones -1, as signed bytes.
_STEPS = bytes.maketrans(_BRACKETS, bytes([1, 255, 1, 255]))


def is_deeper_than(text: str, depth: int) -> bool:
    """Tell whether more than `depth` containers stand in one another in what is valid JSON."""
    return _has_more_than(text, depth) and _depth(text) > depth


def _has_more_than(text: str, count: int) -> bool:
    """Tell whether a text has more opening brackets than that: nearly none has."""
    for bracket in "[{":
        position = text.find(bracket)  # much faster than count() where there are few
        while position >= 0:
            if count == 0:
                return True
            count -= 1
            position = text.find(bracket, position + 1)
    return False


def _depth(text: str) -> int:
    steps = _brackets(text).translate(_STEPS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _brackets(text: str) -> bytes:
    """Return the brackets that stand outside of quotation marks."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    marks = text.encode().translate(None, _OTHERS)
    # Two marks side by side say nothing about what is between others.
    marks = marks.replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])
