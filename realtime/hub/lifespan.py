"""
The start and the end of a process that serves clients: its signals, and its start on servers that
tell of none.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connections
from django.dispatch import Signal

from ..execution.calls import (
    give_thread,
    raise_if_cancelled,
    raise_if_signalled,
    release_thread,
    uses_thread,
)
from ..execution.tasks import Tasks
from ..logs import log
from ..signals import Receiver, call_receivers, serving_started, serving_stopping

# How long a server that starts, and one that stops, waits for receivers.
START_TIMEOUT = 10.0
STOP_TIMEOUT = 2.0


class Hub(Protocol):
    """The hub of a process that serves clients."""

    server_id: str
    services: Tasks
    loop: asyncio.AbstractEventLoop


class Serving:
    """
    Tells receivers that the process of a hub serves clients, and that it stops: each once.

    Plain receivers of both have one thread, whose database connections are closed in between.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._context = Context()
        self._threads = give_thread(self._context)
        self._starting: asyncio.Task[None] | None = None
        self._began = 0.0
        self._stopped = False
        # Whether the process may end without a word to this thread, as that of the reloader does.
        self._is_aside = threading.current_thread() is not threading.main_thread()

    def start(self) -> asyncio.Task[None]:
        """Send `serving_started`, the first time; return the task in which that is done."""
        if self._starting is None:
            self._began = self._hub.loop.time()
            self._starting = self._hub.services.spawn(self._start(), self._context)
            if self._is_aside:
                atexit.register(self._stop_at_exit)
        return self._starting

    @property
    def starting(self) -> bool:
        """Whether receivers are still told of the start, and have not taken too long for that."""
        starting = self._starting
        if starting is None or starting.done():
            return False
        return self._hub.loop.time() - self._began < START_TIMEOUT

    async def started(self) -> None:
        """Send `serving_started`, the first time, and wait for its receivers, but not for ever."""
        starting = self.start()
        _, late = await asyncio.wait({starting}, timeout=START_TIMEOUT)
        if late:
            log(logging.WARNING, "receivers-slow", signal="serving_started", waited=START_TIMEOUT)

    async def _start(self) -> None:
        await self._send(serving_started)
        if self._is_aside and serving_stopping.receivers:
            await sync_to_async(connections.close_all)()  # a process that ends starts no thread
        elif uses_thread(self._threads):
            await sync_to_async(connections.close_all)()

    async def stop(self) -> None:
        """Send `serving_stopping`, the first time, where the start was told; wait a little."""
        if self._starting is None or self._stopped:
            return
        self._stopped = True
        atexit.unregister(self._stop_at_exit)
        self._starting.cancel()
        stopping = self._hub.services.spawn(self._stop(), self._context)
        _, late = await asyncio.wait({stopping}, timeout=STOP_TIMEOUT)
        if late:
            stopping.cancel()
            log(logging.WARNING, "receivers-slow", signal="serving_stopping", waited=STOP_TIMEOUT)

    async def _stop(self) -> None:
        try:
            await self._send(serving_stopping)
        finally:
            if uses_thread(self._threads):
                await release_thread(self._threads)

    async def _send(self, signal: Signal) -> None:
        """Send a signal."""
        sender, arguments = apps.get_app_config("realtime"), {"server": self._hub.server_id}
        await call_receivers(signal, sender, arguments, partial(_contained, signal))

    def _stop_at_exit(self) -> None:
        loop = self._hub.loop
        if loop.is_running():
            stopping = asyncio.run_coroutine_threadsafe(self.stop(), loop)
            with contextlib.suppress(TimeoutError):
                stopping.result(STOP_TIMEOUT + 1)


@contextlib.contextmanager
def _contained(signal: Signal, receiver: Receiver) -> Iterator[None]:
    """Log what a receiver raises; Django does where it is an Exception, if it can."""
    try:
        try:
            yield
        except Exception as error:
            signal._log_robust_failure(receiver, error)  # type: ignore[attr-defined]
    except BaseException as error:
        raise_if_cancelled()
        raise_if_signalled(error)
        log(logging.ERROR, "error", event="signals", exc_info=True)


def start_with_daphne(start: Callable[[], object]) -> None:
    """
    Have `start` called on daphne's event loop as soon as that runs: daphne knows no lifespan.

    Other servers' processes may have imported daphne, too. Its loop never runs there.
    """
    if "daphne.server" in sys.modules:
        from twisted.internet import reactor  # noqa: PLC0415 (what daphne has chosen)

        loop: Any = reactor
        loop.callWhenRunning(loop.callLater, 0, start)
