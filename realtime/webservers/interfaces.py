"""What web servers' readers need of connections, which are above them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ..sockets.interfaces import Hub
from ..utils.oneshot import OneShotEvent
from .writers import Writer


class Connection(Protocol):
    """The connection that takes the frames of a client."""

    writer: Writer
    closed: OneShotEvent

    @property
    def hub(self) -> Hub:
        """The hub that it belongs to."""

    @property
    def entered(self) -> bool:
        """Whether the client has asked for any namespace that there is."""

    @property
    def frame_limit(self) -> int:
        """How many bytes the client's next frame may have."""

    async def read(self, receive: Callable[[], Awaitable[str | bytes | None]]) -> None:
        """Take frames until `receive` returns None or the connection is over."""

    def feed_safely(self, frame: str | bytes) -> None:
        """Take one frame; one that breaks the protocol ends the connection."""

    def attempt(self, step: Callable[..., object], *args: Any) -> None:
        """Call what is part of the connection's life: where that raises, the connection ends."""

    def fail(self) -> None:
        """End the connection for the error that is being handled."""

    def hear(self) -> None:
        """Take note of a sign of life that is no frame."""

    def is_blocked(self) -> bool:
        """Tell whether nothing is to be read."""

    async def wait_unblocked(self) -> None:
        """Wait until the connection is no longer blocked, or is over."""

    def overflow(self) -> None:
        """End the connection of a client that is too far behind."""

    def close(self, reason: str, detail: str = "") -> None:
        """End the connection for one of Socket.IO's reasons."""
