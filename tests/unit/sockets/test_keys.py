"""What `@event(once=...)` may name, said when a class is created or made a route."""

from __future__ import annotations

import functools
from datetime import datetime
from textwrap import dedent
from typing import Annotated, Any, NewType
from uuid import UUID  # noqa: F401

import msgspec
import pytest

from realtime import NamespaceConsumer, event
from realtime.exceptions import InvalidConsumer

Number = NewType("Number", int)
Short = Annotated[str, msgspec.Meta(max_length=20)]


def define(parameters: str, once: str = '"key"', kind: str = "async def", more: str = "") -> Any:
    """Return a class with such a handler."""
    source = f"""
    class Shop(NamespaceConsumer):
        @event("pay", once={once}{more})
        {kind} pay({parameters}): ...
    """
    module: dict[str, Any] = {**globals(), "__name__": "site.consumers"}
    # As a module without `from __future__ import annotations`, which this one has.
    exec(compile(dedent(source), "<site>", "exec", dont_inherit=True), module)
    return module["Shop"]


@pytest.mark.parametrize(
    "parameters",
    [
        "self, key: str",
        "self, key: int, amount: int = 1",
        "self, amount, key: UUID",
        "self, amount, key: 'str', *rest",
        "self, key: Short, /",
        "self, key: Number",
        "self, key: 'Later'",  # of which nobody knows yet
    ],
)
@pytest.mark.parametrize("kind", ["async def", "def"])
@pytest.mark.parametrize("more", ["", ", concurrent=True, room='vip'"])
def test_what_can_be_a_key(parameters: str, kind: str, more: str) -> None:
    assert define(parameters, kind=kind, more=more)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("self, name: str", "it has no such parameter"),
        ("self", "it has no such parameter"),
        ("self, *key: str", "that is not one argument"),
        ("self, *, key: str = ''", "that is not one argument"),
        ("self, **key: str", "that is not one argument"),
        ("self, key: str = ''", "may leave that out"),
        ("self, key", "that has no type"),
        ("self, key: Any", "that is typing.Any"),
        ("self, key: str | None", "that is str | None"),
        ("self, key: str | int", "that is str | int"),
        ("self, key: bool", "that is <class 'bool'>"),
        ("self, key: float", "float"),
        ("self, key: bytes", "bytes"),
        ("self, key: datetime", "datetime"),
        ("self, key: list[str]", "list"),
        ("self, key: dict", "dict"),
    ],
)
def test_what_cannot_be_one(parameters: str, said: str) -> None:
    with pytest.raises(InvalidConsumer) as raised:
        define(parameters)
    assert "site.consumers.Shop.pay (line 3): once is 'key', and " in raised.value.message
    assert said in raised.value.message
    assert raised.value.hint == (
        "A key is a str, an int or a UUID, like async def pay(self, key: str, ...)."
    )


def test_a_type_that_comes_later_is_looked_at_then() -> None:
    shop = define("self, key: 'Later'")
    shop.pay.__globals__["Later"] = list[str]
    with pytest.raises(InvalidConsumer, match=r"that is list\[str\]"):
        shop.as_asgi()
    shop.pay.__globals__["Later"] = str
    assert shop.as_asgi()


@pytest.mark.parametrize("once", ["5", "True", "['key']", "b'key'"])
def test_what_is_no_name(once: str) -> None:
    with pytest.raises(InvalidConsumer, match=r"once is .*Name the argument"):
        define("self, key: str", once)


def test_an_override_keeps_the_key() -> None:
    shop = define("self, key: str")
    with pytest.raises(InvalidConsumer, match=r"once is 'key', and it has no such parameter"):

        class Derived(shop):  # type: ignore[misc]
            async def pay(self, name: str) -> None: ...


def test_a_wrapper_is_looked_through() -> None:
    def wrapping(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return wrapper

    class Shop(NamespaceConsumer):
        @event(once="key")
        @wrapping
        async def pay(self, key: str, when: datetime) -> None: ...

    assert Shop.as_asgi()

    with pytest.raises(InvalidConsumer, match="no such parameter"):

        class Hidden(NamespaceConsumer):
            @event(once="key")
            async def pay(*args: Any) -> None: ...
