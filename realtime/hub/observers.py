"""Who is told what happens to the sockets of a hub, such as presence and the signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from django.utils.module_loading import import_string

from ..execution.calls import raise_if_cancelled, raise_if_signalled
from ..logs import write
from ..sockets.interfaces import Observed
from ..sockets.socket import Socket
from ..utils.limits import LogLimiter


class Observer(Protocol):
    """
    Told about the sockets that `connect()` accepted, on the hub's event loop, in order.

    A socket is `opened`, and `closed` in the end. In between it may be `away` any number of times,
    each time until it is `back`, or `closed` after all. Where it goes to another server it is
    `back`, `adopted` or `arrived` there, and `moved` here, and nothing more. What is away, and
    what moves, may be told as the session that is left of a socket (see `Observed`).

    Its methods return at once. What they raise is logged, and concerns nobody else.
    """

    def opened(self, socket: Socket) -> None:
        """A client is let in, and not told so yet. `socket.rooms` holds what it has joined."""

    def closed(self, socket: Observed, reason: str) -> None:
        """
        A socket is gone, from all its rooms too. `socket.rooms` still holds them.

        One that was away counts no more, even if the client may still come back to its session:
        then it is opened again.
        """

    def joined(self, socket: Observed, room: str) -> None:
        """An open socket is in a room now; one that is away may be too."""

    def left(self, socket: Observed, room: str) -> None:
        """An open socket is in a room no more."""

    def away(self, socket: Observed) -> None:
        """A client has dropped: it stays in its rooms, and counts, until it is back or closed."""

    def back(self, socket: Socket) -> None:
        """
        A client is let in again, and not told so yet, as the socket of this sid: from being away,
        from a connection that it has taken over, or from another server.
        """

    def arrived(self, socket: Socket) -> None:
        """A client is here from now on, still connected, which was at another server."""

    def moved(self, socket: Observed) -> None:
        """
        Another server has the socket, or its session, from now on, and tells all that follows.

        It may be one that was closed here, and whose client has come back late. This is told before
        the other server hears of it, so that nothing here is later than there.
        """

    def adopted(self, socket: Observed) -> None:
        """A session that is away and was another server's is kept here from now on, and counts."""

    def transport_changed(self, socket: Socket) -> None:
        """An open socket's connection changed its transport."""

    def shared(self, socket: Socket) -> None:
        """An open socket shares something else with others."""

    async def wait_written(self) -> None:
        """Wait, but not for long, until what the observer was told so far is written."""

    async def close(self) -> None:
        """Finish: the last hook of the last socket has run."""


# Returns None where there is nothing to tell.
Factory = Callable[[Any], Observer | None]

_factories: list[str] = []


def register(factory: str) -> None:
    """Let every hub that starts from now on have an observer: the dotted path of its `Factory`."""
    if factory not in _factories:
        _factories.append(factory)


class Observers:
    """All observers of a hub, told as one: what one of them raises, neither others nor clients."""

    def __init__(self, hub: object) -> None:
        self.all: list[Observer] = []
        # When it was logged last that one has failed, by its name.
        self._failures: dict[str, LogLimiter] = {}
        for factory in _factories:
            with self.contained(factory, "start"):
                observer = import_string(factory)(hub)
                if observer is not None:
                    self.all.append(observer)

    def opened(self, socket: Socket) -> None:
        self._tell("opened", socket)

    def closed(self, socket: Observed, reason: str) -> None:
        self._tell("closed", socket, reason)

    def joined(self, socket: Observed, room: str) -> None:
        self._tell("joined", socket, room)

    def left(self, socket: Observed, room: str) -> None:
        self._tell("left", socket, room)

    def away(self, socket: Observed) -> None:
        self._tell("away", socket)

    def back(self, socket: Socket) -> None:
        self._tell("back", socket)

    def arrived(self, socket: Socket) -> None:
        self._tell("arrived", socket)

    def moved(self, socket: Observed) -> None:
        self._tell("moved", socket)

    def adopted(self, socket: Observed) -> None:
        self._tell("adopted", socket)

    def transport_changed(self, socket: Socket) -> None:
        self._tell("transport_changed", socket)

    def shared(self, socket: Socket) -> None:
        self._tell("shared", socket)

    async def wait_written(self) -> None:
        await self._ask("wait_written")

    async def close(self) -> None:
        await self._ask("close")

    def _tell(self, what: str, *args: Any) -> None:
        for observer in self.all:
            try:
                getattr(observer, what)(*args)
            except BaseException as error:
                self._fail(_name(observer), what, error)

    async def _ask(self, what: str) -> None:
        for observer in self.all:
            try:
                await getattr(observer, what)()
            except BaseException as error:
                if isinstance(error, GeneratorExit):
                    raise
                if isinstance(error, asyncio.CancelledError):
                    raise_if_cancelled()
                self._fail(_name(observer), what, error)

    @contextlib.contextmanager
    def contained(self, name: str, what: str) -> Iterator[None]:
        """Log what an observer raises in the block, and go on."""
        try:
            yield
        except BaseException as error:
            self._fail(name, what, error)

    def _fail(self, name: str, what: str, error: BaseException) -> None:
        """Log a failure, but not each of many."""
        raise_if_signalled(error)
        if self._failures.setdefault(name, LogLimiter()).should_log():
            write(logging.ERROR, "observer-failed", observer=name, call=what, exc_info=error)


def _name(observer: Observer) -> str:
    return f"{type(observer).__module__}.{type(observer).__qualname__}"
