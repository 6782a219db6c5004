"""
SQL for many rows of one table, in few calls.

Every client that comes and goes passes here, and Django's ORM takes ten times as long to make such
a statement as the database to carry it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import Field, ForeignKey, JSONField, Model
from django.db.models.constants import OnConflict

from ..fields import ExactCharField

# Texts in one statement.
AT_ONCE = 500


class Statement:
    """
    A statement of one model, with a parameter for each of `fields`; made in its thread.

    Values that are `raw` are those of the database's own already, as it has returned them.

    A template may have `{upsert}`: what it inserts replaces the row with the same first field.
    """

    def __init__(
        self, alias: str, model: type[Model], template: str, *fields: str, raw: bool = False
    ) -> None:
        self._connection = connections[alias]
        quote = self._connection.ops.quote_name
        found: list[Field[Any, Any]] = [model._meta.get_field(name) for name in fields]  # type: ignore[misc]
        columns = [quote(str(field.column)) for field in found]
        self._sql = template.format(
            *columns,
            table=quote(model._meta.db_table),
            columns=", ".join(columns),
            values=", ".join(["%s"] * len(columns)),
            upsert=self._connection.ops.on_conflict_suffix_sql(
                found,
                OnConflict.UPDATE,
                [str(field.column) for field in found[1:]],
                [str(found[0].column)],
            ),
        )
        # How each value becomes what the database takes. Texts are that already, those of JSON too.
        self._prepare: list[Callable[[Any], Any] | None] = [
            None
            if raw or _is_text(field)
            else partial(field.get_db_prep_save, connection=self._connection)
            for field in found
        ]

    def execute(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Execute it for each row of parameters."""
        prepared = [
            [
                value if prepare is None else prepare(value)
                for value, prepare in zip(row, self._prepare, strict=True)
            ]
            for row in rows
        ]
        if prepared:
            with self._connection.cursor() as cursor:
                cursor.executemany(self._sql, prepared)


class TextsStatement:
    """
    A statement for the rows that have one of many texts in a field, where its template has
    `[texts]`; there is a parameter for each other field, which are texts too. Made in its thread.

    Where a client of a database sends one statement after the other, as that of MariaDB and MySQL
    does, this is much faster than a statement for each row.
    """

    def __init__(self, alias: str, model: type[Model], template: str, *fields: str) -> None:
        self._connection = connections[alias]
        quote = self._connection.ops.quote_name
        columns = [quote(str(model._meta.get_field(name).column)) for name in fields]  # type: ignore[union-attr]
        self._sql = template.format(*columns, table=quote(model._meta.db_table))

    def execute(self, texts: Sequence[str], *others: str) -> None:
        """Execute it for all of these texts."""
        for _ in self._execute(texts, others):
            pass

    def find(self, texts: Sequence[str], *others: str) -> list[str]:
        """Return the first column of the rows that it selects."""
        return [row[0] for row in self.rows(texts, *others)]

    def rows(self, texts: Sequence[str], *others: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that it selects."""
        for cursor in self._execute(texts, others):
            yield from cursor.fetchall()

    def _execute(self, texts: Sequence[str], others: tuple[str, ...]) -> Iterator[Any]:
        for start in range(0, len(texts), AT_ONCE):
            some = texts[start : start + AT_ONCE]
            marks = ", ".join(["%s"] * len(some))
            with self._connection.cursor() as cursor:
                cursor.execute(self._sql.replace("[texts]", marks), [*others, *some])
                yield cursor


def _is_text(field: Field[Any, Any]) -> bool:
    """Tell whether a field is a text, or refers to one, or is JSON, which is given as its text."""
    target = field.target_field if isinstance(field, ForeignKey) else field
    return type(target) in (ExactCharField, JSONField)


INSERT = "INSERT INTO {table} ({columns}) VALUES ({values})"
UPSERT = INSERT + " {upsert}"
DELETE = "DELETE FROM {table} WHERE {0} IN ([texts])"
DELETE_PAIR = "DELETE FROM {table} WHERE {0} = %s AND {1} = %s"
UPDATE = "UPDATE {table} SET {0} = %s WHERE {1} = %s AND {2} IN ([texts])"
UPDATE_ONE = "UPDATE {table} SET {0} = %s WHERE {1} = %s AND {2} = %s"
SELECT = "SELECT {0} FROM {table} WHERE {0} IN ([texts]) ORDER BY {0}"
SELECT_WITH = "SELECT {1} FROM {table} WHERE {0} = %s AND {1} IN ([texts]) ORDER BY {1}"
