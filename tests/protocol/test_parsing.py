"""JSON text, strictly parsed, whatever way is taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.exceptions import InvalidJSON, ProtocolError
from realtime.protocol import parsing, surrogates
from realtime.protocol.floats import Watch, has_easy_floats
from realtime.protocol.jsontext import dumps
from realtime.protocol.parsing import MAX_DEPTH, loads

from . import attempt, mutations, values


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


@pytest.mark.parametrize("valley", range(1, 12))
@pytest.mark.parametrize("opening", "[{")
def test_loads_tells_the_depth_of_what_goes_up_and_down(valley: int, opening: str) -> None:
    up, down = ("[", "]") if opening == "[" else ('{"a":', "}")
    key = "" if opening == "[" else '"b":'

    def text(depth: int) -> str:
        tooth = key + deep(up, "1", down, valley)
        wide = ",".join([tooth] * 40)
        outer = f"[{wide}]" if opening == "[" else "{" + wide + "}"
        return deep("[", outer, "]", depth - valley - 1)

    loads(text(MAX_DEPTH))
    with pytest.raises(InvalidJSON, match="more than 100 deep"):
        loads(text(MAX_DEPTH + 1))


@pytest.mark.slow
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
    monkeypatch.setattr(parsing, "monotonic", lambda: next(clock))
    monkeypatch.setattr(parsing, "_decode", lambda text: "msgspec")
    monkeypatch.setattr(parsing, "_watch", Watch())
    assert [loads("[0.5]") for _ in range(3)] == ["msgspec", [0.5], "msgspec"]


SLOW_FLOATS = [
    *("1.5e300", "1.5E+300", "1.5e-310", "0." + "0" * 300 + "12", "1" * 200 + ".5e99"),
    *("0." + "0" * 250 + "1e-80", "1e300"),
]


@pytest.mark.parametrize("number", SLOW_FLOATS)
@pytest.mark.parametrize(
    "beside", ["[%s,0.25]", '{"price":0.25,"other":%s}', '["eeeeeeeee",0.5,%s]']
)
def test_msgspec_gets_no_floats_that_it_is_slow_at(number: str, beside: str) -> None:
    text = beside % ",".join([number] * 50)
    if beside.startswith("{"):
        text = beside % f"[{','.join([number] * 50)}]"
    assert not has_easy_floats(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "0.8374659283746592," * 50 + "0]",
        '["move",' + "12.5,-3.25,5.2e-05," * 50 + "0]",
        "[" + '{"name":"the","price":9.5},' * 50 + "0]",
    ],
)
def test_msgspec_gets_floats_that_are_usual(text: str) -> None:
    assert has_easy_floats(text)


@pytest.mark.parametrize(
    "text", ["", "[1]", '["Hello. How are you?"]', '["e' + "ex" * 999 + '",0.5]']
)
def test_msgspec_gets_no_texts_with_hardly_any_floats(text: str) -> None:
    assert not has_easy_floats(text)


@pytest.mark.parametrize("number", ["1e309", "-1e999", "1" * 400 + ".0", "0.0000001e316"])
@pytest.mark.parametrize("text", ["[%s]", "[0.5,%s]", '["№",' + '"a",' * 20_000 + "%s]"])
def test_loads_refuses_numbers_that_are_out_of_range(number: str, text: str) -> None:
    with pytest.raises(InvalidJSON, match="out of range"):
        loads(text % number)


@given(
    mutations(values.map(dumps) | values.map(json.dumps), '[]{}",:\\0e.')
    | st.text('[]{}",:\\0123456789.-eEtrufalsnNI', max_size=20)
)
@example('{"\\ud8ud800\\udc00": null}')
@example('["\\ud83dzz"]')
def test_every_way_to_parse_gives_the_same_answer(text: str) -> None:
    usual = attempt(loads, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_SHORT", -1)
        longer = attempt(loads, text)
        patch.setattr(parsing, "LONG_TO_WALK", -1)
        patch.setattr(parsing, "_LONG", -1)
        patch.setattr(parsing, "_is_slow_to_decode", lambda text: True)
        standard = attempt(loads, text)
        replaced = attempt(lambda text: loads(text, lambda value: value), text)
    for other in (longer, standard, replaced):
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


HALF_TEXTS = st.text(
    st.sampled_from(["\ud83d", "\ude42", "🙂", "?", "\\", '"', "n", "u", "d", "№"])
)


@given(st.recursive(HALF_TEXTS, lambda inner: st.lists(inner) | st.dictionaries(HALF_TEXTS, inner)))
def test_every_way_to_mend_gives_the_same_answer(value: Any) -> None:
    text = json.dumps(value)
    mended = surrogates.mend_value(json.loads(text))
    assert loads(text) == mended
    for few in (0, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surrogates, "_BYTES_PER_HALF", few)
            assert surrogates.mend_value(json.loads(text)) == mended
            patch.setattr(surrogates, "_FEW_TEXTS", 10**9)
            patch.setattr(surrogates, "_FEW_IN_UNICODE", 10**9)
            assert json.loads(surrogates.mend_json(text) or "") == mended


@given(
    st.text(st.sampled_from(["\ud83d", "\ude42", "?", "é", "🙂"])),
    st.sampled_from(["", "é", "№", "🙂"]),
)
def test_halves_side_by_side_are_two_however_long_their_text_is(text: str, more: str) -> None:
    """Only a site's own texts have such: in JSON they are a pair."""
    mended = "".join(
        surrogates.REPLACEMENT if "\ud800" <= each <= "\udfff" else each for each in text
    )
    assert surrogates.mend_text(text + more * 200) == mended + more * 200


def test_question_marks_stay_beside_all_that_might_stand_in_for_them() -> None:
    every = "".join(map(chr, range(1, 32))) + chr(0x10FFFF)
    assert surrogates.mend_text(f"{every}?\ud83d") == f"{every}?\ufffd"


@pytest.mark.parametrize(
    "text", ["[\\ud83d\\ude42]", "[\\ud83d]", '["\\ud83d\x01"]', '["\\ud83d', '["\\ud83d\\']
)
@pytest.mark.parametrize(
    "beside", ["%s", '["' + "\\ud83d" * 200 + '",%s]', "[" + '"\\ud83d",' * 200 + "%s]"]
)
def test_to_mend_a_text_makes_no_json_of_it(text: str, beside: str) -> None:
    with pytest.raises(InvalidJSON):
        loads(beside % text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("letter", ["a", "№"])
def test_javascript_s_constants_are_no_json(constant: str, letter: str) -> None:
    for count in (0, 100, 20_000):
        with pytest.raises(InvalidJSON):
            loads("[" + f'"{letter}",' * count + f"{constant}]")


@pytest.mark.parametrize("text", ["1", '"a"', "null", "true"])
def test_what_has_no_objects_has_none_to_replace(text: str) -> None:
    assert loads(text, lambda value: "replaced") == json.loads(text)


def test_control_characters_beside_halves_and_backslashes_are_no_json() -> None:
    with pytest.raises(InvalidJSON):
        loads('["\\\\\\ud83d\x02"]')


@pytest.mark.parametrize("size", [300, 5_000, 40_000])
@pytest.mark.parametrize("filling", ["x", "é", "\\ud83d"])
def test_long_texts_that_are_refused(size: int, filling: str) -> None:
    texts = filling * size
    with pytest.raises(InvalidJSON):
        loads(f'["{texts}"')
    deep = MAX_DEPTH + 1
    with pytest.raises(InvalidJSON, match=f"more than {MAX_DEPTH} deep"):
        loads("[" * deep + f'"{texts}"' + "]" * deep)


@pytest.mark.parametrize("size", [10, 300, 5_000, 40_000])
def test_one_half_of_a_pair_in_a_text(size: int) -> None:
    text = "x" * size
    assert loads(f'["{text}\\ud83d","{text}"]') == [f"{text}\ufffd", text]
    with pytest.raises(InvalidJSON):
        loads(f'["{text}\\ud83d","{text}"')
