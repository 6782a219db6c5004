"""Until when users were connected, noted as the rows of their sockets go."""

from __future__ import annotations

from django.db import connections

from ..fields import DatabaseNow
from ..models import SeenUser, Server, Socket
from .statements import TextsStatement

# Users in one order, so that servers that note the same ones wait for each other and do not lock
# each other out. The sockets of a dead server were there as long as itself.
NOTE = """
INSERT INTO {seen} ({user}, {at})
SELECT {socket}.{its_user}, MAX(CASE WHEN {server}.{id} = %s THEN {now} ELSE {server}.{beat} END)
FROM {socket} INNER JOIN {server} ON {server}.{id} = {socket}.{its_server}
WHERE {socket}.{sid} IN ([texts]) AND {socket}.{its_user} IS NOT NULL
GROUP BY {socket}.{its_user} ORDER BY {socket}.{its_user}
"""

# One that was noted later stays. What is new has another name in MariaDB and MySQL.
ON_CONFLICT = """
ON CONFLICT ({user}) DO UPDATE SET {at} =
CASE WHEN EXCLUDED.{at} > {seen}.{at} THEN EXCLUDED.{at} ELSE {seen}.{at} END
"""
ON_DUPLICATE_KEY = """
ON DUPLICATE KEY UPDATE {at} = GREATEST({seen}.{at}, VALUES({at}))
"""


def note_seen(alias: str) -> TextsStatement:
    """
    Return the statement for sockets that are about to go, by their sids. It is given the server
    that executes it, whose sockets were there until now.
    """
    connection = connections[alias]
    compiler = SeenUser._base_manager.using(alias).query.get_compiler(alias)
    now, _ = compiler.compile(DatabaseNow())
    conflict = ON_DUPLICATE_KEY if connection.vendor == "mysql" else ON_CONFLICT
    names = {
        "seen": SeenUser._meta.db_table,
        "user": SeenUser._meta.get_field("user").column,
        "at": SeenUser._meta.get_field("seen_at").column,
        "socket": Socket._meta.db_table,
        "sid": Socket._meta.get_field("sid").column,
        "its_user": Socket._meta.get_field("user").column,
        "its_server": Socket._meta.get_field("server").column,
        "server": Server._meta.db_table,
        "id": Server._meta.get_field("id").column,
        "beat": Server._meta.get_field("seen_at").column,
    }
    quoted = {key: connection.ops.quote_name(str(name)) for key, name in names.items()}
    return TextsStatement(alias, Socket, (NOTE + conflict).format(now=now, **quoted))
