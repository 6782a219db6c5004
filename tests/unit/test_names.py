"""What namespaces and rooms may be called."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import re_path

import realtime
from realtime import UnknownNamespace
from realtime.names import MAX_LENGTH, check_rooms

from .conftest import Connect
from .consumers import RoomsConsumer
from .test_observers import Serve

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


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
async def test_bad_rooms_are_refused_where_they_are_given(name: str, connect: Connect) -> None:
    client = await connect()
    for method in ("to", "excluding", "join", "leave"):
        with pytest.raises(ValueError, match=BAD[name]):
            getattr(realtime.of(), method)(name)
    if name.isprintable() or "\0" in name:  # no client can send half a surrogate pair
        assert (await client.call("join", name))["error"]["code"] == "server_error"
    assert await client.call("echo", "still here") == "still here"


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
async def test_bad_namespaces_are_unknown(name: str, serve: Serve, new_wire: Any) -> None:
    serve(routes=[re_path("^(?s:.*)/$", RoomsConsumer.as_asgi())])
    with pytest.raises(UnknownNamespace):
        realtime.of("/" + name)
    if name.isprintable():
        answer = await new_wire().connect("/" + name)
        assert "Invalid namespace" in answer
    assert (await new_wire().connect("/fine")).startswith("40/fine,")
