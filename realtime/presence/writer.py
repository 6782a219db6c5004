"""Keeps the rows of one hub's sockets: in few transactions, and whatever the database does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from django.db import DatabaseError, IntegrityError, connections

from ..logs import log
from ..models import MAX_PATIENCE, MISSED_HEARTBEATS
from .changes import Changes
from .notes import Notes
from .servers import Description
from .store import Beat, Lost, Store
from .thread import DatabaseThread

if TYPE_CHECKING:
    from ..hub.hub import Hub

Result = TypeVar("Result")

# New sockets in one transaction.
BATCH = 2_000

# Writing takes at most this share of the time, so that more changes share a transaction under load,
# but it pauses no longer than that.
SHARE = 0.25
MAX_PAUSE = 0.05

# A database that takes longer is taken for down: nobody waits for it until it is back.
PATIENCE = 2.0

# Pauses between attempts while the database is down.
MIN_RETRY, MAX_RETRY = 0.1, 5.0


class PresenceWriter(Notes):
    """
    An observer that writes what it is told, and lets `wait_written` return when it is written.

    A writer that is behind (at the start, after a failure, when others took this server for dead)
    notes no changes: it removes its rows and writes all sockets that the hub has, here or away.

    A thread that is at one call for as long as a server lives without a heartbeat, such as on a
    connection that has gone silent, is given up for a new one.
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._description = Description(hub.server_id)
        self._renew()
        self._closed = False
        self._down_since: float | None = None
        self._failures = 0
        self._given_up = 0
        # Whether all sockets are written since the server was registered, and whether the database
        # knows already that it is restored.
        self._is_new = True
        self._complete = False
        self._restored = False
        self._idle: list[asyncio.Future[None]] = []
        self._next_beat = 0.0
        self._next_sweep = 0.0
        self._pause = 0.0
        self._heartbeat = hub.settings.SERVER_HEARTBEAT
        self._lifetime = self._heartbeat * MISSED_HEARTBEATS
        self._task = hub.services.supervise(self._run, "presence")

    def _renew(self) -> None:
        self._store = Store(self._description)
        self._thread = DatabaseThread("realtime-presence")

    @property
    def is_down(self) -> bool:
        """Whether the database is known not to have what this process knows."""
        return self._down_since is not None

    @property
    def server_id(self) -> str | None:
        """The primary key of this server's row, unless that is still to be written."""
        return None if self._behind else self._hub.server_id

    async def wait_written(self) -> None:
        """Wait until what was noted is written; not while the database is known to be down."""
        if self._closed or self._down_since is not None:
            return
        waiting = self._changes if self._behind or self._changes else self._in_flight
        if waiting is not None:
            waiter = self._hub.loop.create_future()
            waiting.waiters.append(waiter)
            await waiter

    async def idle(self) -> None:
        """
        Wait until all that is noted is written, with a heartbeat that begins after this call,
        however long that takes.
        """
        waiter = self._hub.loop.create_future()
        self._idle.append(waiter)
        self._wake.set()
        await waiter

    # Writing

    async def _run(self) -> None:
        while True:
            try:
                if self._behind:
                    await self._start_anew()
                await self._write()
                await self._sweep()
            except Exception as error:
                await self._fail(error)
            await self._rest()

    async def _start_anew(self) -> None:
        """Register this server, and note all sockets that it has, here or away."""
        restored = self._down_since is not None
        sockets = self._hub.registry.sockets
        complete = self._is_new and not any(socket.observed for socket in sockets.values())
        self._is_new = False
        register = partial(self._store.register, complete=complete, restored=restored)
        await self._in_thread(register)
        self._complete, self._restored = complete, restored
        self._behind = False
        for socket in sockets.values():
            if socket.observed:
                self._note(self._changes.come_back, socket)
        if self._hub.sessions is not None:
            for session in self._hub.sessions.counted():
                self._note_session(session)
        self._next_sweep = self._hub.loop.time() + self._heartbeat * random.uniform(1, 2)

    async def _write(self) -> None:
        """Write what is noted, and the heartbeat where it is due."""
        self._wake.clear()
        self._remove_departed(self._hub.loop.time() - self._lifetime)
        idle = tuple(self._idle)
        batch = self._in_flight = self._changes.pop(BATCH)
        started = self._hub.loop.time()
        beat = self._next_state(started)
        if batch or beat:
            await self._in_thread(partial(self._store.write, batch, beat=beat))
        self._in_flight = None
        batch.release()
        if beat is not None:
            self._next_beat = started + self._heartbeat * random.uniform(0.8, 1)
            self._complete |= beat.complete
            self._restored |= beat.restored
        self._pause = min(MAX_PAUSE, (self._hub.loop.time() - started) * (1 / SHARE - 1))
        self._given_up = 0
        if not self._changes.opened:
            self._note_up()
        if not self._changes:
            self._release_idle(idle)

    def _next_state(self, now: float) -> Beat | None:
        """Return the heartbeat that is to be written with what was taken from the changes."""
        is_last = not self._changes.opened
        complete = is_last and not self._complete
        restored = is_last and self._down_since is not None and not self._restored
        if complete or restored or self._idle or now >= self._next_beat:
            return Beat(complete, restored)
        return None

    def _release_idle(self, waiters: Iterable[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            self._idle.remove(waiter)
            if not waiter.done():
                waiter.set_result(None)

    async def _sweep(self) -> None:
        """Remove rows of a dead server from time to time, a part of them if there are many."""
        loop = self._hub.loop
        if loop.time() < self._next_sweep:
            return
        try:
            swept = await self._in_thread(self._store.sweep)
        except DatabaseError as error:  # such as another server that does the same
            log(logging.WARNING, "presence-sweep-failed", error=repr(error))
            swept = None
        if swept is None or swept.done:
            self._next_sweep = loop.time() + self._heartbeat * random.uniform(0.5, 1.5)
        if swept is not None and swept.done:
            log(logging.INFO, "presence-swept", server=swept.server)

    async def _rest(self) -> None:
        """Wait until there is something to do, and long enough for other things to be done."""
        if self._behind:
            await asyncio.sleep(self._pause)
            return
        if self._pause:
            await asyncio.sleep(self._pause)
        if not self._changes:
            due = min(self._next_beat, self._next_sweep)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()

    async def _in_thread(self, function: Callable[..., Result], *args: object) -> Result:
        """
        Call a function in the database's thread; nobody waits for one that takes long.

        Raises TimeoutError for one that takes as long as a server lives without a heartbeat: its
        thread and connection are given up.
        """
        impatience = self._hub.loop.call_later(PATIENCE, self._lose_patience)
        try:
            async with asyncio.timeout(self._lifetime * min(2**self._given_up, MAX_PATIENCE)):
                return await self._thread.run(function, *args)
        except TimeoutError:
            self._give_up()
            raise
        finally:
            impatience.cancel()

    def _give_up(self) -> None:
        """Take a new thread with a new connection, and let the old one write nothing more."""
        log(logging.WARNING, "presence-given-up", error="its connection is silent")
        self._given_up += 1
        self._store.retired = True
        self._thread.abandon()
        self._renew()

    # The database's state

    async def _fail(self, error: Exception) -> None:
        """Start anew, soon; unless that might help at once, nobody waits for it."""
        self._changes = self._forget()
        self._departed.clear()
        self._in_flight = None
        self._behind = True
        self._failures += 1
        if self._failures == 1 and isinstance(error, (Lost, IntegrityError)):
            log(logging.WARNING, "presence-lost", error=repr(error))
            self._pause = 0.0
            return
        pause = min(MAX_RETRY, self._lifetime, MIN_RETRY * 2**self._failures)
        self._pause = pause * random.uniform(0.5, 1)
        if self._note_down():
            log(logging.ERROR, "presence-down", error=repr(error), hint=await self._explain())

    async def _explain(self) -> str:
        """Return what brings presence back."""
        try:
            return await self._in_thread(self._store.explain)
        except TimeoutError:
            return "presence comes back with the database"

    def _forget(self) -> Changes:
        """Return no changes, with those who wait for what was noted."""
        changes = Changes()
        for waiting in (self._in_flight, self._changes):
            if waiting is not None:
                changes.waiters += waiting.waiters
        return changes

    def _lose_patience(self) -> None:
        if self._note_down():
            log(logging.ERROR, "presence-down", error=f"no answer within {PATIENCE} seconds")

    def _note_down(self) -> bool:
        """Let nobody wait any more; tell if that is new."""
        is_new = self._down_since is None
        if is_new:
            self._down_since = self._hub.loop.time()
            self._release()
        return is_new

    def _release(self) -> None:
        self._changes.release()
        if self._in_flight is not None:
            self._in_flight.release()

    def _note_up(self) -> None:
        self._failures = 0
        self._restored = False
        if self._down_since is not None:
            seconds = round(self._hub.loop.time() - self._down_since, 1)
            self._down_since = None
            log(logging.INFO, "presence-back", after=seconds)

    # The end

    async def close(self) -> None:
        """Remove all rows of this server, unless the database takes too long."""
        self._task.cancel()
        self._closed = True
        self._release()
        self._release_idle(tuple(self._idle))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._thread.run(self._store.remove)
                await self._thread.run(connections.close_all)
        except Exception as error:
            log(logging.WARNING, "presence-left-behind", error=repr(error))
        self._thread.stop()
