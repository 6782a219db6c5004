"""
One try of a client to have an event handled once: whose it is, what it asks for, and what is known
of those before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import Enum
from hashlib import sha256
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from ..exceptions import InvalidArguments
from ..identity.logins import user_key
from .encoding import default
from .interfaces import Socket

# How long the text of a key may be.
MAX_KEY = 200


class Attempt(NamedTuple):
    """
    A try of one process, the `server`, which its `token` tells from all others.

    `key` is a digest of whose it is (`owner`), the namespace, the event and the client's own key;
    `arguments` one of all that the handler gets.
    """

    key: str
    owner: str
    namespace: str
    event: str
    arguments: str
    server: str
    token: str


class State(Enum):
    """What a store knows of the tries with a key."""

    CLAIMED = "this one is the first, and is to run"
    HANDLED = "one has run, and its answer is there"
    RUNNING = "one is running in a process that lives"
    SILENT = "one was running in a process of which nothing is heard"
    OTHER = "one had other arguments"
    FULL = "there are as many keys as may be"


class Found(NamedTuple):
    """What a store has found, with the answer of an event that was handled."""

    state: State
    answer: bytes = b""


class Store(Protocol):
    """Where tries and answers are kept, for all processes. All of it blocks."""

    def claim(self, attempt: Attempt) -> Found:
        """Note that a try is the first with its key, or return what is known of another one."""

    def finish(self, attempt: Attempt, answer: bytes) -> None:
        """Keep the answer of a try that has run."""

    def release(self, attempt: Attempt) -> None:
        """Forget a try that came to nothing: the next one is the first."""

    def renew(self, attempts: Sequence[Attempt]) -> None:
        """Note that tries are still running."""

    def sweep(self) -> bool:
        """Remove what nobody asks for any more, a part of it; tell whether that was all."""


def new_attempt(
    socket: Socket, server: str, event: str, key: str, arguments: Sequence[Any]
) -> Attempt:
    """Return a try of a socket's client."""
    owner = find_owner(socket)
    return Attempt(
        key=_digest(owner, socket.namespace, event, key),
        owner=_digest(owner),
        namespace=socket.namespace,
        event=event,
        arguments=_digest_arguments(arguments),
        server=server,
        token=secrets.token_urlsafe(16),
    )


def key_text(name: str, value: str | int | UUID) -> str:
    """Return the text of the key that an argument is. Raises InvalidArguments."""
    text = str(value)
    if not text:
        raise InvalidArguments(f"argument {name!r}: a key cannot be empty")
    if len(text) > MAX_KEY:
        raise InvalidArguments(
            f"argument {name!r}: a key has {MAX_KEY} characters at most, and not {len(text)}"
        )
    return text


def find_owner(socket: Socket) -> str:
    """
    Return whose keys a socket's client has: those of its user, else of its session, else its own.

    What the client says itself is no part of it, so nobody meets another one's keys.
    """
    user = socket.consumer.user
    try:
        key = user_key(user) if user.is_authenticated else None
    except Exception:  # of a site's own class: it is nobody whom we know
        key = None
    if key is not None:
        meta = getattr(user, "_meta", None)
        return f"user {meta.label if meta is not None else type(user).__qualname__} {key}"
    session = socket.connection.scope.get("session")
    # A session in a cookie has another key whenever something is stored in it.
    if not isinstance(session, CookieStore):
        session_key = getattr(session, "session_key", None)
        if isinstance(session_key, str) and session_key:
            return f"session {session_key}"
    return f"socket {socket.sid}"


def _digest(*parts: str) -> str:
    """Return a digest of texts, whatever is in them."""
    return sha256(msgspec.msgpack.encode([_encode(part) for part in parts])).hexdigest()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest_arguments(arguments: Sequence[Any]) -> str:
    try:
        text = msgspec.json.encode(arguments, enc_hook=default, order="deterministic")
    except Exception:  # of a site's own types: they are not compared
        text = b""
    return sha256(text).hexdigest()
