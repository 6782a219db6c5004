"""What tests look at the server with: notes that hooks leave, and a bare Engine.IO session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import AnonymousUser

from realtime.outside.process import ensure_hub
from realtime.testing import MemoryWriter
from realtime.transports.session import Session

# How long a test waits for what must come. It never waits so long for what does come.
DEADLINE = 20.0


class Timer:
    """A call that a loop whose time a test moves has promised for the time `at`."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Probe:
    """
    Notes that hooks and handlers leave, from any thread, in order.

    `gate` is closed until a test opens it; a handler that is to wait passes through it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._notes: asyncio.Queue[Any] = asyncio.Queue()
        self.gate = asyncio.Event()

    def note(self, what: Any) -> None:
        """Leave a note."""
        self._loop.call_soon_threadsafe(self._notes.put_nowait, what)

    async def next(self) -> Any:
        """Return the next note, as soon as there is one."""
        async with asyncio.timeout(DEADLINE):
            return await self._notes.get()

    async def empty(self) -> bool:
        """Tell whether all notes that were left were read."""
        await asyncio.sleep(0)
        return self._notes.empty()


class SlowWriter(MemoryWriter):
    """A writer whose client has read all but `buffered` bytes."""

    aborted = False
    _unread = 0

    @property
    def buffered(self) -> int:
        return self._unread

    @buffered.setter
    def buffered(self, size: int) -> None:
        self._unread = size
        self.tell_drained()

    def abort(self) -> None:
        self.aborted = True


class Wire:
    """A bare Engine.IO session: the test feeds frames, and reads those that the server sent."""

    def __init__(self) -> None:
        hub = ensure_hub()
        self._frames: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._sent: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.writer = SlowWriter(self._frames.put_nowait)
        scope = {
            "type": "websocket",
            "path": "/socket.io/",
            "query_string": b"",
            "headers": [],
            "user": AnonymousUser(),
            "session": {},
        }
        self.session = Session(hub, scope, self.writer)
        hub.spawn(self.session.read(self._sent.get))

    def feed(self, *frames: str | bytes) -> None:
        """Let the server read frames."""
        for frame in frames:
            self._sent.put_nowait(frame)

    async def next(self) -> str | bytes | None:
        """Return the server's next frame; None is the end."""
        async with asyncio.timeout(DEADLINE):
            return await self._frames.get()

    def pending(self) -> int:
        """Return how many frames have come that `next` has not returned yet."""
        return self._frames.qsize()

    def unread(self) -> int:
        """Return how many frames the server has not read yet."""
        return self._sent.qsize()

    async def connect(self, namespace: str = "/", auth: str = "") -> str:
        """Ask for a namespace, and return the server's answer."""
        self.feed(f"40{namespace},{auth}" if namespace != "/" else "40" + auth)
        return str(await self.next())

    def close(self) -> None:
        """Hang up."""
        self.session.close("transport close")
        self._sent.put_nowait(None)


def unsent_lines(records: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Return what the log told of events and commands that were not sent: records and fields."""
    return [(each, each.realtime) for each in records if each.args[0] == "unsent"]
