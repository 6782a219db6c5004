"""The fastest way to read from the server that a WebSocket is on, and to write to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from channels.sessions import InstanceSessionWrapper

from .on_daphne import DaphneReader, DaphneWriter, find_scheme
from .on_uvicorn import UvicornReader, UvicornWriter
from .readers import Reader
from .writers import AsgiWriter, Spawn, Writer

if TYPE_CHECKING:
    from ..hub import Hub


def choose_writer(send: Any, spawn: Spawn) -> Writer:
    """Return the fastest writer that fits the server behind an accepted WebSocket's `send`."""
    send = _servers_own(send)
    for writer in (UvicornWriter, DaphneWriter):
        if writer.fits(send):
            return writer(send, spawn)
    return AsgiWriter(send, spawn)


def _servers_own(send: Any) -> Any:
    """Return the server's `send`: Channels' wrapper adds cookies to HTTP responses alone."""
    while isinstance(wrapper := getattr(send, "__self__", None), InstanceSessionWrapper):
        send = wrapper.real_send
    return send


def complete_scheme(scope: dict[str, Any], send: Any) -> None:
    """Add a WebSocket's scheme to its scope where the server has left it out, as daphne does."""
    if "scheme" not in scope:
        scope["scheme"] = find_scheme(_servers_own(send))


def choose_reader(hub: Hub, receive: Any, writer: Writer) -> Reader:
    """Return the fastest reader that fits the server behind a WebSocket that was just accepted."""
    if UvicornReader.fits(writer):
        return UvicornReader(hub, receive, writer)
    if DaphneReader.fits(writer):
        return DaphneReader(hub, receive, writer)
    return Reader(hub, receive, writer)
