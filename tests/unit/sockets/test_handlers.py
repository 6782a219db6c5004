"""The event decorator, and arguments checked against annotations."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest

from realtime import NamespaceConsumer, event
from realtime.exceptions import InvalidArguments, InvalidEventName
from realtime.sockets.handlers import Handler, Mark, find_handlers

from ..conftest import Connect, Serve


@dataclass
class Point:
    x: int
    y: int = 0


class Name(msgspec.Struct, forbid_unknown_fields=True):
    first: str
    last: str | None = None


class Colour(enum.Enum):
    RED = "red"


# Which handler gets an event


class Names(NamespaceConsumer):
    @event
    async def plain(self) -> str:
        return "plain"

    @event()
    async def called(self) -> str:
        return "called"

    @event("private message")
    async def named(self) -> str:
        return "named"

    @event("")
    def empty(self) -> str:
        return "empty"

    async def undecorated(self) -> str:
        return "undecorated"

    async def receive(self, event: str, *args: Any) -> str:
        return f"receive {event}"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("plain", "plain"),
        ("called", "called"),
        ("private message", "named"),
        ("", "empty"),
        ("named", "receive named"),
        ("undecorated", "receive undecorated"),
        ("__init__", "receive __init__"),
        ("close", "receive close"),
    ],
)
async def test_an_event_reaches_the_handler_of_its_name(
    serve: Serve, connect: Connect, name: str, answer: str
) -> None:
    serve(Names)
    assert await (await connect()).call(name) == answer


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "newListener"])
def test_reserved_names_are_refused_where_they_are_written(name: str) -> None:
    with pytest.raises(InvalidEventName, match=name):
        event(name)(lambda self: None)


def test_a_method_with_a_reserved_name_is_refused() -> None:
    with pytest.raises(InvalidEventName):

        class Wrong(NamespaceConsumer):
            @event
            async def disconnect(self, reason: str) -> None: ...


class Rooms(NamespaceConsumer):
    @event("message")
    async def anywhere(self) -> str:
        return "anywhere"

    @event("message", room="Room №1")
    async def in_first(self) -> str:
        return "first"

    @event("message", room="Room №2")
    async def in_second(self) -> str:
        return "second"

    @event(room="Room №1")
    async def members(self) -> str:
        return "member"

    @event
    async def move(self, join: list[str], leave: list[str]) -> None:
        self.join(*join)
        self.leave(*leave)

    async def receive(self, event: str, *args: Any) -> None:
        """Acknowledge what no handler claims."""


async def test_handlers_for_members_of_a_room(serve: Serve, connect: Connect) -> None:
    serve(Rooms)
    client = await connect()
    assert await client.call("message") == "anywhere"
    assert await client.call("members") is None
    await client.call("move", ["Room №1", "Room №2"], [])
    assert await client.call("message") == "first", "those with a room are asked first, in order"
    assert await client.call("members") == "member"
    await client.call("move", [], ["Room №1"])
    assert await client.call("message") == "second"
    assert await client.call("members") is None


class Parent(NamespaceConsumer):
    @event("first")
    async def one(self, n: int) -> str:
        return f"parent {n}"

    @event
    async def two(self) -> str:
        return "parent"

    @event
    async def three(self) -> str:
        return "parent"

    @event
    async def four(self) -> str:
        return "parent"


class Child(Parent):
    async def receive(self, event: str, *args: Any) -> None:
        """Acknowledge what no handler claims."""

    async def one(self, n: str) -> str:
        return f"child, {await super().one(5)}"

    @event("renamed")
    async def two(self) -> str:
        return "child"

    three = None  # type: ignore[assignment]

    @event("four")
    async def another_four(self) -> str:
        return "child"


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("first", ("text",), "child, parent 5"),
        ("two", (), None),
        ("renamed", (), "child"),
        ("three", (), None),
        ("four", (), "child"),
    ],
)
async def test_subclasses(
    serve: Serve, connect: Connect, name: str, args: tuple[Any, ...], answer: str | None
) -> None:
    serve(Child)
    assert await (await connect()).call(name, *args) == answer


def test_mixins_bring_handlers() -> None:
    class Mixin:
        @event
        async def ping(self) -> str:
            return "pong"

    class Main(Mixin, NamespaceConsumer):
        pass

    assert list(find_handlers(Main)) == ["ping"]
    assert find_handlers(NamespaceConsumer) == {}


# Arguments


def bind(function: Any, *args: Any) -> list[Any]:
    return Handler(function, Mark(None, None)).bind(list(args))


def untyped(self: Any, a, b=2):  # type: ignore[no-untyped-def]
    ...


def some(self: Any, a: Any, *rest: Any) -> None: ...
def integer(self: Any, n: int) -> None: ...
def text(self: Any, name: str) -> None: ...
def numbers(self: Any, values: list[int]) -> None: ...
def mapping(self: Any, values: dict[str, float]) -> None: ...
def point(self: Any, point: Point) -> None: ...
def struct(self: Any, name: Name) -> None: ...
def data(self: Any, data: bytes) -> None: ...
def maybe(self: Any, n: Optional[int]) -> None: ...  # noqa: UP045
def union(self: Any, value: int | str | None = None) -> None: ...
def default(self: Any, name: str, n: int = 1) -> None: ...
def several(self: Any, name: str, *values: int) -> None: ...
def colour(self: Any, colour: Colour) -> None: ...
def literal(self: Any, order: Literal["up", "down"]) -> None: ...
def date(self: Any, day: datetime.date) -> None: ...
def limited(self: Any, n: Annotated[int, msgspec.Meta(ge=1, le=5)]) -> None: ...
def flag(self: Any, flag: bool) -> None: ...
def files(self: Any, files: list[bytes]) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "bound"),
    [
        (untyped, (1,), [1]),
        (untyped, (1, "x"), [1, "x"]),
        (untyped, (1, 2, 3, 4), [1, 2]),
        (some, (1, 2, 3), [1, 2, 3]),
        (integer, (5,), [5]),
        (integer, (5, "ignored"), [5]),
        (text, ("ann",), ["ann"]),
        (numbers, ([1, 2],), [[1, 2]]),
        (mapping, ({"a": 1.5},), [{"a": 1.5}]),
        (point, ({"x": 1, "y": 2},), [Point(1, 2)]),
        (point, ({"x": 1},), [Point(1, 0)]),
        (struct, ({"first": "Ann"},), [Name("Ann")]),
        (data, (b"\x00\xff",), [b"\x00\xff"]),
        (files, ([b"", b"1"],), [[b"", b"1"]]),
        (maybe, (None,), [None]),
        (maybe, (3,), [3]),
        (union, (), []),
        (union, ("x",), ["x"]),
        (default, ("ann",), ["ann"]),
        (default, ("ann", 2), ["ann", 2]),
        (several, ("ann",), ["ann"]),
        (several, ("ann", 1, 2), ["ann", 1, 2]),
        (colour, ("red",), [Colour.RED]),
        (literal, ("up",), ["up"]),
        (date, ("2026-11-24",), [datetime.date(2026, 11, 24)]),
        (limited, (5,), [5]),
        (flag, (True,), [True]),
    ],
)
def test_arguments_that_fit(function: Any, args: tuple[Any, ...], bound: list[Any]) -> None:
    assert bind(function, *args) == bound


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (untyped, (), "missing argument 'a'"),
        (default, (), "missing argument 'name'"),
        (some, (), "missing argument 'a'"),
        (integer, ("5",), "argument 'n': Expected `int`, got `str`"),
        (integer, (True,), "argument 'n': Expected `int`, got `bool`"),
        (integer, (1.5,), "argument 'n': Expected `int`, got `float`"),
        (integer, (None,), "argument 'n': Expected `int`, got `null`"),
        (text, (5,), "argument 'name': Expected `str`, got `int`"),
        (text, (b"x",), "argument 'name': Expected `str`, got `bytes`"),
        (numbers, ([1, "2"],), "argument 'values': Expected `int`, got `str` - at `$[1]`"),
        (mapping, ([],), "argument 'values': Expected `object`, got `array`"),
        (point, ({},), "argument 'point': Object missing required field `x`"),
        (struct, ({"first": "a", "x": 1},), "Object contains unknown field `x`"),
        (data, (5,), "argument 'data': Expected `bytes`, got `int`"),
        (several, ("ann", 1, "2"), "argument number 3: Expected `int`, got `str`"),
        (colour, ("blue",), "argument 'colour': Invalid enum value 'blue'"),
        (limited, (6,), "argument 'n': Expected `int` <= 5"),
        (flag, (1,), "argument 'flag': Expected `bool`, got `int`"),
    ],
)
def test_arguments_that_do_not_fit(function: Any, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        bind(function, *args)
    assert message in str(caught.value)


def test_all_missing_arguments_are_named() -> None:
    def function(self: Any, a: int, b: int, c: int = 3) -> None: ...

    with pytest.raises(InvalidArguments, match="missing argument 'a', 'b'"):
        bind(function)


class Typed(NamespaceConsumer):
    @event
    async def add(self, point: Point, *numbers: int) -> int:
        return point.x + sum(numbers)

    @event("add in a thread")
    def add_in_a_thread(self, point: Point, *numbers: int) -> int:
        return point.x + sum(numbers)


@pytest.mark.parametrize("name", ["add", "add in a thread"])
async def test_wrong_arguments_are_answered(serve: Serve, connect: Connect, name: str) -> None:
    serve(Typed)
    client = await connect()
    assert await client.call(name, {"x": 1}, 2, 3) == 6
    answer = await client.call(name, {"x": "1"})
    assert answer["error"]["code"] == "invalid_arguments"
    assert answer["error"]["message"] == "argument 'point': Expected `int`, got `str` - at `$.x`"
    assert await client.call(name, {"x": 1}) == 1, "the connection stays"
