"""The cluster of a process that has no other process to reach."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Container, Iterable
from typing import Any

from channels.layers import InMemoryChannelLayer

from ..exceptions import ServerGone
from .envelopes import Answer, Command, Emit, Forward, Moved, Question
from .targets import Target


def reaches_others(layer: Any) -> bool:
    """Tell whether a channel layer leads out of this process."""
    return layer is not None and not isinstance(layer, InMemoryChannelLayer)


class LocalCluster:
    """Takes the place of `Cluster` with a layer in memory: the hub's own sockets are all."""

    lost = 0
    heard = True

    def subscribe(self, namespace: str, room: str | None) -> None:
        """Do nothing: no other process sends to the room."""

    def unsubscribe(self, namespace: str, room: str | None) -> None:
        """Do nothing: no other process sends to the room."""

    def join_server(self, server: str) -> None:
        """Do nothing: there is no other server."""

    def leave_server(self, server: str) -> None:
        """Do nothing: there is no other server."""

    async def flush_local(self) -> None:
        """Return at once: memberships are in effect as they change."""

    async def flush_cluster(self) -> None:
        """Return at once: there is no other hub to wait for."""

    def send(self, target: Target, envelope: Emit | Command) -> None:
        """Send to nobody: there is no other hub."""

    def tell(self, server: str, envelope: Moved | Forward) -> None:
        """Tell nobody: there is no other hub."""

    async def fence(self) -> None:
        """Return at once: no other hub sends anything."""

    async def look_for_losses(self) -> None:
        """Return at once: no layer could have lost anything."""

    async def scatter(self) -> None:
        """Return at once: there is no other hub that a client could be at."""

    def note_scattered(self, server: str) -> None:
        """Do nothing: there is no other hub."""

    def is_peer(self, server: str) -> bool:
        """Return that there is no other hub."""
        return False

    def heir(self, server: str) -> str | None:
        """Return that nobody has the sessions of another server."""
        return None

    def choose_heir(self, excluding: Container[str] = ()) -> str | None:
        """Return that there is nobody to hand sessions to."""
        return None

    def claim(self, server: str) -> None:
        """Do nothing: there is nobody to be the heir of."""

    def claimed(self) -> list[str]:
        """Return that this hub is nobody's heir."""
        return []

    async def announce(self) -> None:
        """Do nothing: there is nobody to let know."""

    async def drain(self) -> None:
        """Return at once: nothing waits for a layer."""

    async def ask_all(self, question: Question) -> AsyncGenerator[Answer]:
        """Yield no answer: there is no other hub to ask."""
        return
        yield

    async def ask(
        self,
        server: str,
        question: Question,
        timeout: float | None = None,
        hear: Callable[[Any], object] = lambda content: None,
        *,
        patience: float = 0.0,
    ) -> Any:
        """Raise ServerGone: there is nobody to ask."""
        raise ServerGone(f"there is no server {server}: this process is alone")

    async def meet(self, servers: Iterable[str]) -> bool:
        """Return that there is no other hub."""
        return False

    async def find(self, server: str) -> bool:
        """Return that no other server has this id."""
        return False

    def require_layer(self) -> None:
        """Do nothing: no layer is used that could be down."""

    def is_sid_elsewhere(self, name: str) -> bool:
        """Return that no other server has, or had, a client with this sid."""
        return False

    def reports(self) -> dict[str, dict[str, Any]]:
        """Return no reports: there is no other hub."""
        return {}

    def peers_with_recovery(self) -> list[str]:
        """Return no hubs: there is no other."""
        return []

    def problems(self) -> list[dict[str, Any]]:
        """Return no problems: neither a layer nor other clocks can have any."""
        return []

    async def close(self) -> None:
        """Do nothing: there are no groups to leave."""
