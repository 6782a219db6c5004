"""
Catching up: what was sent while the connection on which a hub hears was broken.

Redis' channels keep nothing, but the log has it: it is read there, and taken before what has come
since. So clients that are connected miss nothing either.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from ..logs import log
from .envelopes import Command, open_parcel, unpack
from .log_entries import LogEntry, read_entry, why_incomplete
from .log_layer import LogLayer, read_number
from .streams import stream_name

# Streams that are asked for in one go, and bytes of messages that are taken at all.
STREAMS = 200
MAX_BYTES = 64 * 1024 * 1024


class Receiver(Protocol):
    """What takes messages of the layer."""

    @property
    def logged_upto(self) -> int:
        """The last number of the log that came."""

    @property
    def holding(self) -> bool:
        """Whether what comes is kept for later."""

    def hold(self) -> None:
        """Keep what comes, from now on."""

    def release(self, missed: Iterable[Any]) -> None:
        """Take messages that did not come, and then what was kept."""


class CatchingUp:
    """
    Reads what is for the clients of `namespaces()`, once all that comes is heard again.

    `streams()` returns the streams of that, each with the group by which it comes.
    """

    def __init__(self, layer: Callable[[], LogLayer], receiver: Receiver) -> None:
        self.streams: Callable[[], Iterable[tuple[str, str]]] = tuple
        self.namespaces: Callable[[], Iterable[str]] = tuple
        self._layer = layer
        self._receiver = receiver
        # Which Redis it is: one that was started anew may have forgotten what it was given.
        self._run = ""
        # Since which numbers groups were heard before.
        self._since: dict[str, int] = {}

    def begin(self) -> None:
        """Take note that something may be published now that is not heard here."""
        if not self._receiver.holding:
            self._since = dict(self._layer().since)
            self._receiver.hold()

    async def finish(self) -> bool:
        """
        Take what was published since, once all is heard again; tell whether that is everything.

        Raises redis-py's errors, and OSError.
        """
        before, self._run = self._run, await self._layer().run_id()
        if not self._receiver.holding:
            return True
        missed: dict[int, bytes] = {}
        if before != self._run or not before:
            why = "Redis was started anew"
        else:
            why = await self._read(missed)
        if why:
            log(logging.WARNING, "log-not-caught-up", error=why)
        decode = msgspec.msgpack.decode
        self._receiver.release(decode(missed[number]) for number in sorted(missed))
        return not why

    async def _read(self, missed: dict[int, bytes]) -> str:
        """Read what was missed; return why that is not everything, or an empty text."""
        after, known, why = self._receiver.logged_upto, set[str](), ""
        # What was sent to a group before it was heard here is for nobody here.
        since = {**self._layer().since, **self._since}
        new = {name: max(after, since.get(group, after)) for name, group in self.streams()}
        while new:
            known |= new.keys()
            asked, found = list(new.items()), dict[int, bytes]()
            for start in range(0, len(asked), STREAMS):
                for problem, entries in await self._ask(asked[start : start + STREAMS]):
                    why = problem or why
                    found |= {each.number: each.message for each in entries if not each.behind}
            missed |= found
            if sum(map(len, missed.values())) > MAX_BYTES:
                missed.clear()
                return f"more than {MAX_BYTES} bytes were sent meanwhile"
            new = {name: after for name in self._joined(found.values()) if name not in known}
        return why

    def _joined(self, messages: Iterable[bytes]) -> Iterator[str]:
        """Yield the streams of rooms that clients of this hub may have been made to join."""
        for message in messages:
            for envelope in unpack(open_parcel(msgspec.msgpack.decode(message))):
                if isinstance(envelope, Command) and envelope.action == "join":
                    spaces = [envelope.namespace] if envelope.namespace else self.namespaces()
                    for space, room in itertools.product(spaces, envelope.names):
                        yield stream_name(space, room)

    async def _ask(self, asked: list[tuple[str, int]]) -> list[tuple[str, list[LogEntry]]]:
        """Return for each stream what it has behind its number, and why that is not all."""
        layer, commands = self._layer(), list[tuple[Any, ...]]()
        for name, after in asked:
            stream, known = layer.stream(name), layer.known(name)
            commands += (
                ("HGET", known, "l"),
                ("XRANGE", stream, after + 1, "+"),
                ("HGET", known, "d"),
            )
        answers = await layer.run(*commands)
        found, parts = [], zip(answers[::3], answers[1::3], answers[2::3], strict=True)
        for (_, after), (newest, raw, dropped) in zip(asked, parts, strict=True):
            if isinstance(raw, Exception):
                raise raw
            entries = list(map(read_entry, raw))
            why = why_incomplete(after, read_number(newest), read_number(dropped), entries)
            found.append((why, entries))
        return found
