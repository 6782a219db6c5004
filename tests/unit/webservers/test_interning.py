"""Equal headers of many requests are kept once, and nothing is that could be written into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from realtime.asgi import Realtime
from realtime.hub.hub import Hub
from realtime.transports.connection import Connection
from realtime.webservers.interning import share

from ..peers import PEERS, Peer


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
    assert first["asgi"] is not second["asgi"]
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


def test_headers_that_can_be_written_into_are_not_shared() -> None:
    scopes = [{"headers": [[bytearray(b"host"), bytearray(b"a")]]} for _ in range(2)]
    for scope in scopes:
        share(scope)
    first, second = (scope["headers"][0] for scope in scopes)
    first[1].extend(b"b")
    assert tuple(second) == (b"host", b"a")


# The scopes of servers

IMMUTABLE = (str, bytes, int, float, bool, type(None), frozenset)


def mutable_parts(value: Any, path: str = "scope") -> Iterator[tuple[str, Any]]:
    """Yield what can be changed in a scope, and where it is."""
    if isinstance(value, IMMUTABLE):
        return
    if not isinstance(value, tuple):
        yield path, value
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from mutable_parts(each, f"{path}[{name!r}]")
    elif isinstance(value, (list, tuple, set)):
        for number, each in enumerate(value):
            yield from mutable_parts(each, f"{path}[{number}]")


async def connect_two(kind: str, way: str, hub: Hub) -> tuple[list[Peer], list[Connection]]:
    """Connect two clients of a server, who send the same."""

    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    application = Realtime(nothing)
    peers = [PEERS[kind](application) for _ in range(2)]
    for peer in peers:
        await (peer.connect() if way == "Socket.IO" else peer.connect_plain())
    return peers, list(hub.connections.values())


@pytest.mark.parametrize("way", ["Socket.IO", "plain"])
@pytest.mark.parametrize("kind", PEERS)
async def test_no_client_writes_into_the_scope_of_another(kind: str, way: str, hub: Hub) -> None:
    peers, (first, second) = await connect_two(kind, way, hub)
    parts = {id(part): path for path, part in mutable_parts(first.scope)}
    shared = [path for path, part in mutable_parts(second.scope) if id(part) in parts]
    assert not shared
    assert {"scope", "scope['asgi']", "scope['headers']"} <= set(parts.values())
    for part in ("asgi", "extensions", "state"):
        if part in first.scope:
            first.scope[part]["written"] = True
            assert "written" not in second.scope[part]
    for peer in peers:
        peer.transport.fail(ConnectionResetError())
    await peers[0].until(lambda: not hub.connections)
