"""This process's hub, found from any thread."""

from __future__ import annotations

import asyncio

from ..exceptions import NotRunning
from .hub import Hub

# A process has one event loop that serves clients, and so one hub; tests have one after another.
_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def ensure_hub() -> Hub:
    """Return the running loop's hub; the first call starts it."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        for old in [old for old in _hubs if old.is_closed()]:
            del _hubs[old]
        hub = _hubs[loop] = Hub()
        hub.signals.install()
    return hub


def get_hub() -> Hub:
    """
    Return this process's hub, from any thread.

    Raises NotRunning where this process serves no clients.
    """
    try:
        hub = _hubs.get(asyncio.get_running_loop())
    except RuntimeError:
        hub = None
    if hub is None:
        alive = [hub for loop, hub in tuple(_hubs.items()) if not loop.is_closed()]
        hub = alive[-1] if alive else None
    if hub is None:
        raise NotRunning(
            "This process serves no Realtime clients, and reaches no process that does. "
            "Send from the process that runs your ASGI application."
        )
    return hub
