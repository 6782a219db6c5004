"""What `manage.py check` says of where a router sends presence and users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connections
from pytest_django import Settings

Route = Callable[..., None]


class Router:
    """Sends reads and writes of apps where `reads` and `writes` say, by app label."""

    def __init__(self, reads: dict[str, str | None], writes: dict[str, str | None]) -> None:
        self._reads, self._writes = reads, writes

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return self._reads.get(model._meta.app_label)

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return self._writes.get(model._meta.app_label)

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        """Say yes, as routers do that know nothing of joins."""
        return True


@pytest.fixture
def add_database(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that adds a database: like the default one, but for these settings."""

    def add(alias: str, **changes: Any) -> None:
        default = connections["default"].settings_dict
        monkeypatch.setitem(connections.settings, alias, {**default, **changes})

    return add


@pytest.fixture
def found(settings: Settings) -> Callable[..., list[CheckMessage]]:
    """A function that returns what is said of a router."""
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": True}

    def found(reads: dict[str, Any], writes: dict[str, Any]) -> list[CheckMessage]:
        settings.DATABASE_ROUTERS = [Router(reads, writes)]
        try:
            return [
                message for message in run_checks(databases=[]) if message.id == "realtime.E010"
            ]
        finally:
            for alias in set(connections) - {"default"}:
                if hasattr(connections._connections, alias):
                    del connections[alias]

    return found


@pytest.mark.parametrize("app", ["realtime", "auth"])
def test_sockets_apart_from_users(app: str, add_database: Any, found: Any) -> None:
    add_database("other", NAME="/tmp/other.sqlite3")
    (message,) = found({app: "other"}, {app: "other"})
    assert "'other'" in message.msg
    assert "'default'" in message.msg
    assert message.hint.startswith(
        f"Let your router send the app 'realtime' to {'other' if app == 'auth' else 'default'!r}"
    )


def test_nobody_cares_while_presence_is_off(
    add_database: Any, found: Any, settings: Settings
) -> None:
    add_database("other", NAME="/tmp/other.sqlite3")
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}
    assert found({"realtime": "other"}, {"realtime": "other"}) == []


@pytest.mark.parametrize(
    ("reads", "writes"),
    [
        ({}, {}),  # it returns None for all
        ({"realtime": "replica", "auth": "replica"}, {}),
        ({"auth": "replica"}, {"auth": "default"}),  # each replica has both
        ({"realtime": "other", "auth": "other"}, {"realtime": "other", "auth": "other"}),
        ({"realtime": "again"}, {"realtime": "again"}),  # the same database by another name
    ],
)
def test_what_is_well(
    reads: dict[str, Any], writes: dict[str, Any], add_database: Any, found: Any
) -> None:
    add_database("replica", HOST="replica.example")
    add_database("other", NAME="/tmp/other.sqlite3")
    add_database("again", CONN_MAX_AGE=60)
    assert found(reads, writes) == []


def test_services_of_postgresql_are_databases(add_database: Any, found: Any) -> None:
    postgresql = {"ENGINE": "django.db.backends.postgresql", "NAME": ""}
    for name in ("site", "people"):
        add_database(name, **postgresql, OPTIONS={"service": name})
    writes = {"realtime": "site", "auth": "people"}
    assert len(found(writes, writes)) == 1
