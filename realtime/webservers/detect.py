"""The fastest way to read from the server that a WebSocket is on, and to write to it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from channels import sessions

from ..exceptions import HandshakeError
from ..logs import describe
from ..sockets.interfaces import Hub
from .adapters import Adapter, Receive, Spawn
from .daphne import DaphneAdapter, find_scheme, refuse_for_now, with_empty_frames
from .readers import Reader
from .uvicorn import UvicornAdapter, WsprotoAdapter
from .writers import AsgiWriter

ADAPTERS: tuple[type[Adapter], ...] = (UvicornAdapter, WsprotoAdapter, DaphneAdapter)


def open_reader(hub: Hub, receive: Receive, send: Any) -> Reader:
    """
    Return what reads from a WebSocket that was just accepted; its `writer` writes to it.

    That is the server's own transport, where the server is known and ``DIRECT_IO`` allows it.
    """
    send = servers_own(send)
    if hub.settings.DIRECT_IO:
        for kind in ADAPTERS:
            if (reader := _attach(kind, hub, receive, send)) is not None:
                return reader
    return Reader(hub, receive, AsgiWriter(with_empty_frames(send), hub.spawn))


def _attach(kind: type[Adapter], hub: Hub, receive: Receive, send: Any) -> Reader | None:
    """Return what reads from a server's transport, or None for one that does not fit."""
    try:
        adapter = find_adapter(kind, send, hub.spawn)
        if adapter is None:
            return None
        reader: Reader = kind.reader(hub, receive, adapter)
        return reader
    except Exception as error:  # of whatever the server has become
        kind.note_misfit(describe(error), error)
        return None


def find_adapter(kind: type[Adapter], send: Any, spawn: Spawn) -> Adapter | None:
    """Return an adapter of that kind for the server behind `send`, if it fits as a whole."""
    protocol = kind.find_protocol(send)
    if protocol is None:
        return None
    adapter = kind(protocol, spawn)
    if misfit := adapter.find_misfit():
        kind.note_misfit(misfit)
        return None
    return adapter


def prepare_refusal(send: Any, error: HandshakeError) -> None:
    """Let a server that knows one refusal alone say when to come again: proxies look at that."""
    if error.retry_after is not None:
        reason = HTTPStatus(error.status).phrase
        refuse_for_now(servers_own(send), error.status, reason, error.retry_after)


# What Channels' session middleware puts around `send`; nothing, should it do that otherwise.
_WRAPPERS: Any = getattr(sessions, "InstanceSessionWrapper", ())


def servers_own(send: Any) -> Any:
    """Return the server's `send`: Channels' wrapper adds cookies to HTTP responses alone."""
    while isinstance(wrapper := getattr(send, "__self__", None), _WRAPPERS):
        inner = getattr(wrapper, "real_send", None)
        if inner is None:
            break
        send = inner
    return send


def complete_scheme(scope: dict[str, Any], send: Any) -> None:
    """Add a WebSocket's scheme to its scope where the server has left it out, as daphne does."""
    if "scheme" not in scope:
        scope["scheme"] = find_scheme(servers_own(send))
