"""This process's hub, found from any thread."""

from __future__ import annotations

import asyncio
import os

from ..exceptions import NotRunning
from .gateway import Gateway, HubGateway
from .hub import Hub
from .outside import get_outside

# A process has one event loop that serves clients, and so one hub; tests have one after another.
_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def ensure_hub() -> Hub:
    """Return the running loop's hub; the first call starts it."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        for old in [old for old in _hubs if old.is_closed()]:
            del _hubs[old]
        if not _hubs:
            os.register_at_fork(after_in_child=_hubs.clear)
        hub = _hubs[loop] = Hub()
        hub.signals.install()
    return hub


def find_hub() -> Hub | None:
    """Return this process's hub, from any thread; None where it serves no clients."""
    try:
        hub = _hubs.get(asyncio.get_running_loop())
    except RuntimeError:
        hub = None
    if hub is None:
        alive = [hub for loop, hub in tuple(_hubs.items()) if not loop.is_closed()]
        hub = alive[-1] if alive else None
    return hub


def get_hub() -> Hub:
    """Return this process's hub, from any thread. Raises NotRunning where there is none."""
    hub = find_hub()
    if hub is None:
        raise NotRunning("This process serves no Realtime clients.")
    return hub


def get_gateway() -> Gateway:
    """
    Return this process's way to the cluster's clients.

    Raises NotRunning where it serves none itself, and its channel layer reaches no other process.
    """
    hub = find_hub()
    return get_outside() if hub is None else HubGateway(hub)
