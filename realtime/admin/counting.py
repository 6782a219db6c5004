"""Counts that stop at a bound, so that no page reads a big table in full."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, cast

from django.core.paginator import Paginator
from django.db.models import IntegerField, QuerySet, Subquery
from django.utils.formats import number_format

# Rows that a list counts, and pages through.
MANY = 10_000

# Sockets of one server that are counted: about as many as a process holds.
MANY_OF_A_SERVER = 100_000


class Number(NamedTuple):
    """How many there are: `counted`, and whether there are `more`."""

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


class CountUpTo(Subquery):
    """
    How many rows a queryset has for each row of the outer query, up to one more than a bound.

    `Number.of` reads it.
    """

    template = "(SELECT COUNT(*) FROM (%(subquery)s) _counted)"

    def __init__(self, queryset: QuerySet[Any], bound: int) -> None:
        super().__init__(queryset.order_by()[: bound + 1], output_field=IntegerField())


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
