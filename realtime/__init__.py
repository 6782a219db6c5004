"""The Socket.IO server for Django."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .utils.version import VERSION

if TYPE_CHECKING:
    from .broadcast import (
        Broadcaster,
        acount_clients,
        count_clients,
        emit,
        of,
        to,
        to_client,
        to_user,
    )
    from .client_rooms import ClientRooms
    from .consumers import NamespaceConsumer, event
    from .exceptions import (
        AckTimeout,
        ClientDisconnected,
        ClientError,
        ConnectionRefused,
        EventError,
        InvalidArguments,
        InvalidConsumer,
        InvalidEventName,
        InvalidName,
        LayerUnavailable,
        NoSession,
        NotRunning,
        OnceError,
        PresenceDisabled,
        PresenceUnavailable,
        RateLimited,
        RealtimeError,
        ServerError,
        ServerGone,
        Unavailable,
        UnknownNamespace,
        WouldDeadlock,
    )
    from .hub.calls import Answers
    from .sending.plain_calls import Pending
    from .sending.remote import RemoteClient

__version__ = VERSION

_HOMES = {
    "broadcast": (
        "Broadcaster",
        "acount_clients",
        "count_clients",
        "emit",
        "of",
        "to",
        "to_client",
        "to_user",
    ),
    "client_rooms": ("ClientRooms",),
    "consumers": ("NamespaceConsumer", "event"),
    "exceptions": (
        "AckTimeout",
        "ClientDisconnected",
        "ClientError",
        "ConnectionRefused",
        "EventError",
        "InvalidArguments",
        "InvalidConsumer",
        "InvalidEventName",
        "InvalidName",
        "LayerUnavailable",
        "NoSession",
        "NotRunning",
        "OnceError",
        "PresenceDisabled",
        "PresenceUnavailable",
        "RateLimited",
        "RealtimeError",
        "ServerError",
        "ServerGone",
        "Unavailable",
        "UnknownNamespace",
        "WouldDeadlock",
    ),
    "hub.calls": ("Answers",),
    "sending.remote": ("RemoteClient",),
    "sending.plain_calls": ("Pending",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AckTimeout",
    "Answers",
    "Broadcaster",
    "ClientDisconnected",
    "ClientError",
    "ClientRooms",
    "ConnectionRefused",
    "EventError",
    "InvalidArguments",
    "InvalidConsumer",
    "InvalidEventName",
    "InvalidName",
    "LayerUnavailable",
    "NamespaceConsumer",
    "NoSession",
    "NotRunning",
    "OnceError",
    "Pending",
    "PresenceDisabled",
    "PresenceUnavailable",
    "RateLimited",
    "RealtimeError",
    "RemoteClient",
    "ServerError",
    "ServerGone",
    "Unavailable",
    "UnknownNamespace",
    "WouldDeadlock",
    "acount_clients",
    "count_clients",
    "emit",
    "event",
    "of",
    "to",
    "to_client",
    "to_user",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that INSTALLED_APPS loads nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value
