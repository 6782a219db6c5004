"""
What databases do each in a way of its own, done the same way in all: exact texts, and the time.

MariaDB and MySQL take "a", "A", "á" and "a " for the same text, and SQLite and they keep moments
without a time zone, in one that is not always that of their clock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import CharField, DateTimeField, Func, lookups
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    Text = CharField[str, str]
    Time = DateTimeField[str | datetime | Combinable, datetime]
else:
    Text = CharField
    Time = DateTimeField

# For texts that are looked for without regard to case, in both MariaDB and MySQL.
IGNORING_CASE = "utf8mb4_unicode_520_ci"


class ExactCharField(Text):
    """A text that is equal to itself alone, and may have any character, in every database."""

    def db_parameters(self, connection: Any) -> Any:
        """Return how the column is made."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
            parameters["collation"] = exact
        return parameters


class _IgnoresCase:
    """For lookups that leave it to the column to ignore case, which these columns do not."""

    def process_lhs(self, compiler: Any, connection: Any, lhs: Any = None) -> Any:
        sql, params = super().process_lhs(compiler, connection, lhs)  # type: ignore[misc]
        return (f"{sql} COLLATE {IGNORING_CASE}" if connection.vendor == "mysql" else sql), params


@ExactCharField.register_lookup
class IExact(_IgnoresCase, lookups.IExact):
    """The lookup `iexact`: equal but for case."""


@ExactCharField.register_lookup
class IContains(_IgnoresCase, lookups.IContains):
    """The lookup `icontains`: contained but for case."""


@ExactCharField.register_lookup
class IStartsWith(_IgnoresCase, lookups.IStartsWith):
    """The lookup `istartswith`: at the start but for case."""


@ExactCharField.register_lookup
class IEndsWith(_IgnoresCase, lookups.IEndsWith):
    """The lookup `iendswith`: at the end but for case."""


class DatabaseTimeField(Time):
    """
    A moment of the database's clock: what `DatabaseNow` gives.

    A database without time zones keeps it in UTC, whatever zone the settings name. So it makes no
    jump when summer time begins or ends. Python sees it as it sees any other moment.
    """

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return what the database takes."""
        if not prepared:
            value = self.get_prep_value(value)
        if value is not None and not connection.features.supports_timezones:
            if timezone.is_naive(value):
                value = timezone.make_aware(value, timezone.get_default_timezone())
            value = timezone.make_naive(value, UTC)
        return connection.ops.adapt_datetimefield_value(value)

    def from_db_value(self, value: datetime | None, expression: Any, connection: Any) -> Any:
        """Return a moment as Python sees it: aware where USE_TZ is set."""
        if value is None or connection.features.supports_timezones:
            return value
        value = value.replace(tzinfo=UTC)
        if settings.USE_TZ:
            return value
        return timezone.make_naive(value, timezone.get_default_timezone())


class DatabaseNow(Func):
    """This moment by the database's clock; what Django's `Now` gives may be of another zone."""

    template = "CURRENT_TIMESTAMP"
    output_field = DatabaseTimeField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return SQL for now, and not for the moment at which the transaction began."""
        return self.as_sql(compiler, connection, template="STATEMENT_TIMESTAMP()", **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return SQL for now in UTC, and not in the zone of the machine or of the session."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return SQL for now to the millisecond; SQLite's own CURRENT_TIMESTAMP has seconds."""
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW')"
        return self.as_sql(compiler, connection, template=template, **context)
