"""`self.headers` and `self.query`, whatever a client has sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from pytest_django import Settings

from realtime import NamespaceConsumer, event
from realtime.identity.handshake import find_headers, find_query

from ..conftest import Connect, Serve


def headers(*pairs: tuple[bytes, bytes]) -> Any:
    return find_headers({"headers": list(pairs)})


def test_headers_are_found_in_any_case() -> None:
    found = headers((b"user-agent", b"Node"), (b"X-Forwarded-For", b"10.0.0.1"))
    assert found["User-Agent"] == found["user-agent"] == found["USER-AGENT"] == "Node"
    assert found.get("x-forwarded-for") == "10.0.0.1"
    assert "accept" not in found
    assert found.get("accept") is None
    assert dict(found) == {"User-Agent": "Node", "X-Forwarded-For": "10.0.0.1"}


def test_several_of_one_name_are_joined_as_django_joins_them() -> None:
    found = headers((b"accept", b"a"), (b"Accept", b"b"), (b"cookie", b"a=1"), (b"cookie", b"b=2"))
    assert found["accept"] == "a,b"
    assert found["cookie"] == "a=1; b=2"


def test_names_with_underscores_hide_no_others() -> None:
    found = headers((b"x_real_ip", b"evil"), (b"x-real-ip", b"10.0.0.1"))
    assert dict(found) == {"X-Real-Ip": "10.0.0.1"}


@pytest.mark.parametrize("value", [b"\xff\xfe", b"", b"\x00\r\n", "№".encode(), bytes(range(256))])
def test_any_bytes_are_taken(value: bytes) -> None:
    found = headers((b"x-name", value), (value, b"x"), (value.upper(), b"y"))
    assert found["X-Name"] == value.decode("latin-1")
    assert list(found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"a=1&a=2&b=", {"a": ["1", "2"], "b": [""]}),
        (b"name=%D0%90%D0%B4%D0%B0", {"name": ["Ада"]}),
        (b"name=\xff%FF&%=%", {"name": ["\xff\ufffd"], "%": ["%"]}),
        (b"a=\x00&;=&&=&b", {"a": ["\x00"], ";": [""], "": [""], "b": [""]}),
        ("name=№".encode(), {"name": ["№"]}),
    ],
)
def test_any_query_is_taken(query: bytes, expected: dict[str, list[str]]) -> None:
    found = find_query({"query_string": query})
    assert dict(found.lists()) == expected
    with pytest.raises(AttributeError, match="immutable"):
        found["a"] = "1"


@pytest.mark.parametrize("count", [3, 4, 5, 100_000])
def test_no_query_has_too_many_fields(settings: Settings, count: int) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 4
    found = find_query({"query_string": b"&".join(b"n=%d" % n for n in range(count))})
    assert found.getlist("n") == [str(n) for n in range(min(count, 4))]
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = None
    assert len(find_query({"query_string": b"n=1&" * count}).getlist("n")) == count


class Main(NamespaceConsumer):
    """Says what its client's request has said."""

    async def connect(self, auth: Any) -> None:
        assert isinstance(self.query, QueryDict)
        self.data["agent"] = self.headers["user-agent"]

    @event
    async def tell(self) -> list[Any]:
        return [self.data["agent"], self.headers["cookie"], self.query.get("lang")]


async def test_a_consumer_has_them(connect: Connect, serve: Serve) -> None:
    serve(Main)
    client = await connect(
        headers={"User-Agent": "test"}, cookies={"a": "1"}, scope={"query_string": b"lang=de"}
    )
    assert await client.call("tell") == ["test", "a=1", "de"]
