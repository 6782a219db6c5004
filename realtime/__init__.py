"""The Socket.IO server for Django."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .broadcast import Broadcaster, emit, of, to
    from .consumers import NamespaceConsumer, event
    from .exceptions import (
        AckTimeout,
        ClientDisconnected,
        ConnectionRefused,
        EventError,
        LayerUnavailable,
        NotRunning,
        PresenceDisabled,
        PresenceUnavailable,
        UnknownNamespace,
    )
    from .hub.calls import Answers

__version__ = "0.1.0"

_HOMES = {
    "broadcast": ("Broadcaster", "emit", "of", "to"),
    "consumers": ("NamespaceConsumer", "event"),
    "exceptions": (
        "AckTimeout",
        "ClientDisconnected",
        "ConnectionRefused",
        "EventError",
        "LayerUnavailable",
        "NotRunning",
        "PresenceDisabled",
        "PresenceUnavailable",
        "UnknownNamespace",
    ),
    "hub.calls": ("Answers",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AckTimeout",
    "Answers",
    "Broadcaster",
    "ClientDisconnected",
    "ConnectionRefused",
    "EventError",
    "LayerUnavailable",
    "NamespaceConsumer",
    "NotRunning",
    "PresenceDisabled",
    "PresenceUnavailable",
    "UnknownNamespace",
    "emit",
    "event",
    "of",
    "to",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that INSTALLED_APPS loads nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value
