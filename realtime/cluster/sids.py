"""Ids: of sockets and connections, which nobody guesses, and of events. All name their server."""

from __future__ import annotations

import re
import secrets

SERVER_ID_LENGTH = 6
SID_LENGTH = SERVER_ID_LENGTH + 20

_SHAPE = re.compile(rf"[\w-]{{{SID_LENGTH}}}", re.ASCII)


def new_server_id() -> str:
    """Return an id for a server, different from those of all others."""
    return secrets.token_urlsafe(6)[:SERVER_ID_LENGTH]


def new_sid(server: str) -> str:
    """Return an unguessable id that names a server in its first six characters."""
    return server + secrets.token_urlsafe(15)


def server_of(name: str) -> str | None:
    """Return the server that a sid names; None for a name that cannot be a sid."""
    return name[:SERVER_ID_LENGTH] if _SHAPE.fullmatch(name) else None


def sender_of(id: str) -> str:
    """Return the server, or the process that serves no clients, that has given an event its id."""
    name, dot, _ = id.partition(".")
    return name if dot else id[:SERVER_ID_LENGTH]  # an offset
