"""SIGTERM and SIGINT: clients are told and last hooks run before the server stops."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .hub import Hub

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalGuard:
    """
    Stands before the server's own signal handlers.

    The first signal closes the hub, then goes on to the handler that was there before; a second
    one goes there at once.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._previous: dict[int, Any] = {}
        self._signalled = False

    def install(self) -> None:
        """Take the signals over. Only a main thread can; elsewhere nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if callable(previous):
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def remove(self) -> None:
        """Give the signals back, unless somebody else has taken them since."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous[number]
        if self._signalled or self._hub.loop.is_closed():
            previous(number, frame)
            return
        self._signalled = True
        self._hub.loop.call_soon_threadsafe(self._close_then, previous, number)

    def _close_then(self, previous: Any, number: int) -> None:
        closing = self._hub.loop.create_task(self._hub.close())
        closing.add_done_callback(lambda task: self._go_on(task, previous, number))
        self._closing = closing

    def _go_on(self, task: asyncio.Task[None], previous: Any, number: int) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._hub.loop.call_exception_handler(
                {"message": "Realtime could not shut down", "exception": task.exception()}
            )
        # As a new signal, so that the server's handler runs where it expects to.
        signal.raise_signal(number)
