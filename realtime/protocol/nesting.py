"""How deep a JSON text is nested, told from the text: a walk over its value takes far longer."""

from __future__ import annotations

from itertools import accumulate, product

_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS + b'"'))
_TO_ONE_KIND = bytes.maketrans(b"{}", b"[]")
# How high each run of so many brackets climbs, and where it ends.
_RUN = 8
_RUNS = {
    bytes(run): (max(heights), heights[-1])
    for run in product(b"[]", repeat=_RUN)
    if (heights := list(accumulate(1 if bracket == ord("[") else -1 for bracket in run)))
}
# In a text that is no longer, to count takes less time than to find.
_SHORT = 2048
# So many levels are taken away, the innermost first, before the rest is walked over.
_LEAVES = 2


def is_deeper_than(text: str, depth: int) -> bool:
    """Tell whether more than `depth` containers stand in one another in what is valid JSON."""
    return _has_more_than(text, depth) and _are_deeper_than(_brackets(text), depth)


def _has_more_than(text: str, count: int) -> bool:
    """Tell whether a text has more opening brackets than that: nearly none has."""
    if len(text) <= _SHORT:
        lists = text.count("[") if text.find("[", 1) > 0 else 1
        return lists + (text.count("{") if "{" in text else 0) > count
    for bracket in "[{":
        position = text.find(bracket)  # much faster than count() where there are few
        while position >= 0:
            if count == 0:
                return True
            count -= 1
            position = text.find(bracket, position + 1)
    return False


def _are_deeper_than(brackets: bytes, depth: int) -> bool:
    for _ in range(_LEAVES):
        if len(brackets) <= 2 * depth:
            return False
        brackets = brackets.replace(b"[]", b"")
        depth -= 1
    level = 0
    for start in range(0, len(brackets), _RUN):
        peak, end = _RUNS[brackets[start : start + _RUN].ljust(_RUN, b"]")]
        if level + peak > depth:
            return True
        level += end
    return False


def _brackets(text: str) -> bytes:
    """Return the brackets that stand outside of quotation marks, all of one kind."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    marks = text.encode().translate(None, _OTHERS)
    # Two marks side by side say nothing about what is between others.
    marks = marks.replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2]).translate(_TO_ONE_KIND)
