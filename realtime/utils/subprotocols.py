"""
WebSocket subprotocols (RFC 6455, section 1.9), in which a browser's page may show a token: it can
set no headers. It offers ``realtime`` and ``realtime.<scheme>.<token>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NAME = "realtime"
_START = f"{NAME}."


def select_subprotocol(scope: Mapping[str, Any]) -> str | None:
    """
    Return which of the subprotocols that a client offers is spoken, or None.

    A browser closes a WebSocket whose answer names none of those that it has offered. A token is
    named only where there is nothing else of ours.
    """
    offered = scope.get("subprotocols") or ()
    if NAME in offered:
        return NAME
    return next((each for each in offered if each.startswith(_START)), None)


def find_credentials(scope: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the schemes and tokens in the subprotocols that a client offers."""
    for offered in scope.get("subprotocols") or ():
        if offered.startswith(_START):
            scheme, dot, token = offered.removeprefix(_START).partition(".")
            if dot and scheme:
                yield scheme, token
