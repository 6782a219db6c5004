"""Where tokens are found in what a client shows."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.authenticators import AuthenticationFailed, Credentials
from realtime.identity.credentials import MAX_TOKEN
from realtime.utils.subprotocols import select_subprotocol


def shown(auth: Any = (), subprotocols: Any = (), **headers: str) -> Credentials:
    raw = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return Credentials(dict(auth), "/", {"headers": raw, "subprotocols": list(subprotocols)})


@pytest.mark.parametrize(
    "credentials",
    [
        shown({"token": "abc"}),
        shown({"token": "Bearer abc"}),
        shown({"token": " bearer  abc "}),
        shown(authorization="Bearer abc"),
        shown(authorization="bearer abc"),
        shown({"token": 7}, authorization="Bearer abc"),
        shown({"token": ""}, authorization="Bearer abc"),
        shown({"token": "Token xyz"}, authorization="Bearer abc"),
        shown(subprotocols=["realtime", "realtime.bearer.abc"]),
        shown(subprotocols=["realtime.Bearer.abc", "other"], authorization="Basic dTpw"),
        shown({"token": "abc"}, ["realtime.bearer.def"], authorization="Bearer ghi"),
    ],
)
def test_the_first_that_there_is(credentials: Credentials) -> None:
    assert credentials.token("Bearer") == "abc"
    assert credentials.token("JWT", "Bearer") == "abc"


@pytest.mark.parametrize(
    "credentials",
    [
        shown(),
        shown({"token": None}),
        shown({"token": ["abc"]}),
        shown({"token": "Token abc"}),
        shown(authorization="Token abc"),
        shown(authorization="Bearer"),
        shown(authorization="abc"),
        shown(authorization=""),
        shown(subprotocols=["bearer.abc", "realtime", "realtime.", "realtime.abc"]),
        shown(subprotocols=["realtime.bearer."]),
        Credentials({}, "/", {"headers": []}),
    ],
)
def test_nothing(credentials: Credentials) -> None:
    assert credentials.token("Bearer") is None


def test_a_token_with_dots() -> None:
    assert shown(subprotocols=["realtime.bearer.a.b.c"]).token("Bearer") == "a.b.c"


@pytest.mark.parametrize(
    "token", ["a\tb", "a\0b", "à", "a\nb", "x" * (MAX_TOKEN + 1), "Bearer a b"]
)
def test_what_no_token_can_be(token: str) -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        shown({"token": token}).token("Bearer")
    assert refused.value.code == 401
    with pytest.raises(AuthenticationFailed):
        shown({"key": token}).secret("key", "X-Key")


def test_a_secret_of_its_own() -> None:
    assert shown({"key": "abc"}, x_key="def").secret("key", "X-Key") == "abc"
    assert shown({"key": ""}, x_key="def").secret("key", "X-Key") == "def"
    assert shown({"key": 7}).secret("key", "X-Key") is None
    assert shown().secret("key", "X-Key") is None


def test_the_request() -> None:
    credentials = shown(cookie="a=1; b=2", x_device="hall")
    assert credentials.cookies == {"a": "1", "b": "2"}
    assert credentials.headers["X-Device"] == "hall"
    assert credentials.user is None
    assert Credentials({}, "/", {"headers": [], "user": "ann"}).user == "ann"


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [
        ([], None),
        (["graphql-ws"], None),
        (["realtimes", "x.realtime."], None),
        (["realtime"], "realtime"),
        (["other", "realtime.bearer.abc", "realtime"], "realtime"),
        (["other", "realtime.bearer.abc"], "realtime.bearer.abc"),
    ],
)
def test_the_subprotocol_that_is_spoken(offered: list[str], spoken: str | None) -> None:
    assert select_subprotocol({"subprotocols": offered}) == spoken
    assert select_subprotocol({}) is None
