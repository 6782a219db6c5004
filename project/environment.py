"""
What the demo reads from its environment. A value that makes no sense raises ImproperlyConfigured.

| variable | meaning | without it |
|---|---|---|
| `REDIS_URL` | the Redis or Valkey that joins the processes of a cluster | one process, in memory |
| `CHANNEL_LAYER` | `core` or `pubsub`: which layer of channels_redis | `core` |
| `DATABASE_URL` | SQLite, PostgreSQL, MariaDB or MySQL, as a URL | the file `db.sqlite3` |
| `SECRET_KEY` | signs sessions; the same in all processes | a new one at each start |
| `ALLOWED_HOSTS` | hosts that are answered, with commas between | this machine's own names |
| `DEBUG` | `1` or `0` | `1` |
| `RECOVERY` | `1` or `0`: whether clients that drop miss nothing | `1` |
| `REAUTHORIZE_SECONDS` | how often it is asked who may stay; `0`: when Django tells | `60` |
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

_env = environ.Env()

_REDIS_SCHEMES = ("redis", "rediss", "unix")
_LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
_DATABASE_SCHEMES = ("sqlite", "postgres", "postgresql", "mysql", "mariadb")
_ENGINES = {"mariadb": "django.db.backends.mysql"}  # what environ does not know
DAY = 86_400
_SWITCH = {"1": True, "true": True, "0": False, "false": False}


def secret_key() -> str:
    """Return `SECRET_KEY`, or a new one where nobody else has to know it."""
    # Not through environ, to which a value that starts with "$" names another variable.
    given = os.environ.get("SECRET_KEY", "")
    if not given and _env.str("REDIS_URL", default=""):
        raise ImproperlyConfigured(
            "REDIS_URL makes this process one of several, and they have to read each other's "
            "sessions. Set SECRET_KEY to the same long random text in all of them."
        )
    return given or get_random_secret_key()


def debug() -> bool:
    """Return `DEBUG`."""
    return _switch("DEBUG")


def recovery() -> dict[str, Any] | None:
    """Return how long clients may be away that miss nothing, or None where `RECOVERY` is off."""
    return {"SECONDS": 120} if _switch("RECOVERY") else None


def reauthorize_seconds() -> float:
    """Return `REAUTHORIZE_SECONDS`."""
    given = _env.str("REAUTHORIZE_SECONDS", default="60")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not (seconds == 0 or 1 <= seconds <= DAY):
        raise ImproperlyConfigured(
            f"REAUTHORIZE_SECONDS is {given!r}. Set it to a number of seconds, from 1 to {DAY}, "
            "or to 0."
        )
    return seconds


def _switch(name: str) -> bool:
    given = _env.str(name, default="1")
    if given.lower() not in _SWITCH:
        raise ImproperlyConfigured(f"{name} is {given!r}. Set it to 1 or 0.")
    return _SWITCH[given.lower()]


def allowed_hosts() -> list[str]:
    """Return `ALLOWED_HOSTS`."""
    hosts: list[str] = _env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
    for host in hosts:
        if "/" in host or host != host.strip():
            raise ImproperlyConfigured(
                f"ALLOWED_HOSTS has {host!r}. Give names of hosts with commas and no spaces "
                "between, like example.com,127.0.0.1"
            )
    return hosts


def channel_layer() -> dict[str, Any]:
    """Return the channel layer that `REDIS_URL` and `CHANNEL_LAYER` ask for."""
    url = _env.str("REDIS_URL", default="")
    kind = _env.str("CHANNEL_LAYER", default="core")
    if kind not in _LAYERS:
        known = " or ".join(_LAYERS)
        raise ImproperlyConfigured(f"CHANNEL_LAYER is {kind!r}. Set it to {known}.")
    if not url:
        if "CHANNEL_LAYER" in _env:
            raise ImproperlyConfigured("CHANNEL_LAYER needs a server. Set REDIS_URL too.")
        return {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    if url.partition("://")[0] not in _REDIS_SCHEMES:  # the rest may hold a password
        raise ImproperlyConfigured(
            "REDIS_URL has to start with redis://, rediss:// or unix://, "
            "like redis://127.0.0.1:6379/0"
        )
    config: dict[str, Any] = {
        # A socket's timeout has to be longer than the 5 seconds that the core layer waits in one
        # request. A connection that breaks without a word is found by its health check.
        "hosts": [{"address": url, "socket_timeout": 15, "health_check_interval": 10}],
        "prefix": "realtime-demo",
    }
    if kind == "core":
        # Layer messages that may wait for a process: many events travel in one.
        config["capacity"] = 10_000
    return {"BACKEND": _LAYERS[kind], "CONFIG": config}


def database(default: Path) -> dict[str, Any]:
    """Return the database of `DATABASE_URL`, or a SQLite file."""
    url = _env.str("DATABASE_URL", default="") or f"sqlite:///{default}"
    config = _parse_database(url)
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # Several processes write to the file: readers never wait, and writers take their turn.
        config["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            **config.get("OPTIONS", {}),
        }
    return config


def _parse_database(url: str) -> dict[str, Any]:
    try:
        if (scheme := url.partition("://")[0]) in _DATABASE_SCHEMES:
            return dict(environ.Env.db_url_config(url, engine=_ENGINES.get(scheme)))
    except ValueError:  # such as a port that is no number; it would show the whole URL
        pass
    raise ImproperlyConfigured(
        "DATABASE_URL has to be like sqlite:////srv/site/db.sqlite3, "
        "postgresql://user:password@127.0.0.1:5432/name or "
        "mysql://user:password@127.0.0.1:3306/name"
    )
