"""
What sockets may, asked again: for many at a time where their classes only declare it, and one by
one, so many at once, where a site's own hooks say it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from ..authority.decisions import ALLOWED, Decision, decide_here
from ..execution.pacing import Pace
from ..identity import outages
from ..sockets.socket import Socket
from ..sockets.standing import SAME
from .interfaces import Hub
from .outage_log import OutageLog

# As many are decided in one call, and as many of a site's hooks are asked at a time.
AT_ONCE, OWN_AT_ONCE = 500, 64


class Deciding:
    """The sockets of a hub that are to be asked for, each one after the other."""

    def __init__(self, hub: Hub, outage_log: OutageLog) -> None:
        self._hub = hub
        self._outages = outage_log
        # Those that wait, with the user that each had before, and those that are being asked for.
        self._waiting: dict[Socket, Any] = {}
        self._at_work: set[Socket] = set()
        self._slots = asyncio.Semaphore(OWN_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def add(self, socket: Socket, old: Any) -> None:
        """Ask for a socket; `old` is the user that it had before, or SAME."""
        if self._waiting.get(socket, SAME) is SAME:
            self._waiting[socket] = old
        self._start()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._hub.services.spawn(self._run())

    async def _run(self) -> None:
        pace = Pace()
        while some := self._next():
            self._at_work.update(some)
            plain = [socket for socket in some if socket.connected and not socket.is_asked_itself]
            for socket in some.keys() - set(plain):
                self._spawn(socket, some[socket])
            try:
                decisions = await self._decide_together(plain)
            except outages.ERRORS as error:
                await self._outages.wait(error)
                for socket in plain:
                    self._put_back(socket, some[socket])
                continue
            for socket, decision in zip(plain, decisions, strict=True):
                await self._follow(socket, decision, some[socket])
                await pace.keep()

    def _next(self) -> dict[Socket, Any]:
        """Return some that wait, and are not being asked for already."""
        ready = (socket for socket in self._waiting if socket not in self._at_work)
        return {socket: self._waiting.pop(socket) for socket in list(_first(ready))}

    async def _decide_together(self, sockets: Sequence[Socket]) -> list[Decision | BaseException]:
        if not any(socket.declares for socket in sockets):
            return [ALLOWED] * len(sockets)
        return await self._hub.lookups.run(_decide_all, sockets)

    async def _follow(self, socket: Socket, decision: Decision | BaseException, old: Any) -> None:
        """Do what follows: in a task of its own where hooks of the site may take their time."""
        if isinstance(decision, BaseException):
            socket.log_failure("reauthorize", decision)
            self._done(socket)
        elif socket.has_hooks:
            self._spawn(socket, old, decision)
        else:
            await socket.follow(decision, old)
            self._done(socket)

    def _spawn(self, socket: Socket, old: Any, decision: Decision | None = None) -> None:
        work = self._ask(socket, old, decision)
        self._hub.spawn(work, socket.context.copy())

    async def _ask(self, socket: Socket, old: Any, decision: Decision | None) -> None:
        try:
            await socket.wait_let_in()
            if decision is None:
                async with self._slots:
                    decision = await socket.ask_again()
            if decision is not None:
                await socket.follow(decision, old)
        except outages.ERRORS as error:
            await self._outages.wait(error)
            self._waiting.setdefault(socket, old)
        finally:
            self._done(socket)

    def _put_back(self, socket: Socket, old: Any) -> None:
        self._waiting.setdefault(socket, old)
        self._at_work.discard(socket)

    def _done(self, socket: Socket) -> None:
        self._at_work.discard(socket)
        if socket in self._waiting:
            self._start()


def _first(sockets: Iterator[Socket]) -> Iterator[Socket]:
    for _, socket in zip(range(AT_ONCE), sockets, strict=False):
        yield socket


def _decide_all(sockets: Sequence[Socket]) -> list[Decision | BaseException]:
    """Decide for sockets without hooks of their own; what one raises concerns that one alone."""
    return [_decide(socket) for socket in sockets]


def _decide(socket: Socket) -> Decision | BaseException:
    try:
        return socket.context.copy().run(decide_here, socket.consumer)
    except outages.ERRORS:
        raise
    except Exception as error:
        return error
