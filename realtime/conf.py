"""
The settings: one dict, ``REALTIME``, whose defaults, types and limits stand in `OPTIONS`.

Times are seconds, sizes bytes. `get_settings` raises ImproperlyConfigured for a wrong value;
`manage.py check` says the same with a hint (see `realtime.checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from .utils.limits import fits_rate, fits_rate_limits
from .utils.origins import Named, is_named, looks_like_expression
from .utils.recovery import explain_recovery

TRANSPORTS = ("polling", "websocket")

# What a call that wants no answer does where nobody can be reached.
UNREACHABLE = ("auto", "raise", "log")

# What becomes of a client whose session cannot be looked up.
LOOKUP_FAILURE = ("refuse", "anonymous")


class Option(NamedTuple):
    """A setting: its default, whether a value fits, and what would fit in its place."""

    default: Any
    fits: Callable[[Any], bool]
    hint: str | Callable[[Any], str]


class Problem(NamedTuple):
    """A setting that does not fit."""

    name: str
    message: str
    hint: str


def _seconds(default: float) -> Option:
    return Option(
        default,
        lambda value: type(value) in (int, float) and 0 < value <= 86_400,
        "Give a number of seconds above 0 and up to 86400 (a day).",
    )


def _count(default: int, lowest: int = 1) -> Option:
    return Option(
        default,
        lambda value: type(value) is int and value >= lowest,
        f"Give a whole number of {lowest} or more.",
    )


def _flag(default: bool) -> Option:
    return Option(default, lambda value: type(value) is bool, "Give True or False.")


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 1 and value[0] == "/" and value[-1] == "/"


def _path(default: str) -> Option:
    return Option(
        default, _is_path, f'Give a path that starts and ends with a slash, like "{default}".'
    )


def _dotted(default: str, *, required: bool = False) -> Option:
    return Option(
        default,
        lambda value: isinstance(value, str) and ("." in value or not (value or required)),
        'Give a dotted path, like "project.module.name".',
    )


def _origins_hint(value: Any) -> str:
    """Return what would fit CORS_ORIGINS, for an expression that was not compiled, too."""
    if isinstance(value, (list, tuple)) and any(map(looks_like_expression, value)):
        text = next(filter(looks_like_expression, value))
        return f"{text!r} looks like a regular expression: compile it, as re.compile({text!r})."
    return (
        'Give a list of origins like "https://example.com" (a scheme, a host in ASCII, a port '
        'that is not the scheme\'s own; no path) or "https://*.example.com", of regular '
        'expressions like re.compile(r"https://[a-z]+\\.example\\.com"), or "*".'
    )


OPTIONS: dict[str, Option] = {
    "NAMESPACES": _dotted(""),
    "PATH": _path("/socket.io/"),
    "PLAIN_PATH": Option(
        "/ws/",
        lambda value: value is None or _is_path(value),
        'Give a path that starts and ends with a slash, like "/ws/", or None for no plain '
        "WebSockets.",
    ),
    "TRANSPORTS": Option(
        TRANSPORTS,
        lambda value: (
            isinstance(value, (list, tuple))
            and bool(value)
            and all(name in TRANSPORTS for name in value)
        ),
        'Give a list of "polling" and "websocket", or one of them.',
    ),
    "PING_INTERVAL": _seconds(25),
    "PING_TIMEOUT": _seconds(20),
    "UPGRADE_TIMEOUT": _seconds(10),
    "CONNECT_TIMEOUT": _seconds(45),
    "AUTHENTICATORS": Option(
        ("realtime.authenticators.session",),
        lambda value: (
            isinstance(value, (list, tuple))
            and bool(value)
            and all(isinstance(path, str) and "." in path for path in value)
            and len(set(value)) == len(value)
        ),
        'Give a list of dotted paths, like ["realtime.authenticators.session"], each one once.',
    ),
    "LOOKUP_TIMEOUT": _seconds(4),
    "LOOKUP_FAILURE": Option(
        "refuse",
        lambda value: value in LOOKUP_FAILURE,
        'Give "refuse" or "anonymous".',
    ),
    "REAUTHORIZE_SECONDS": Option(
        60,
        lambda value: type(value) in (int, float) and (value == 0 or 1 <= value <= 86_400),
        "Give a number of seconds from 1 up to 86400 (a day), or 0 to ask for nobody by itself.",
    ),
    "MAX_PAYLOAD": _count(1_000_000, lowest=1_000),
    "MAX_ATTACHMENTS": _count(100),
    "MAX_NAMESPACES": _count(100),
    "INBOX_EVENTS": _count(20_000),
    "INBOX_BYTES": _count(16 * 1024 * 1024, lowest=10_000),
    "CONCURRENT_EVENTS": _count(32),
    "OUTBOX_BYTES": _count(4 * 1024 * 1024, lowest=10_000),
    "SYNC_HANDLERS": _count(40),
    # Twice the namespaces that a client may have: a page may enter, leave and enter all of them.
    "CONNECT_RATE": Option("200/10s", fits_rate, 'Give a rate like "200/10s", "20/s" or "500/m".'),
    "RATE_LIMITS": Option(
        {},
        fits_rate_limits,
        'Give rates by namespace and event, like {"/chat": {"message": "5/s", "*": "50/s"}}.',
    ),
    "MAX_CONNECTIONS_PER_USER": _count(0, lowest=0),
    "MAX_CONNECTIONS_PER_ADDRESS": _count(0, lowest=0),
    "CORS_ORIGINS": Option(
        (),
        lambda value: isinstance(value, (list, tuple)) and all(map(is_named, value)),
        _origins_hint,
    ),
    "CHANNEL_LAYER": Option(
        "default",
        lambda value: isinstance(value, str) and bool(value),
        "Give the alias of a channel layer in CHANNEL_LAYERS.",
    ),
    "UNREACHABLE": Option(
        "auto",
        lambda value: value in UNREACHABLE,
        'Give "auto", "raise" or "log".',
    ),
    "ONCE_SECONDS": Option(
        86_400,
        lambda value: type(value) in (int, float) and 60 <= value <= 2_592_000,
        "Give a number of seconds from 60 to 2592000 (30 days).",
    ),
    "ERROR_ACK": _dotted("realtime.error_answers.acknowledge", required=True),
    "RECOVERY": Option(None, lambda value: not explain_recovery(value), explain_recovery),
    "DRAIN_SECONDS": Option(
        10,
        lambda value: type(value) in (int, float) and 0 <= value <= 86_400,
        "Give a number of seconds from 0 (tell all clients at once) up to 86400 (a day).",
    ),
    "PRESENCE": _flag(True),
    "SERVER_HEARTBEAT": _seconds(5),
    "PERMISSION": _dotted("realtime.permissions.staff"),
    "DIRECT_IO": _flag(True),
}


class Settings(SimpleNamespace):
    """The checked settings, an attribute for each of `OPTIONS`."""

    NAMESPACES: str
    PATH: str
    PLAIN_PATH: str | None
    TRANSPORTS: tuple[str, ...]
    PING_INTERVAL: float
    PING_TIMEOUT: float
    UPGRADE_TIMEOUT: float
    CONNECT_TIMEOUT: float
    AUTHENTICATORS: tuple[str, ...]
    LOOKUP_TIMEOUT: float
    LOOKUP_FAILURE: str
    REAUTHORIZE_SECONDS: float
    MAX_PAYLOAD: int
    MAX_ATTACHMENTS: int
    MAX_NAMESPACES: int
    INBOX_EVENTS: int
    INBOX_BYTES: int
    CONCURRENT_EVENTS: int
    OUTBOX_BYTES: int
    SYNC_HANDLERS: int
    CONNECT_RATE: str
    RATE_LIMITS: dict[str, dict[str, str]]
    MAX_CONNECTIONS_PER_USER: int
    MAX_CONNECTIONS_PER_ADDRESS: int
    CORS_ORIGINS: tuple[Named, ...]
    CHANNEL_LAYER: str
    UNREACHABLE: str
    ONCE_SECONDS: float
    ERROR_ACK: str
    RECOVERY: dict[str, Any] | None
    DRAIN_SECONDS: float
    PRESENCE: bool
    SERVER_HEARTBEAT: float
    PERMISSION: str
    DIRECT_IO: bool


def find_problems(given: Any) -> Iterator[Problem]:
    """Yield what is wrong with a ``REALTIME`` dict."""
    if not isinstance(given, Mapping):
        yield Problem("REALTIME", "REALTIME is not a dict.", 'Give a dict, like {"PATH": "/io/"}.')
        return
    for name, value in given.items():
        option = OPTIONS.get(name)
        if option is None:
            known = ", ".join(OPTIONS)
            yield Problem(name, f"REALTIME has no setting {name!r}.", f"The settings are {known}.")
        elif not option.fits(value):
            hint = option.hint(value) if callable(option.hint) else option.hint
            yield Problem(name, f"REALTIME[{name!r}] cannot be {value!r}.", hint)
    paths = [given.get(name, OPTIONS[name].default) for name in ("PATH", "PLAIN_PATH")]
    if paths[0] == paths[1]:
        yield Problem(
            "PLAIN_PATH",
            f"REALTIME['PATH'] and REALTIME['PLAIN_PATH'] are both {paths[0]!r}.",
            "Give Socket.IO and plain WebSockets a path each, or set PLAIN_PATH to None.",
        )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the checked settings. Raises ImproperlyConfigured for the first wrong one."""
    given = getattr(django_settings, "REALTIME", {})
    for problem in find_problems(given):
        raise ImproperlyConfigured(f"{problem.message} {problem.hint}")
    values = {name: given.get(name, option.default) for name, option in OPTIONS.items()}
    return Settings(**values)


@receiver(setting_changed)
def _forget_settings(*, setting: str, **kwargs: Any) -> None:
    if setting == "REALTIME":
        get_settings.cache_clear()
