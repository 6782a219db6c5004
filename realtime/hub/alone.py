"""The cluster of a process that has no other process to reach."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from channels.layers import InMemoryChannelLayer

from ..exceptions import ServerGone
from .envelopes import Answer, Command, Emit, Question
from .targets import Target


def reaches_others(layer: Any) -> bool:
    """Tell whether a channel layer leads out of this process."""
    return layer is not None and type(layer) is not InMemoryChannelLayer


class Alone:
    """Takes the place of `Cluster` with a layer in memory: the hub's own sockets are all."""

    lost = 0

    def subscribe(self, namespace: str, room: str | None) -> None:
        """Nothing to do."""

    def unsubscribe(self, namespace: str, room: str | None) -> None:
        """Nothing to do."""

    async def settled(self) -> None:
        """Nothing to wait for."""

    async def settled_everywhere(self) -> None:
        """Nothing to wait for."""

    def send(self, target: Target, envelope: Emit | Command) -> None:
        """Nobody to send to."""

    async def drain(self) -> None:
        """Nothing to wait for."""

    async def ask_all(self, question: Question) -> AsyncGenerator[Answer]:
        """Nobody to ask."""
        return
        yield

    async def ask(self, server: str, question: Question, timeout: float | None = None) -> Any:
        """Raise ServerGone: there is nobody to ask."""
        raise ServerGone(f"there is no server {server}: this process is alone")

    async def find(self, server: str) -> bool:
        """No other server is there."""
        return False

    def require_layer(self) -> None:
        """Nothing that could be down."""

    def is_sid_elsewhere(self, name: str) -> bool:
        """No other server has clients."""
        return False

    def reports(self) -> dict[str, dict[str, Any]]:
        """No other server reports."""
        return {}

    def problems(self) -> list[dict[str, Any]]:
        """Nothing can be wrong."""
        return []

    async def close(self) -> None:
        """Nothing to leave."""
