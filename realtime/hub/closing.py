"""The end of a hub, step by step."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ..cluster.envelopes import Wake
from ..cluster.requests import ANSWER_TIMEOUT
from ..exceptions import ServerGone
from ..logs import log, tell_skipped
from .interfaces import Hub

# How long the server's own transports get to send what was written to them last.
FLUSH_TIME = 0.05

# How often polls are woken while a hub is closed: one may not have reached its session yet.
WAKE_INTERVAL = 0.2


async def shut_down(hub: Hub, grace: float) -> None:
    """
    Tell receivers and clients that the server stops, wait for last hooks, and end all services.

    What clients' hooks have not done after `grace` seconds is cancelled.
    """
    log(logging.INFO, "shutdown", connections=len(hub.connections))
    hub.drain.begin()
    await hub.serving.stop()
    await hub.drain.finish()
    hub.closing = True
    hub.spawn(_release_foreign_polls(hub))
    await hub.tasks.finish(grace)
    hub.timers.close()
    await hub.lookups.close()
    hub.departures.close()
    if hub.recovery is not None:
        await hub.recovery.transfers.hand_over()
        await hub.recovery.flush()
        hub.recovery.close()
    hub.lingering.close()
    await hub.observers.close()
    await hub.cluster.close()
    hub.services.cancel()
    hub.runner.close()
    await asyncio.sleep(FLUSH_TIME)
    hub.signals.remove()
    tell_skipped()


async def _release_foreign_polls(hub: Hub) -> None:
    """Have other servers' sessions answer the polls that wait here; they go on elsewhere."""
    while hub.foreign_polls:
        await asyncio.gather(*(_wake(hub, *poll) for poll in hub.foreign_polls.values()))
        await asyncio.sleep(WAKE_INTERVAL)


async def _wake(hub: Hub, server: str, sid: str) -> None:
    with contextlib.suppress(ServerGone):
        await hub.cluster.ask(server, Wake(sid), ANSWER_TIMEOUT)
