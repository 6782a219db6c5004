"""
Interning: what the requests of many clients have alike is kept once, and that is headers, which
nobody can write into.

Nothing else of a scope is shared. What one client's code writes into `scope["extensions"]` must be
in no other's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

Header = tuple[bytes, bytes]

# Headers whose values many clients have in common, and which are no secrets.
_COMMON = frozenset(
    (
        *(b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection"),
        *(b"host", b"origin", b"pragma", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site"),
        *(b"sec-websocket-extensions", b"sec-websocket-version", b"upgrade", b"user-agent"),
        *(b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"),
    )
)
# Those whose values are a client's own.
_NAMES = {
    name: name
    for name in (
        b"authorization",
        b"cookie",
        b"sec-websocket-key",
        b"x-forwarded-for",
        b"x-real-ip",
    )
}
_MAX_VALUE = 256


def share(scope: dict[str, Any]) -> None:
    """Let a scope, which lasts as long as its connection, have its headers from others, too."""
    scope["headers"] = [_share_header(name, value) for name, value in scope["headers"]]


def _share_header(name: bytes, value: bytes) -> Header:
    if type(name) is not bytes or type(value) is not bytes:  # what could be written into
        return name, value
    if name in _COMMON and len(value) <= _MAX_VALUE:
        return _keep(name, value)
    return _NAMES.get(name, name), value


@lru_cache(maxsize=1024)
def _keep(name: bytes, value: bytes) -> Header:
    """Return the header that came first of those that are equal."""
    return name, value
