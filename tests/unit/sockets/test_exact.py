"""Values that are the same, types included, after they were JSON."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.sockets.exact import Inexact, dump, load

KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.uuids(), st.binary())
LEAVES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()),
    *(st.dates(), st.times(), st.datetimes(), st.datetimes(timezones=st.just(datetime.UTC))),
    *(st.uuids(), st.decimals(allow_nan=False), st.sets(KEYS), st.frozensets(KEYS)),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        *(st.lists(inner), st.lists(inner).map(tuple)),
        *(st.dictionaries(st.text(), inner), st.dictionaries(KEYS, inner)),
    ),
)


def types_of(value: Any) -> Any:
    """Return a value's type, with those of what is in it."""
    if isinstance(value, dict):
        return dict, [(type(key), types_of(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(str(type(item)) for item in value)
    return type(value)


@given(VALUES)
def test_the_same_comes_back(value: Any) -> None:
    back = load(dump(value))
    assert back == value
    assert types_of(back) == types_of(value)


@pytest.mark.parametrize("key", ["\0", "\0tuple", "\0dict", "\0none such"])
def test_keys_that_look_like_ours(key: str) -> None:
    assert load(dump({key: [1]})) == {key: [1]}


class Color(enum.IntEnum):
    """A number, and more than that."""

    RED = 1


class Text(str):
    """A text, and more than that."""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "type object"),
        ({"a": [(object(),)]}, "type object"),
        (Color.RED, "type Color"),
        (Text("x"), "type Text"),
        ({Text("x"): 1}, "type Text"),
        (bytearray(b"x"), "type bytearray"),
        (datetime.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "zone than UTC"),
        (1j, "type complex"),
    ],
)
def test_what_would_not_be_the_same(value: Any, reason: str) -> None:
    with pytest.raises(Inexact, match=reason):
        dump(value)


def test_what_stands_in_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Inexact, match="nested 50 deep"):
        dump(value)


def test_decimals_keep_their_places() -> None:
    value = [decimal.Decimal("1.10"), uuid.UUID(int=1)]
    assert str(load(dump(value))[0]) == "1.10"
