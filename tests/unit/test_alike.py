"""Equal parts of many requests are kept once."""

from __future__ import annotations

from typing import Any

from realtime.transports.alike import share


def new_scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return a scope whose every value is an object of its own."""
    return {
        "asgi": {"version": "3.0", "test": "alike"},
        "headers": [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in headers],
    }


def test_scopes_stay_equal_and_share_what_they_have_alike() -> None:
    headers = (b"user-agent", b"a browser"), (b"cookie", b"a=1"), (b"x-own", b"1"), (b"x-own", b"2")
    first, second = new_scope(*headers), new_scope(*headers)
    for scope in (first, second):
        share(scope)
        assert scope == new_scope(*headers)
    assert first["asgi"] is second["asgi"]
    assert first["headers"][0] is second["headers"][0]
    assert first["headers"] is not second["headers"]


def test_secrets_are_not_kept_for_others() -> None:
    headers = (b"cookie", b"sessionid=1"), (b"authorization", b"Bearer 1"), (b"x-token", b"1")
    first, second = new_scope(*headers), new_scope(*headers)
    for scope in (first, second):
        share(scope)
    for one, other in zip(first["headers"], second["headers"], strict=True):
        assert one == other
        assert one[1] is not other[1]


def test_long_values_are_not_kept_for_others() -> None:
    headers = [(b"user-agent", b"a" * 5000)]
    first, second = new_scope(*headers), new_scope(*headers)
    for scope in (first, second):
        share(scope)
    assert first["headers"] == second["headers"]
    assert first["headers"][0] is not second["headers"][0]


def test_different_descriptions_stay_different() -> None:
    scopes = [{"asgi": {"version": str(number)}, "headers": []} for number in range(40)]
    for scope in scopes:
        share(scope)
    assert [scope["asgi"]["version"] for scope in scopes] == [str(number) for number in range(40)]
