"""What belongs to the hub's own thread, and may be touched there alone."""

from __future__ import annotations

from threading import get_ident


def require_own_thread(owner: int, what: str) -> None:
    """Raise RuntimeError where the caller is not in the thread with this id."""
    if get_ident() != owner:
        raise RuntimeError(
            f"{what} belongs to the event loop that serves the clients, and was called from "
            "another thread. Use the consumer's or a broadcaster's methods, which any thread may "
            "call, or `hub.run`, which leads there."
        )
