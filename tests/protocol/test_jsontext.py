"""Values as JSON text, and the walk over them."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from realtime.protocol.jsontext import dumps, is_plain, replace_bytes
from realtime.protocol.parsing import loads

from . import arguments_with_bytes, values, values_with_bytes

Point = namedtuple("Point", "x y")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Weight(float):
    pass


# dumps


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "a", None, True, 0.5, {}], '[1,"a",null,true,0.5,{}]'),
        ((), "[]"),
        ({"a": "№\n\x1e"}, '{"a":"№\\n\\u001e"}'),
        (2**70, str(2**70)),
        # JavaScript writes these as null, too.
        ([float("nan"), float("inf"), float("-inf")], "[null,null,null]"),
    ],
)
def test_dumps(value: Any, text: str) -> None:
    assert dumps(value) == text


@pytest.mark.parametrize("value", [object(), "\ud800", [10**5000]])
def test_dumps_refuses_what_has_no_json_form(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(value)


@given(values)
def test_dumps_and_loads_are_inverse(value: Any) -> None:
    text = dumps(value)
    assert loads(text) == value == json.loads(text)
    assert loads(json.dumps(value)) == value


# replace_bytes


def size(data: bytes) -> str:
    return f"<{len(data)}>"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (b"", "<0>"),
        (bytearray(b"ab"), "<2>"),
        (memoryview(b"abcd")[::2], "<2>"),
        ([b"a", ["b", (b"cd", {"e": b"fgh"})]], ["<1>", ["b", ["<2>", {"e": "<3>"}]]]),
        (Point(1, b"a"), [1, "<1>"]),
        (OrderedDict(a=b"a"), {"a": "<1>"}),
        ([Colour.RED, Level.HIGH, Weight(0.5)], ["red", 3, 0.5]),
        ({1: "a", 2.5: "b", None: "c"}, {"1": "a", "2.5": "b", "null": "c"}),
        ({True: 1, False: 0}, {"true": 1, "false": 0}),
        ({Colour.RED: 1, Level.HIGH: 2}, {"red": 1, "3": 2}),
    ],
)
def test_replace_bytes(value: Any, plain: Any) -> None:
    result = replace_bytes(value, size)
    assert result == plain
    assert dumps(result) == dumps(plain)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "object"),
        ([{"a": {1, 2}}], "set"),
        (1j, "complex"),
        ({b"key": 1}, "bytes"),
        ({(1, 2): 1}, "tuple"),
        ({1j: 1}, "complex"),
    ],
)
def test_replace_bytes_names_the_type_that_it_refuses(value: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"type {name} cannot be sent"):
        replace_bytes(value, size)


@pytest.mark.parametrize("key", [(1, 2), frozenset({1})])
def test_a_key_that_has_no_text_is_refused(key: Any) -> None:
    def default(value: Any) -> Any:
        return list(value)

    with pytest.raises(TypeError, match=f"type {type(key).__name__} cannot be sent as a dict's"):
        replace_bytes({key: 1}, size, default)


def test_replace_bytes_asks_default_for_a_plainer_value() -> None:
    def default(value: Any) -> Any:
        return [str(value), b"ab"] if isinstance(value, complex) else str(value)

    value = {Decimal("1.5"): 1j, "b": [Decimal(2)]}
    assert replace_bytes(value, size, default) == {"1.5": ["1j", "<2>"], "b": ["2"]}


def test_replace_bytes_leaves_the_value_as_it_was() -> None:
    value = {"a": [b"a", {"b": (b"b",)}]}
    replace_bytes(value, size)
    assert value == {"a": [b"a", {"b": (b"b",)}]}
    plain: list[Any] = [[]]
    assert replace_bytes(plain, size)[0] is not plain[0]


@given(arguments_with_bytes)
def test_replace_bytes_visits_each_bytes_once_in_order(value: list[Any]) -> None:
    def collect(item: Any) -> list[bytes]:
        if isinstance(item, dict):
            item = list(item.values())
        if isinstance(item, list):
            return [data for inner in item for data in collect(inner)]
        return [item] if isinstance(item, bytes) else []

    seen: list[bytes] = []
    replace_bytes(value, seen.append)
    assert seen == collect(value)


@given(values_with_bytes)
def test_replace_bytes_with_themselves_changes_nothing(value: Any) -> None:
    assert replace_bytes(value, bytes) == value


# is_plain


@given(values)
def test_what_json_has_is_plain(value: Any) -> None:
    assert is_plain(value)
    assert is_plain((value, {"a": (value,)}))
    assert dumps(replace_bytes(value, refuse)) == dumps(value)


def refuse(data: bytes) -> Any:
    raise AssertionError(data)


@pytest.mark.parametrize(
    "value",
    [b"", bytearray(), Decimal(1), Colour.RED, Level.HIGH, Weight(1), Point(1, 2), OrderedDict()],
    ids=lambda value: type(value).__name__,
)
def test_what_else_there_is_is_not(value: Any) -> None:
    assert not is_plain(value)
    assert not is_plain([1, value])
    assert not is_plain({"a": [{"b": (value,)}]})
    assert not is_plain({"a": value})


@pytest.mark.parametrize("key", [1, None, Colour.RED, b"a"])
def test_a_dict_is_plain_with_plain_keys(key: Any) -> None:
    assert not is_plain({key: 1})
