"""What namespaces and rooms may be called."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.protocol.names import MAX_LENGTH, check_rooms

GOOD = ["", "a", "Room №1", "🚀" * MAX_LENGTH, "x" * MAX_LENGTH, "a/b c\n\x01", " "]
BAD = {
    "x" * (MAX_LENGTH + 1): "has 256 characters",
    "a\0b": "NUL",
    "\ud800": "surrogate",
    "a\udfffb": "surrogate",
}


def test_good_names() -> None:
    assert check_rooms(tuple(GOOD)) == tuple(GOOD)


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_bad_names_say_what_is_wrong(name: str) -> None:
    with pytest.raises(ValueError, match=BAD[name]):
        check_rooms(("good", name))


@pytest.mark.parametrize("name", [None, b"a", 1, ["a"]])
def test_a_name_is_a_text(name: Any) -> None:
    with pytest.raises(TypeError, match="is a text, not"):
        check_rooms((name,))
