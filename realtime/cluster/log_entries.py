"""Entries of the log's streams, as Redis returns them (see `log_scripts.APPEND`)."""

from __future__ import annotations

from typing import Any, NamedTuple


class LogEntry(NamedTuple):
    """
    A layer message in the log: the `number` of its first event, how many `events` it has, its
    bytes, and the number that they all stand `behind`, if any: then it was published to nobody.
    """

    number: int
    events: int
    message: bytes
    behind: int | None

    @property
    def last(self) -> int:
        """The number of its last event."""
        return self.number + self.events - 1


def read_entry(entry: Any) -> LogEntry:
    """Return what Redis' answer says of one entry."""
    id, fields = entry
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    behind = values.get(b"r")
    number = int(id.partition(b"-")[0])
    return LogEntry(number, int(values[b"c"]), values[b"m"], int(behind) if behind else None)


def why_incomplete(after: int, newest: int, dropped: int, entries: list[LogEntry]) -> str:
    """
    Return what is wrong with a stream's entries behind the number `after`, or an empty text.

    `newest` is its last number, `dropped` the last that had to go before its time.
    """
    if dropped > after:
        return "too much was sent since"
    if newest > after and max((entry.last for entry in entries), default=0) < newest:
        return "the log has lost it"
    return ""
