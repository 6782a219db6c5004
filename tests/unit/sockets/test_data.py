"""What a consumer keeps about a client that may come back."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import threading
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime import NamespaceConsumer, event
from realtime.sockets.data import RecoverableData, dump_data, load_data
from tests.unit.conftest import Connect, Serve

RECOVERY = {"SECONDS": 60}


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


def come_back(value: Any) -> Any:
    """Return what a value is once its client has come back."""
    return load_data(dump_data(RecoverableData({"key": value})))["key"]


texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@given(values)
def test_what_json_holds_comes_back_as_it_was(value: Any) -> None:
    back = come_back(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (2**70, 2**70),
        (-(2**70), -(2**70)),
        (10**300, 10**300),
        (5e-324, 5e-324),
        (-0.0, -0.0),
        (1.0, 1.0),
        ("\u2028\x00\x7f🙂", "\u2028\x00\x7f🙂"),
        ((1, (2, [3])), [1, [2, [3]]]),
        (Point(1, 2), [1, 2]),
        (SafeString("<b>"), "<b>"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({Colour.RED: SafeString("a")}, {"red": "a"}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[1]), {"a": [1]}),
    ],
)
def test_relatives_of_jsons_types_come_back_as_these(value: Any, back: Any) -> None:
    assert come_back(value) == back
    assert type(come_back(value)) is type(back)


LOOP: list[Any] = []
LOOP.append(LOOP)
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
VERY_DEEP: list[Any] = []
for _ in range(100_000):
    VERY_DEEP = [VERY_DEEP]


class Faulty(str):
    """What raises whenever it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __eq__ = __repr__ = __str__  # type: ignore[assignment]
    __hash__ = str.__hash__


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [1, {"a": -float("inf")}],
        "\ud800",
        {"\udfff": 1},
        datetime.now(UTC),
        Decimal(1),
        UUID(int=1),
        b"bytes",
        bytearray(),
        memoryview(b"a"),
        {1, 2},
        frozenset(),
        object(),
        range(3),
        UserDict(a=1),
        gettext_lazy("text"),
        SimpleLazyObject(lambda: "text"),
        10**5000,
        {1: "a"},
        {None: "a"},
        {(1, 2): "a"},
        {b"a": "a"},
        [{"deep": [{"er": {1}}]}],
        lambda: 1,
        LOOP,
        DEEP,
        VERY_DEEP,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "put",
    [
        lambda data, value: data.__setitem__("the key", value),
        lambda data, value: data.update({"the key": value}),
        lambda data, value: data.update(**{"the key": value}),
        lambda data, value: data.update([("the key", value)]),
        lambda data, value: data.setdefault("the key", value),
        lambda data, value: data.__ior__({"the key": value}),
        lambda data, value: RecoverableData({"the key": value}),
        lambda data, value: RecoverableData.fromkeys(["the key"], value),
    ],
)
def test_all_else_is_refused_where_it_is_set(
    value: Any, put: Callable[[RecoverableData, Any], Any]
) -> None:
    data = RecoverableData({"other": 1})
    with pytest.raises((TypeError, ValueError), match=r"self\.data\['the key'\]") as caught:
        put(data, value)
    assert type(caught.value) in (TypeError, ValueError)
    assert data == {"other": 1}
    assert dump_data(data) == '{"other":1}'


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), 1.5])
def test_keys_are_texts(name: Any) -> None:
    with pytest.raises(TypeError, match="texts for keys"):
        RecoverableData()[name] = 1


def test_a_key_that_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match=r"self\.data\['\\ud800'\]"):
        RecoverableData()["\ud800"] = 1


def test_too_much_is_refused_where_it_is_set() -> None:
    data = RecoverableData({"a": "x" * 10_000})
    with pytest.raises(ValueError, match=r"self\.data\['b'\] makes it 170\d\d bytes"):
        data["b"] = "x" * 7_000
    data["b"] = "x" * 6_000
    data["a"] = "y"
    data["b"] = "x" * 16_000
    with pytest.raises(ValueError, match=r"self\.data\['ü"):
        data["ü" * 3_000] = ""
    with pytest.raises(ValueError, match=r"self\.data\['"):
        data["\x00" * 1_000] = ""
    del data["b"]
    data["c"] = "№" * 5_000


@given(st.dictionaries(texts, values, max_size=6))
def test_sizes_are_those_of_the_json(given_values: dict[str, Any]) -> None:
    data = RecoverableData(given_values)
    size = len(dump_data(data).encode())
    assert size == (sum(data._sizes.values()) + 1 if data else 2)


names = st.sampled_from(["a", "b", "ü", "", "\x00"])


class Sizes(RuleBasedStateMachine):
    """A dict beside it is changed in the same ways."""

    def __init__(self) -> None:
        super().__init__()
        self.data = RecoverableData()
        self.model: dict[str, Any] = {}

    def do(self, act: Callable[[dict[str, Any]], Any]) -> None:
        """Do something to both; what it returns or raises is the same."""
        results = []
        for each in (self.data, self.model):
            try:
                results.append(act(each))
            except KeyError:
                results.append(KeyError)
        assert results[0] == results[1]

    @rule(name=names, value=values)
    def set(self, name: str, value: Any) -> None:
        self.do(lambda each: each.__setitem__(name, value))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.do(lambda each: each.__delitem__(name))

    @rule(name=names, default=st.lists(values, max_size=1))
    def pop(self, name: str, default: list[Any]) -> None:
        self.do(lambda each: each.pop(name, *default))

    @rule()
    def popitem(self) -> None:
        self.do(lambda each: each.popitem())

    @rule(name=names, default=st.lists(values, max_size=1))
    def setdefault(self, name: str, default: list[Any]) -> None:
        self.do(lambda each: each.setdefault(name, *default))

    @rule(more=st.dictionaries(names, values), kind=st.sampled_from([dict, list]))
    def update(self, more: dict[str, Any], kind: type) -> None:
        self.do(lambda each: each.update(more if kind is dict else list(more.items())))

    @rule(value=values)
    def update_by_name(self, value: Any) -> None:
        self.do(lambda each: each.update({"b": 1}, a=value))

    @rule(more=st.dictionaries(names, values))
    def join_in_place(self, more: dict[str, Any]) -> None:
        before = self.data
        self.data |= more
        self.model |= more
        assert self.data is before

    @rule(more=st.dictionaries(names, values))
    def join(self, more: dict[str, Any]) -> None:
        self.do(lambda each: each | more)
        self.do(lambda each: more | each)

    @rule()
    def clear(self) -> None:
        self.do(lambda each: each.clear())

    @rule(
        how=st.sampled_from(
            [
                copy.copy,
                copy.deepcopy,
                lambda data: pickle.loads(pickle.dumps(data)),
                RecoverableData,
                lambda data: load_data(dump_data(data)),
            ]
        )
    )
    def copy(self, how: Callable[[RecoverableData], RecoverableData]) -> None:
        """Go on with a copy, from which the other is independent."""
        before, self.data = self.data, how(self.data)
        assert type(self.data) is RecoverableData
        before.clear()
        before["a"] = "other"

    @rule()
    def plain_copy(self) -> None:
        assert self.data.copy() == self.model
        assert type(self.data.copy()) is dict

    @invariant()
    def same(self) -> None:
        assert self.data == self.model
        assert list(self.data) == list(self.model)
        assert self.data._sizes.keys() == self.model.keys()
        assert json.loads(dump_data(self.data)) == self.model


TestSizes = pytest.mark.slow(Sizes.TestCase)
TestSizes.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_what_changes_inside_is_looked_at_when_it_is_kept() -> None:
    data = RecoverableData({"list": [], "dict": {}})
    data["list"].append("x" * 20_000)
    back = load_data(dump_data(data))
    assert back == data
    with pytest.raises(ValueError, match="makes it"):
        back["more"] = 1
    del back["list"]
    back["more"] = 1
    data["list"].append("x" * 20_000)
    with pytest.raises(ValueError, match="has grown to 40"):
        dump_data(data)
    data["list"][:] = [object()]
    with pytest.raises(TypeError, match="no form for object"):
        dump_data(data)
    data["list"][:] = [data]
    with pytest.raises(ValueError, match="stands in itself"):
        dump_data(data)


def test_threads_may_change_it_meanwhile() -> None:
    data = RecoverableData({"list": [], "dict": {}})
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.is_set():
            number = (number + 1) % 100
            for each in (data, data["dict"]):
                each[f"n{number}"] = number
                each.pop(f"n{(number * 7) % 100}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2_000):
            assert {"list", "dict"} <= json.loads(dump_data(data)).keys()
    finally:
        over.set()
        thread.join()


# As consumers have it


class Keeper(NamespaceConsumer):
    """It keeps what it is told to."""

    async def connect(self, auth: Any) -> None:
        self.kinds = type(self.data).__name__

    @event
    async def keep(self, values: dict[str, Any]) -> str:
        self.data = values
        return type(self.data).__name__

    @event
    async def nest(self, how: str) -> None:
        self.data["list"] = []
        self.data["list"].append({"object": object(), "much": "x" * 100_000}[how])

    @event
    async def kept(self) -> list[Any]:
        return [self.kinds, self.lost, dict(self.data)]

    @event
    async def keep_an_object(self) -> str:
        self.data = {"it": object()}
        return type(self.data).__name__


async def test_it_is_a_plain_dict_without_recovery(connect: Connect, serve: Serve) -> None:
    serve(Keeper)
    client = await connect()
    assert await client.call("keep", {"a": 1}) == "dict"
    assert (await client.call("kept"))[0] == "dict"
    assert await client.call("keep_an_object") == "dict"


async def test_a_new_dict_is_looked_at_like_what_is_set(connect: Connect, serve: Serve) -> None:
    serve(Keeper, RECOVERY=RECOVERY)
    client = await connect()
    assert await client.call("keep", {"a": [1]}) == "RecoverableData"
    assert "error" in await client.call("keep_an_object")
    client.drop()
    await client.connect()
    assert await client.call("kept") == ["RecoverableData", False, {"a": [1]}]


@pytest.mark.parametrize("how", ["object", "much"])
async def test_what_cannot_be_kept_is_logged_once_and_told(
    connect: Connect, serve: Serve, records: list[logging.LogRecord], how: str
) -> None:
    serve(Keeper, RECOVERY=RECOVERY)
    client = await connect()
    sid = client.sid
    await client.call("nest", how)
    client.drop()
    await client.connect()
    assert not client.recovered
    assert client.sid != sid
    assert await client.call("kept") == ["RecoverableData", True, {}]
    lines = [record.getMessage() for record in records]
    assert len([line for line in lines if line.startswith("data-not-kept")]) == 1
