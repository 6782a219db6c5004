"""Counts that stop at a bound, so that no page reads a big table in full."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.formats import number_format

# Rows that a list counts, and pages through.
MANY = 10_000

# Sockets of one server that are counted: about as many as a process holds.
MANY_OF_A_SERVER = 100_000


class Number(NamedTuple):
    """A number of rows: `counted`, and whether there are `more`."""

    counted: int
    more: bool

    @classmethod
    def of(cls, found: int, bound: int) -> Number:
        """Return the number for a count that went up to one more than the bound."""
        return cls(min(found, bound), found > bound)

    def __str__(self) -> str:
        return number_format(self.counted, force_grouping=True) + ("+" if self.more else "")


def count(queryset: QuerySet[Any], bound: int = MANY) -> Number:
    """Return how many rows there are, up to a bound."""
    return Number.of(queryset.order_by()[: bound + 1].count(), bound)


def count_each(querysets: Sequence[QuerySet[Any]], bound: int = MANY) -> list[Number]:
    """
    Return how many rows each of some querysets of a model has, up to a bound, in one query.

    Each count stands for itself in a UNION. A subquery of a list's query could not do this: that
    a table made by LIMIT refers to the row around it is more than MariaDB understands.
    """
    if not querysets:
        return []
    alias = querysets[0].db  # a router may name another replica each time
    counts, params = [], []
    for number, queryset in enumerate(querysets):
        rows = queryset.order_by().values("pk")[: bound + 1]
        sql, its_params = rows.query.get_compiler(alias).as_sql()
        counts.append(f"SELECT {number}, COUNT(*) FROM ({sql}) counted")
        params += its_params
    with connections[alias].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts), params)
        found = dict(cursor.fetchall())
    return [Number.of(found[number], bound) for number in range(len(counts))]


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the first rows only; a search or a filter leads to the others."""

    @cached_property
    def total(self) -> Number:
        """How many rows there are, for people."""
        return count(cast("QuerySet[Any]", self.object_list))

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        return self.total.counted
