"""The acknowledgements that one socket waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What is called once with the arguments of an acknowledgement, or with None where none will come.
Resolve = Callable[[list[Any] | None], None]

# Acknowledgements that may be awaited of one client; the oldest is given up beyond that.
MAX_PENDING = 4096


class Acks:
    """
    Acknowledgements by id, at most MAX_PENDING. The ids go on after `last_id`, which is the last
    one that was used.
    """

    __slots__ = ("_pending", "last_id")

    def __init__(self, last_id: int = -1) -> None:
        self.last_id = last_id
        # Made when it is needed first: most clients are never asked.
        self._pending: dict[int, Resolve] | None = None

    @property
    def pending(self) -> bool:
        """Whether any is waited for."""
        return bool(self._pending)

    def next_id(self) -> int:
        """Return an id that was not used before."""
        self.last_id += 1
        return self.last_id

    def add(self, ack_id: int, resolve: Resolve) -> int | None:
        """Wait for an acknowledgement; return the id of the one that is given up for it."""
        if self._pending is None:
            self._pending = {}
        self._pending[ack_id] = resolve
        if len(self._pending) <= MAX_PENDING:
            return None
        oldest = next(iter(self._pending))
        self._pending.pop(oldest)(None)
        return oldest

    def pop(self, ack_id: int) -> Resolve | None:
        """Wait for one no longer; return what was to be called."""
        return self._pending.pop(ack_id, None) if self._pending else None

    def give_up(self) -> None:
        """Tell everybody who waits that no acknowledgement will come."""
        pending, self._pending = self._pending, None
        for resolve in (pending or {}).values():
            resolve(None)
