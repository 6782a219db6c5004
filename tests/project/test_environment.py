"""What the demo reads from its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from project import environment
from tests.processes import ROOT

Setenv = Callable[..., None]

VARIABLES = (
    *("REDIS_URL", "CHANNEL_LAYER", "DATABASE_URL"),
    *("SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "RECOVERY", "REAUTHORIZE_SECONDS"),
)
DEFAULT = Path("/srv/demo/db.sqlite3")


@pytest.fixture(autouse=True)
def setenv(monkeypatch: pytest.MonkeyPatch) -> Setenv:
    """A function that sets variables, of which there are none at first."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def setenv(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return setenv


def read() -> dict[str, Any]:
    """Return all that is read, by the settings' names."""
    return {
        "SECRET_KEY": environment.secret_key(),
        "DEBUG": environment.debug(),
        "RECOVERY": environment.recovery(),
        "REAUTHORIZE_SECONDS": environment.reauthorize_seconds(),
        "ALLOWED_HOSTS": environment.allowed_hosts(),
        "LAYER": environment.channel_layer(),
        "DATABASE": environment.database(DEFAULT),
    }


def test_nothing_has_to_be_set() -> None:
    given = read()
    assert len(given["SECRET_KEY"]) >= 50
    assert given["DEBUG"] is True
    assert given["RECOVERY"] == {"SECONDS": 120}
    assert given["REAUTHORIZE_SECONDS"] == 60
    assert given["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert given["LAYER"] == {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    assert given["DATABASE"]["NAME"] == str(DEFAULT)
    assert given["DATABASE"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_simple_values(setenv: Setenv) -> None:
    # A "$" is no reference to another variable there.
    setenv(SECRET_KEY="$ecret", DEBUG="False", ALLOWED_HOSTS="example.com,.example.org")
    given = read()
    assert given["SECRET_KEY"] == "$ecret"
    assert given["DEBUG"] is False
    assert given["ALLOWED_HOSTS"] == ["example.com", ".example.org"]


@pytest.mark.parametrize(("given", "seconds"), [("0", 0), ("1.5", 1.5), ("600", 600)])
def test_how_often_it_is_asked_again(setenv: Setenv, given: str, seconds: float) -> None:
    setenv(REAUTHORIZE_SECONDS=given)
    assert environment.reauthorize_seconds() == seconds


@pytest.mark.parametrize(
    ("layer", "backend"),
    [
        ({}, "channels_redis.core.RedisChannelLayer"),
        ({"CHANNEL_LAYER": "core"}, "channels_redis.core.RedisChannelLayer"),
        ({"CHANNEL_LAYER": "pubsub"}, "channels_redis.pubsub.RedisPubSubChannelLayer"),
    ],
)
def test_layers(setenv: Setenv, layer: dict[str, str], backend: str) -> None:
    setenv(REDIS_URL="redis://:pass@10.0.0.1:6379/1", SECRET_KEY="shared", **layer)
    given = read()
    assert given["LAYER"]["BACKEND"] == backend
    assert given["LAYER"]["CONFIG"]["hosts"][0]["address"] == "redis://:pass@10.0.0.1:6379/1"
    assert ("capacity" in given["LAYER"]["CONFIG"]) == backend.endswith(".RedisChannelLayer")
    assert given["SECRET_KEY"] == "shared"


def test_databases(setenv: Setenv) -> None:
    setenv(DATABASE_URL="sqlite:////tmp/other.sqlite3?timeout=5")
    database = environment.database(DEFAULT)
    assert database["NAME"] == "/tmp/other.sqlite3"
    assert database["OPTIONS"]["timeout"] == 5
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"

    setenv(DATABASE_URL="postgres://ada:p%40ss@10.0.0.2:5433/demo?conn_max_age=60")
    database = environment.database(DEFAULT)
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert database["PASSWORD"] == "p@ss"
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("10.0.0.2", 5433, "demo")
    assert database["CONN_MAX_AGE"] == 60
    assert "OPTIONS" not in database or database["OPTIONS"] == {}

    for scheme in ("mysql", "mariadb"):
        setenv(
            DATABASE_URL=f"{scheme}://ada:p%40ss@10.0.0.2:3307/demo?isolation_level=serializable"
        )
        database = environment.database(DEFAULT)
        assert database["ENGINE"] == "django.db.backends.mysql"
        assert (database["USER"], database["PASSWORD"]) == ("ada", "p@ss")
        assert (database["HOST"], database["PORT"], database["NAME"]) == ("10.0.0.2", 3307, "demo")
        assert database["OPTIONS"] == {"isolation_level": "serializable"}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"REDIS_URL": "redis://127.0.0.1"}, "Set SECRET_KEY"),
        ({"REDIS_URL": "http://:pass@h", "SECRET_KEY": "s"}, "has to start with redis://"),
        ({"REDIS_URL": "redis://h", "SECRET_KEY": "s", "CHANNEL_LAYER": "x"}, "core or pubsub"),
        ({"CHANNEL_LAYER": "pubsub"}, "Set REDIS_URL"),
        ({"DATABASE_URL": "oracle://u:pass@h/n"}, "DATABASE_URL has to be like"),
        ({"DATABASE_URL": "mysql://u:pass@h:port/n"}, "DATABASE_URL has to be like"),
        ({"DATABASE_URL": "demo.sqlite3"}, "DATABASE_URL has to be like"),
        ({"DATABASE_URL": "postgres://u:pass@h:port/n"}, "DATABASE_URL has to be like"),
        ({"DEBUG": "flase"}, "Set it to 1 or 0"),
        ({"RECOVERY": "120"}, "Set it to 1 or 0"),
        ({"REAUTHORIZE_SECONDS": "off"}, "Set it to a number of seconds"),
        ({"REAUTHORIZE_SECONDS": "-1"}, "Set it to a number of seconds"),
        ({"REAUTHORIZE_SECONDS": "nan"}, "Set it to a number of seconds"),
        ({"ALLOWED_HOSTS": "http://example.com"}, "Give names of hosts"),
        ({"ALLOWED_HOSTS": "a.example, b.example"}, "no spaces"),
    ],
)
def test_wrong_values_are_named(setenv: Setenv, variables: dict[str, str], says: str) -> None:
    setenv(**variables)
    with pytest.raises(ImproperlyConfigured, match=says) as error:
        read()
    assert any(name in str(error.value) for name in variables)
    assert "pass@" not in str(error.value)


def test_a_process_does_not_start_with_a_wrong_value() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings", "DEBUG": "maybe"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "DEBUG is 'maybe'. Set it to 1 or 0." in done.stderr
