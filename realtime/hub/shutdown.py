"""SIGTERM and SIGINT: clients are told and last hooks run before the server stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from .interfaces import Hub

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalGuard:
    """
    Stands before the server's own signal handlers: those of Python, and those of the event loop.

    The first signal closes the hub, then goes on to the handler that was there before; a second
    one goes there at once, and the hub waits for nobody any more.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._previous: dict[int, Any] = {}
        self._wakeups: Wakeups | None = None
        self._signalled = False

    def install(self) -> None:
        """Take the signals over. Only a main thread can; elsewhere nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if callable(previous):
                self._previous[number] = previous
                is_of_loop = _is_of_loop(previous)
                signal.signal(number, self._on_loop_signal if is_of_loop else self._on_signal)
        if any(map(_is_of_loop, self._previous.values())):
            self._wakeups = Wakeups(self._hub.loop, self._on_wakeup)

    def keep(self) -> None:
        """Stand before an event loop's handlers again, where that was stopped and started since."""
        if self._wakeups is not None and threading.current_thread() is threading.main_thread():
            self._wakeups.take_place()

    def remove(self) -> None:
        """Give the signals back, unless somebody else has taken them since."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) in (self._on_signal, self._on_loop_signal):
                signal.signal(number, previous)
        self._previous.clear()
        if self._wakeups is not None:
            self._wakeups.close()
            self._wakeups = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous[number]
        if self._hub.loop.is_closed():
            previous(number, frame)
            return
        if self._signalled:
            self._hub.loop.call_soon_threadsafe(self._hub.hurry)
            previous(number, frame)
            return
        self._signalled = True
        self._hub.loop.call_soon_threadsafe(self._close_then_raise, number)

    def _on_loop_signal(self, number: int, frame: FrameType | None) -> None:
        # uvloop's own handler notes the signal, and would let the server stop whatever it reads.
        if self._signalled:
            self._previous[number](number, frame)

    def _on_wakeup(self, number: int) -> bool:
        if signal.getsignal(number) != self._on_loop_signal:
            return False
        if self._signalled:
            self._hub.hurry()
            return False
        self._signalled = True
        self._close_then_raise(number)
        return True

    def _close_then_raise(self, number: int) -> None:
        closing = self._hub.loop.create_task(self._hub.close())
        closing.add_done_callback(lambda task: self._raise_again(task, number))
        self._closing = closing

    def _raise_again(self, task: asyncio.Task[None], number: int) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._hub.loop.call_exception_handler(
                {"message": "Realtime could not shut down", "exception": task.exception()}
            )
        # As a new signal, so that the server's handler runs where it expects to.
        signal.raise_signal(number)


class Wakeups:
    """
    Stands between the signals and an event loop that looks itself after some.

    Python writes their numbers where the loop reads (`signal.set_wakeup_fd`); there is no other
    place before the handlers that `loop.add_signal_handler` was given. Where `handle` returns false
    for a number, it goes on to the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: Callable[[int], bool]) -> None:
        self._loop = loop
        self._handle = handle
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self.take_place()
        loop.add_reader(self._reader, self._read)

    def take_place(self) -> None:
        """Have the signals' numbers written here: uvloop takes its place anew at each start."""
        mine = self._writer.fileno()
        before = signal.set_wakeup_fd(mine, warn_on_full_buffer=False)
        if before != mine:
            self._loops = before

    def close(self) -> None:
        """Let the loop read again, unless somebody else does since."""
        current = signal.set_wakeup_fd(self._loops, warn_on_full_buffer=False)
        if current != self._writer.fileno():
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        self._loop.remove_reader(self._reader)
        self._read()
        self._reader.close()
        self._writer.close()

    def _read(self) -> None:
        try:
            numbers = self._reader.recv(4096)
        except BlockingIOError:
            return
        for number in numbers:
            if not self._handle(number):
                os.write(self._loops, bytes([number]))


def _is_of_loop(handler: Any) -> bool:
    """Tell whether a handler of Python's does nothing, beside what the event loop will do."""
    module = getattr(handler, "__module__", None) or type(handler).__module__
    return callable(handler) and str(module).partition(".")[0] in {"asyncio", "uvloop"}
