"""The sessions of clients that are away, where none are kept."""

from __future__ import annotations

from collections.abc import Iterable

from ..sockets.interfaces import Observed


class NoSessions:
    """Whoever drops is gone."""

    def counted(self) -> Iterable[Observed]:
        """Return nobody."""
        return ()
