"""Once: the table of events that are handled once for each key of a client, for all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..identity.logins import has_user_model

if TYPE_CHECKING:
    from ..hub.hub import Hub


def attach(hub: Hub) -> None:
    """Give a hub the table, if there can be one."""
    if has_user_model():
        from .store import DatabaseStore  # noqa: PLC0415 (models load with the apps)

        hub.once.keep_in(DatabaseStore())
