"""Sessions in Redis: of clients that are here, too, since nobody says when a process is killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from ..cluster.envelopes import Emit, encode, pack
from ..cluster.log_layer import Job, LogLayer
from ..cluster.log_scripts import FORGET, SAVE
from ..cluster.streams import stream_name
from ..execution.tasks import Tasks
from ..logs import log
from ..utils.limits import LogLimiter
from .forms import Packer, Parcel, decode_parcel, encode_parcel
from .places import number_of
from .session import Session
from .streams import StreamLog

# How long a client's start, or an acknowledgement, waits for what is written.
TIMEOUT = 5.0

# How long until what could not be written is tried again.
PAUSE = 0.5

# Sessions whose time is renewed in one go.
RENEWED = 500


class Store:
    """
    Writes the sessions of the hub `server`, and reads those of hubs that are gone. They are kept
    for so many `seconds`; `now` is the loop's clock.

    A session has one owner at a time. Who writes one that is another's is told by `stolen(pid)`.
    """

    def __init__(
        self,
        server: str,
        events: StreamLog,
        tasks: Tasks,
        seconds: float,
        *,
        now: Callable[[], float],
        stolen: Callable[[str], object],
    ) -> None:
        self._server = server
        self._events = events
        self._tasks = tasks
        self._milliseconds = round(seconds * 1000)
        self._now = now
        self._stolen = stolen
        # What is to be written, by pids: what makes a session, and whose it may have been.
        self._dirty: dict[str, Any] = {}
        # Whose sessions were that have come here, until that is written.
        self._before: dict[str, str] = {}
        self._writing: asyncio.Task[None] | None = None
        # Whether the last attempt has failed, and what is set after each.
        self._is_failing = False
        self._tried = asyncio.Event()
        self._faults = LogLimiter()

    @property
    def _layer(self) -> LogLayer:
        return self._events.layer

    # Writing

    def touch(self, pid: str, make: Any) -> None:
        """Write a session soon: what `make` returns then, or nothing where that is None."""
        self._dirty[pid] = make
        if self._writing is None:
            self._writing = self._tasks.spawn(self._write())

    def take_over(self, pid: str, before: str) -> None:
        """Take note that a session is of this server now, which was another one's."""
        self._before[pid] = before

    def let_go(self, pid: str) -> None:
        """Write nothing more of a session: it is another server's."""
        self._dirty.pop(pid, None)
        self._before.pop(pid, None)

    async def _write(self) -> None:
        """Write what is to be written, once all that is done in this turn is done."""
        try:
            while self._dirty:
                if self._is_failing:
                    await asyncio.sleep(PAUSE)
                dirty, self._dirty = self._dirty, {}
                try:
                    async with asyncio.timeout(TIMEOUT):
                        await self._write_all(dirty)
                    self._is_failing = False
                except Exception as error:
                    self._note_not_stored(error)
                    self._dirty = {**dirty, **self._dirty}
                    self._is_failing = True
                self._tried.set()
        finally:
            self._writing = None
            self._tried.set()

    def _note_not_stored(self, error: object) -> None:
        if self._faults.should_log():
            log(logging.WARNING, "session-not-stored", error=repr(error))

    async def _write_all(self, dirty: dict[str, Any]) -> None:
        commands, pids = [], []
        for pid, make in dirty.items():
            session = make()
            if session is not None:
                commands.append(self._save(session, self._before.get(pid, session.owner)))
                pids.append(pid)
        if not commands:
            return
        answers = await self._layer.run(*commands)
        for pid, answer in zip(pids, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            self._before.pop(pid, None)
            if not answer:
                self._stolen(pid)

    def _save(self, session: Session, before: str) -> tuple[Any, ...]:
        seen = number_of(self._events.number)
        packer = Packer(self._server, self._now(), seen)
        packer.add(session, [])
        key = self._layer.session(session.pid)
        body = encode_parcel(packer.parcel)
        return "EVAL", SAVE, 1, key, self._server, before, body, self._milliseconds

    async def flush(self) -> None:
        """Wait until what was touched so far is written, or cannot be, but not for long."""
        if self._writing is None or self._is_failing:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                while self._writing is not None and not self._is_failing:
                    self._tried.clear()
                    await self._tried.wait()

    async def begin(
        self, session: Session, before: str, place: int, packets: Iterable[Emit]
    ) -> bool:
        """
        Write a session whose client is let in, and the events that it gets then, behind `place`;
        tell whether that is done. It may have been the server's `before`.
        """
        name = stream_name(session.namespace, session.sid)
        bodies = [encode(packet) for packet in packets]
        jobs = []
        if bodies:
            message = pack(self._server, name, 0, 0, bodies)
            jobs.append(Job("", message, (name,), len(bodies), None, number_of(place)))
        self._dirty.pop(session.pid, None)
        try:
            async with asyncio.timeout(TIMEOUT):
                saved, answers = await asyncio.gather(
                    self._layer.run(self._save(session, before)), self._layer.publish(jobs)
                )
        except Exception as error:
            self._note_not_stored(error)
            return False
        refused = [each for each in (*saved, *answers) if isinstance(each, Exception)]
        if refused:
            self._note_not_stored(refused[0])
        return not refused and bool(saved[0])

    def forget(self, pid: str, before: str = "") -> None:
        """Remove a session of this hub; that may not be written yet, and it `before`'s there."""
        self.let_go(pid)
        self._tasks.spawn(self._forget(pid, before))

    async def _forget(self, pid: str, before: str) -> None:
        await self.flush()
        key = self._layer.session(pid)
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._layer.run(("EVAL", FORGET, 1, key, self._server, before))
        except Exception as error:
            log(logging.DEBUG, "layer-error", error=repr(error))

    async def renew(self, pids: Iterable[str]) -> None:
        """Give sessions their time anew."""
        keys = [self._layer.session(pid) for pid in pids]
        try:
            for start in range(0, len(keys), RENEWED):
                async with asyncio.timeout(TIMEOUT):
                    await self._layer.run(
                        *(
                            ("PEXPIRE", key, self._milliseconds)
                            for key in keys[start : start + RENEWED]
                        )
                    )
        except Exception as error:
            self._note_not_stored(error)

    # Reading

    async def find(self, pid: str) -> tuple[str, Parcel] | None:
        """Return whose a session is, and what it is, or None."""
        try:
            async with asyncio.timeout(TIMEOUT):
                ((owner, body),) = await self._layer.run(
                    ("HMGET", self._layer.session(pid), "o", "s")
                )
        except Exception as error:
            log(logging.DEBUG, "layer-error", error=repr(error))
            return None
        if owner is None or body is None:
            return None
        return owner.decode(), decode_parcel(body)
