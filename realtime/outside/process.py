"""This process's hub, or its way to the others' hubs, found from any thread."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from functools import partial

from ..cluster.layers import find_layer
from ..cluster.standalone import reaches_others
from ..conf import get_settings
from ..exceptions import NotRunning
from ..hub.gateway import Gateway, HubGateway
from ..hub.hub import Hub
from .sender import RemoteGateway

# Who sends, for a layer that keeps a log: nobody whose messages are counted.
OUTSIDE = "-"

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
    else:
        hub.signals.keep()
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


# By the layer's alias. A forked child has to make its own, and leaves its parent's untouched.
_outside: dict[str, RemoteGateway] = {}
_of_parents: list[RemoteGateway] = []
_lock = threading.Lock()


def get_outside() -> RemoteGateway:
    """
    Return the way to the cluster of a process that serves no clients; the first call opens it.

    Raises NotRunning where the channel layer leads to no other process.
    """
    alias = get_settings().CHANNEL_LAYER
    outside = _outside.get(alias)
    if outside is None or outside.process != os.getpid():
        with _lock:
            outside = _outside.get(alias)
            if outside is not None and outside.process != os.getpid():  # forked unnoticed (uWSGI)
                _of_parents.append(outside)
                outside = None
            if outside is None:
                outside = _outside[alias] = _open_outside(alias)
    return outside


def _open_outside(alias: str) -> RemoteGateway:
    make = partial(find_layer, alias, OUTSIDE)
    layer = make()
    if not reaches_others(layer):
        kind = "is in memory" if layer else f"{alias!r} is not in CHANNEL_LAYERS"
        raise NotRunning(
            f"This process serves no Realtime clients, and its channel layer {kind}, so it "
            "reaches no process that does. Configure channels_redis in CHANNEL_LAYERS, or send "
            'from the process that runs your ASGI application. REALTIME["UNREACHABLE"] says '
            "whether what wants no answer raises this, or logs it."
        )
    return RemoteGateway(make)


@atexit.register
def _close() -> None:
    for outside in _outside.values():
        outside.close()


def _forked() -> None:
    _hubs.clear()
    _of_parents.extend(_outside.values())
    _outside.clear()
    if _lock.locked():
        _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forked)
