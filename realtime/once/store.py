"""Events that are handled once, in the database. All of it blocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError, router, transaction
from django.db.models import Q, QuerySet

from ..conf import get_settings
from ..fields import DatabaseNow
from ..models import HandledEvent, lifetime
from ..presence.deadlocks import made_again
from ..protocol.names import MAX_LENGTH
from ..sockets.attempts import Attempt, Found, State
from .allowances import Allowances

# Rows that are removed at a time.
CHUNK = 500

# How often a claim is made again whose row came or went just then.
ATTEMPTS = 10


class Row(NamedTuple):
    """What is read of an event, with the time by the database's clock."""

    attempt: str
    arguments: str
    answer: bytes | None
    seen_at: datetime
    now: datetime


def window() -> timedelta:
    """Return how long an event is kept after it was handled."""
    return timedelta(seconds=get_settings().ONCE_SECONDS)


class DatabaseStore:
    """
    Keeps tries and answers as rows of `HandledEvent`, for all processes. Any thread may call it.

    The primary key decides which of two tries is the first. Each of them is one statement, which
    is in effect when it returns: no transaction of a handler holds it back.
    """

    def __init__(self) -> None:
        self._alias = router.db_for_write(HandledEvent)
        self._allowances = Allowances(self._count)

    @property
    def _rows(self) -> QuerySet[HandledEvent]:
        return HandledEvent.objects.using(self._alias)

    def claim(self, attempt: Attempt) -> Found:
        """
        Note that a try is the first with its key, or return what is known of another one.

        It may be called again for the same try, such as where nobody knows whether it was noted.
        """
        for _ in range(ATTEMPTS):
            row = self._read(attempt.key)
            if row is None:
                if not self._allowances.take(attempt.owner):
                    return Found(State.FULL)
                noted = self._insert(attempt)
            elif row.attempt == attempt.token:
                return Found(State.CLAIMED)
            elif row.now - row.seen_at >= window():
                noted = self._replace(attempt, row)
            else:
                return _look(attempt, row)
            if noted:
                return Found(State.CLAIMED)
        return Found(State.RUNNING)

    def _read(self, key: str) -> Row | None:
        found = self._rows.filter(pk=key).values_list(
            "attempt", "arguments", "answer", "seen_at", DatabaseNow()
        )
        return next((Row(*values) for values in found), None)

    @made_again
    def _insert(self, attempt: Attempt) -> bool:
        """Tell whether there was no row, and this one is there now."""
        try:
            with transaction.atomic(using=self._alias):
                self._rows.create(key=attempt.key, **_fields(attempt))
        except IntegrityError:
            return False
        return True

    @made_again
    def _replace(self, attempt: Attempt, row: Row) -> bool:
        """Tell whether the row, which nobody asks for any more, is this try's now."""
        old = self._rows.filter(pk=attempt.key, attempt=row.attempt)
        old = old.filter(seen_at__lte=DatabaseNow() - window())
        return bool(old.update(answer=None, **_fields(attempt)))

    @made_again
    def finish(self, attempt: Attempt, answer: bytes) -> None:
        """Keep the answer of a try that has run."""
        mine = self._rows.filter(pk=attempt.key, attempt=attempt.token)
        mine.update(answer=answer, seen_at=DatabaseNow())

    @made_again
    def release(self, attempt: Attempt) -> None:
        """Forget a try that came to nothing: the next one is the first."""
        self._rows.filter(pk=attempt.key, attempt=attempt.token).delete()

    @made_again
    def renew(self, attempts: Sequence[Attempt]) -> None:
        """Note that tries are still running."""
        for start in range(0, len(attempts), CHUNK):
            some = attempts[start : start + CHUNK]
            mine = self._rows.filter(
                pk__in=[attempt.key for attempt in some],
                attempt__in=[attempt.token for attempt in some],
                answer=None,
            )
            mine.update(seen_at=DatabaseNow())

    @made_again
    def sweep(self) -> bool:
        """Remove what nobody asks for any more, a part of it; tell whether that was all."""
        old = self._rows.filter(seen_at__lt=DatabaseNow() - window())
        keys = list(old.values_list("pk", flat=True)[:CHUNK])
        if keys:
            old.filter(pk__in=keys).delete()
        return len(keys) < CHUNK

    def _count(self, owner: str | None, most: int) -> int:
        """Return how many rows there are, of one owner or of all; no more than `most`."""
        whose = Q() if owner is None else Q(owner=owner)
        recent = self._rows.filter(whose, seen_at__gt=DatabaseNow() - window())
        return recent.values("pk")[:most].count()


def _fields(attempt: Attempt) -> dict[str, object]:
    return {
        "owner": attempt.owner,
        "namespace": attempt.namespace,
        "event": attempt.event.replace("\0", "")[:MAX_LENGTH],
        "arguments": attempt.arguments,
        "server": attempt.server,
        "attempt": attempt.token,
        "seen_at": DatabaseNow(),
    }


def _look(attempt: Attempt, row: Row) -> Found:
    if row.arguments != attempt.arguments:
        return Found(State.OTHER)
    if row.answer is not None:
        return Found(State.HANDLED, bytes(row.answer))
    return Found(State.RUNNING if row.now - row.seen_at < lifetime() else State.SILENT)
