"""Presence: one writer for each hub keeps the rows of `realtime.models` up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..identity.logins import has_user_model
from ..outside.process import find_hub

if TYPE_CHECKING:
    from ..hub.hub import Hub
    from .writer import PresenceWriter


def observe(hub: Hub) -> PresenceWriter | None:
    """Return the hub's writer; None where presence is off, or there can be no tables for it."""
    if not hub.settings.PRESENCE or not has_user_model():
        return None
    from .writer import PresenceWriter  # noqa: PLC0415 (models load with the apps, not with this package)

    return PresenceWriter(hub)


def find_writer() -> PresenceWriter | None:
    """Return the writer of this process's hub, from any thread; None where there is none."""
    from .writer import PresenceWriter  # noqa: PLC0415

    hub = find_hub()
    for observer in () if hub is None else hub.observers.all:
        if isinstance(observer, PresenceWriter):
            return observer
    return None
