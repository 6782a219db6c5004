"""
SQL for many rows of one table, in one call.

Every client that comes and goes passes here, and Django's ORM takes ten times as long to make such
a statement as the database to carry it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import Field, ForeignKey, Model

from ..fields import ExactCharField


class Statement:
    """A statement of one model, with a parameter for each of `fields`; made in its thread."""

    def __init__(self, alias: str, model: type[Model], template: str, *fields: str) -> None:
        self._connection = connections[alias]
        quote = self._connection.ops.quote_name
        found: list[Field[Any, Any]] = [model._meta.get_field(name) for name in fields]  # type: ignore[misc]
        columns = [quote(str(field.column)) for field in found]
        self._sql = template.format(
            *columns,
            table=quote(model._meta.db_table),
            columns=", ".join(columns),
            values=", ".join(["%s"] * len(columns)),
        )
        # How each value becomes what the database takes. Texts are that already.
        self._prepare: list[Callable[[Any], Any] | None] = [
            None
            if _is_text(field)
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


def _is_text(field: Field[Any, Any]) -> bool:
    """Tell whether a field is a text, or refers to one."""
    return type(field.target_field if isinstance(field, ForeignKey) else field) is ExactCharField


INSERT = "INSERT INTO {table} ({columns}) VALUES ({values})"
DELETE = "DELETE FROM {table} WHERE {0} = %s"
DELETE_PAIR = "DELETE FROM {table} WHERE {0} = %s AND {1} = %s"
UPDATE = "UPDATE {table} SET {0} = %s WHERE {1} = %s"
