"""JSON text and the walk over values."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.exceptions import InvalidJSON, ProtocolError
from realtime.protocol import jsontext
from realtime.protocol.jsontext import MAX_DEPTH, dumps, is_plain, loads, replace_bytes

from . import arguments_with_bytes, attempt, mutations, values, values_with_bytes

Point = namedtuple("Point", "x y")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Weight(float):
    pass


# loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("true", True),
        ("0", 0),
        ("-0.5e1", -5.0),
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ('"\\u0000\\ud83d\\ude42 \u2028"', "\0🙂 \u2028"),
        (' { "a" : [ ] } ', {"a": []}),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"' + "[" * 1000 + '"', "[" * 1000),
    ],
)
def test_loads(text: str, value: Any) -> None:
    assert loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[",
        "[1,]",
        "{1:2}",
        "{'a':1}",
        "[]]",
        "[] []",
        "nul",
        "NaN",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "٣",
        "1" * 5000,
        '"a\nb"',
        '"\\x41"',
        '"\ud800"',
        "\ufeff1",
        "\x00",
        "// comment",
    ],
)
def test_loads_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(InvalidJSON, match="invalid JSON"):
        loads(text)


def deep(opening: str, middle: str, closing: str, depth: int) -> str:
    return opening * depth + middle + closing * depth


SHAPES = {
    "lists": ("[", "", "]", 1),
    "lists of a number": ("[", "1", "]", 1),
    "dicts": ('{"a":', "1", "}", 1),
    "lists of dicts": ('[{"a":', "1", "}]", 2),
    "at the end of wide lists": ('["[",1,', "2", "]", 1),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_loads_refuses_deep_nesting(shape: tuple[str, str, str, int]) -> None:
    opening, middle, closing, containers = shape
    depth = MAX_DEPTH // containers
    loads(deep(opening, middle, closing, depth))
    with pytest.raises(InvalidJSON, match="more than 100 deep"):
        loads("[" + deep(opening, middle, closing, depth) + "]")
    for depth in (1_000, 100_000):
        with pytest.raises(InvalidJSON):
            loads(deep(opening, middle, closing, depth))
        with pytest.raises(InvalidJSON):
            loads(opening * depth)


@given(values)
def test_brackets_in_texts_are_no_nesting(value: Any) -> None:
    brackets = ["[" * 200, '"{[' * 100, "\\[" * 150, "]}" * 100, '\\"[' * 60]
    beside = [brackets, value, *brackets]
    assert loads(json.dumps(beside)) == beside
    with pytest.raises(InvalidJSON, match="more than 100 deep"):
        loads(json.dumps([brackets, "X"]).replace('"X"', deep("[", dumps(value), "]", 101)))


def test_loads_accepts_much_that_is_flat() -> None:
    assert loads("[" + "[],{}," * 1000 + "0]") == [[], {}] * 1000 + [0]


@given(st.text() | st.text('[]{}",:\\ 0123456789.-eEtrufalsn', max_size=20))
def test_loads_agrees_with_the_standard_library(text: str) -> None:
    """What it accepts is JSON; what it refuses is not, or is out of its range."""
    result = attempt(loads, text)
    if isinstance(result, ProtocolError):
        assert type(result) is InvalidJSON
    else:
        assert json.loads(text) == result


NUMBERS = [
    *("1e300", "-1E+300", "5e-324", "1.7976931348623157e308", "2.2250738585072011e-308", "-0.0"),
    *("9007199254740993.0", "0.500000000000000055511151231257827021181583404541015625", "1e-999"),
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("count", [1, 10_000])
def test_loads_takes_every_number(number: str, count: int) -> None:
    text = "[" + ",".join([number] * count) + "]"
    assert loads(text) == json.loads(text)


def test_after_a_slow_text_floats_are_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.01, 0.02, 1.0, 1.0])
    monkeypatch.setattr(jsontext, "monotonic", lambda: next(clock))
    monkeypatch.setattr(jsontext, "_decode", lambda text: "msgspec")
    watch = jsontext._Watch()
    assert [watch.decode("[0.5]") for _ in range(3)] == ["msgspec", [0.5], "msgspec"]


@pytest.mark.parametrize("number", ["1e309", "-1e999", "1" * 400 + ".0", "0.0000001e316"])
@pytest.mark.parametrize("text", ["[%s]", "[0.5,%s]", '["№",' + '"a",' * 20_000 + "%s]"])
def test_loads_refuses_numbers_that_are_out_of_range(number: str, text: str) -> None:
    with pytest.raises(InvalidJSON, match="out of range"):
        loads(text % number)


@given(
    mutations(values.map(dumps) | values.map(json.dumps), '[]{}",:\\0e.')
    | st.text('[]{}",:\\0123456789.-eEtrufalsnNI', max_size=20)
)
def test_every_way_to_parse_gives_the_same_answer(text: str) -> None:
    usual = attempt(loads, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "LONG_TO_WALK", -1)
        patch.setattr(jsontext, "_is_slow_to_decode", lambda text: True)
        patch.setattr(jsontext, "_LONG", -1)
        standard = attempt(loads, text)
        replaced = attempt(lambda text: loads(text, lambda value: value), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "_WATCHED", -1)
        looked_at = attempt(loads, text)
    for other in (standard, replaced, looked_at):
        assert type(usual) is type(other)
        assert isinstance(usual, ProtocolError) or repr(usual) == repr(other)


# Halves of surrogate pairs

HALVES = [
    ('"\\ud83d"', "\ufffd"),
    ('"\\uDE42"', "\ufffd"),
    ('"a\\ud83d\\n"', "a\ufffd\n"),
    ('"\\ud83d\\ud83d\\ude42\\ude42"', "\ufffd🙂\ufffd"),
    ('"\\\\ud83d"', "\\ud83d"),
    ('"\\\\\\ud83d?"', "\\\ufffd?"),
    ('"\\ud83d\\\\ude42"', "\ufffd\\ude42"),
    ('{"\\ud83d":["\\ud83d№",1,{"a":"?\\ude42"}]}', {"\ufffd": ["\ufffd№", 1, {"a": "?\ufffd"}]}),
]


@pytest.mark.parametrize(("text", "value"), HALVES)
def test_half_a_surrogate_pair_becomes_a_replacement_character(text: str, value: Any) -> None:
    assert loads(text) == value
    assert loads(text, lambda item: item) == value
    many = "[" + ",".join([text] * 5000) + "]"
    assert loads(many) == loads(many, lambda item: item) == [value] * 5000


def test_halves_of_surrogate_pairs_beside_many_escapes() -> None:
    plain = '"' + "\\n\\ud83d" * 2000 + '"'
    assert loads(f"[{{}},{plain}]") == [{}, "\n\ufffd" * 2000]
    text, mended = "\\n\\ud83d?\U0010ffff" * 2000, "\n\ufffd?\U0010ffff" * 2000
    assert loads(f'{{"\\ud83d":[1,"{text}","a"]}}') == {"\ufffd": [1, mended, "a"]}


@given(values, st.sampled_from(["\ud83d", "\ude42", "\ud83dx"]))
def test_halves_anywhere(value: Any, half: str) -> None:
    text = json.dumps([{half: value}, half, f'"\\{half}'])
    mended = half.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert loads(text) == [{mended: value}, mended, f'"\\{mended}']
    dumps(loads(text))


@pytest.mark.parametrize("text", ['"\\ud83d', '"\\ud83"', '"\\ud83d\\x"', '["\\ud83d",NaN]'])
def test_what_else_is_wrong_beside_half_a_pair(text: str) -> None:
    with pytest.raises(InvalidJSON):
        loads(text)


@given(mutations(values.map(dumps), '[]{}",:\\0e.'))
def test_loads_survives_mutations(text: str) -> None:
    result = attempt(loads, text)
    assert not isinstance(result, ProtocolError) or type(result) is InvalidJSON


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
