"""Annotations of handlers that cannot be resolved, and types that no client can send."""

from __future__ import annotations

import datetime
import enum
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Generic, Literal, NewType, Protocol, TypeVar
from uuid import UUID

import msgspec
import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest

from realtime import NamespaceConsumer, event
from realtime.exceptions import InvalidConsumer

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found]

T = TypeVar("T")


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class OfUser:
    name: str
    user: User


class Node(msgspec.Struct):
    name: str
    inner: list[Node]
    user: User | None = None  # which a client leaves out


class Box(msgspec.Struct, Generic[T]):
    content: T


class Broken(msgspec.Struct):
    what: Nothing


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Named(Protocol):
    name: str


Number = NewType("Number", int)


def handling(
    annotation: Any, *, rest: bool = False, returns: Any = None
) -> type[NamespaceConsumer]:
    """Return a class whose handler takes an argument of a type."""

    class Chat(NamespaceConsumer):
        if rest:

            @event
            async def hi(self, *value: Any) -> Any: ...
        else:

            @event
            async def hi(self, value: Any) -> Any: ...

        hi.__annotations__.update({"value": annotation, "return": returns})

    return Chat


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (User, "auth.models.User is a model"),
        (User | None, "is a model"),
        (list[User], "is a model"),
        (dict[str, list[User]], "is a model"),
        (OfUser, "is a model"),
        (Box[User], "is a model"),
        (HttpRequest, "HttpRequest"),
        (Path, "Path"),
        (complex, "complex"),
        (Callable, "Callable"),
        (type, "type"),
        (Named, "Named.* protocols"),
        (str | datetime.datetime, "more than one str-like type"),
        (User | int, "custom type"),
        (Point | Node, "more than one dict-like type"),
        (Mixed, "Enums must contain"),
        (Broken, "Nothing"),
        (dict[int, str], "no texts"),
        (list[dict[float, str]], "no texts"),
        (5, "not supported"),
        ([int], "not supported"),
        (list["Nothing"], "not supported"),
    ],
)
def test_types_that_no_client_can_send(annotation: Any, said: str, rest: bool) -> None:
    with pytest.raises(InvalidConsumer, match=said) as caught:
        handling(annotation, rest=rest).as_asgi()
    assert "Chat.hi (line " in caught.value.message
    assert "'value'" in caught.value.message


def test_a_model_is_looked_up_by_its_key() -> None:
    with pytest.raises(InvalidConsumer, match="pk: int"):
        handling(User).as_asgi()


@pytest.mark.parametrize(
    "annotation",
    [
        *(int, str, bytes, bool, float, None, Any, object, list, dict, Point, Node, Box[int]),
        *(Decimal, UUID, datetime.date, datetime.timedelta, Number, T, Sequence, Literal["a", 1]),
        *(int | datetime.datetime, dict | list, int | str | None, Mapping[str, int], set[int]),
        *(dict[str, Any], dict[UUID, int], dict[Literal["a"], int], tuple[int, str], Box[Node]),
        "int",
        "list[Point]",
    ],
)
def test_types_that_clients_send(annotation: Any) -> None:
    handling(annotation).as_asgi()
    handling(annotation, rest=True).as_asgi()
    handling(int, returns=User).as_asgi()  # what is returned is encoded


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ("Nothing", "name 'Nothing' is not defined"),
        ("list[Nothing]", "name 'Nothing' is not defined"),
        ("dateime.date", "name 'dateime' is not defined"),
        ("datetime.dat", "no attribute 'dat'"),
        ("the room's name", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("int | 'str'", "TypeError"),
    ],
)
def test_annotations_that_cannot_be_resolved(annotation: str, said: str) -> None:
    for consumer_class in (
        handling(annotation),
        handling(annotation, rest=True),
        handling(int, returns=annotation),
    ):
        with pytest.raises(InvalidConsumer, match=said) as caught:
            consumer_class.as_asgi()
        assert "Chat.hi (line " in caught.value.message
        assert "TYPE_CHECKING" in caught.value.hint


def test_the_annotation_is_named() -> None:
    with pytest.raises(InvalidConsumer, match="its parameter 'value', 'Nothing'"):
        handling("Nothing").as_asgi()
    with pytest.raises(InvalidConsumer, match="what it returns, 'Nothing'"):
        handling(int, returns="Nothing").as_asgi()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """A function that imports a module with this source."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(source: str) -> Any:
        (tmp_path / "one_module_site.py").write_text(dedent(source))
        importlib.invalidate_caches()
        return importlib.import_module("one_module_site")

    yield load
    sys.modules.pop("one_module_site", None)


ONE_MODULE = """
    from __future__ import annotations
    import msgspec
    from django.urls import path
    from realtime import NamespaceConsumer, event

    class Chat(NamespaceConsumer):
        @event
        async def hi(self, text: Text) -> Answer: ...

    namespaces = [path("", Chat.as_asgi())]

    class Text(msgspec.Struct):
        text: str
"""


def test_names_that_come_later_in_the_module(module: Callable[[str], Any]) -> None:
    chat = module(ONE_MODULE + "\n    class Answer(Text): ...\n").Chat
    chat.as_asgi()


def test_names_that_never_come(module: Callable[[str], Any]) -> None:
    chat = module(ONE_MODULE).Chat
    with pytest.raises(InvalidConsumer, match="'Answer'"):
        chat.as_asgi()
