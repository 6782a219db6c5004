"""Until when users were connected, noted as the rows of their sockets go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections

from ..fields import DatabaseNow
from ..models import SeenUser, Server, Socket
from .statements import INSERT, Statement, TextsStatement

# The sockets of a server that is dead were there as long as itself.
FIND = """
SELECT {socket}.{user}, MAX(CASE WHEN {server}.{id} = %s THEN {now} ELSE {server}.{beat} END)
FROM {socket} INNER JOIN {server} ON {server}.{id} = {socket}.{its_server}
WHERE {socket}.{sid} IN ([texts]) AND {socket}.{user} IS NOT NULL
GROUP BY {socket}.{user}
"""

# What was noted of a later moment stays. What is new has another name in MariaDB and MySQL.
ON_CONFLICT = """
ON CONFLICT ({0}) DO UPDATE SET {1} =
CASE WHEN EXCLUDED.{1} > {table}.{1} THEN EXCLUDED.{1} ELSE {table}.{1} END
"""
ON_DUPLICATE_KEY = " ON DUPLICATE KEY UPDATE {1} = GREATEST({1}, VALUES({1}))"


class SeenUsers:
    """What is executed for sockets that are about to go; made in its thread."""

    def __init__(self, server_id: str, alias: str) -> None:
        self._server_id = server_id
        connection = connections[alias]
        self._find = TextsStatement(alias, Socket, _find(alias))
        conflict = ON_DUPLICATE_KEY if connection.vendor == "mysql" else ON_CONFLICT
        self._note = Statement(alias, SeenUser, INSERT + conflict, "user", "seen_at", raw=True)

    def note(self, sids: Sequence[str]) -> None:
        """
        Note until when the users of these sockets were there: until now, where this server has
        them.

        It is for the time before any of their rows is locked, which is the order in which Django
        deletes a user. Servers that note the same users do it in one order, so that they wait for
        each other and do not lock each other out.
        """
        moments: dict[Any, Any] = {}
        for user, moment in self._find.rows(sids, self._server_id):
            moments[user] = max(moment, moments.get(user, moment))
        self._note.execute(sorted(moments.items()))


def _find(alias: str) -> str:
    """Return the statement that finds the users of sockets, and until when they were there."""
    connection = connections[alias]
    compiler = SeenUser._base_manager.using(alias).query.get_compiler(alias)
    now, _ = compiler.compile(DatabaseNow())
    names = {
        "socket": Socket._meta.db_table,
        "sid": Socket._meta.get_field("sid").column,
        "user": Socket._meta.get_field("user").column,
        "its_server": Socket._meta.get_field("server").column,
        "server": Server._meta.db_table,
        "id": Server._meta.get_field("id").column,
        "beat": Server._meta.get_field("seen_at").column,
    }
    quoted = {key: connection.ops.quote_name(str(name)) for key, name in names.items()}
    return FIND.format(now=now, **quoted)
