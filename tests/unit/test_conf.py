"""The settings in REALTIME: their defaults, and what is wrong with others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from realtime.conf import OPTIONS, find_problems, get_settings


def test_defaults_are_those_of_the_reference_server(settings: Settings) -> None:
    settings.REALTIME = {}
    defaults = get_settings()
    assert defaults.PATH == "/socket.io/"
    assert set(defaults.TRANSPORTS) == {"polling", "websocket"}
    assert (defaults.PING_INTERVAL, defaults.PING_TIMEOUT) == (25, 20)
    assert (defaults.UPGRADE_TIMEOUT, defaults.CONNECT_TIMEOUT) == (10, 45)
    assert defaults.MAX_PAYLOAD == 1_000_000
    assert list(defaults.CORS_ORIGINS) == []


def test_defaults_hold_without_the_setting(settings: Settings) -> None:
    del settings.REALTIME
    assert get_settings().PATH == "/socket.io/"


def test_settings_follow_their_overrides(settings: Settings) -> None:
    settings.REALTIME = {"PATH": "/io/"}
    assert get_settings().PATH == "/io/"
    settings.REALTIME = {"PATH": "/other/"}
    assert get_settings().PATH == "/other/"


def test_the_defaults_fit() -> None:
    values = {name: option.default for name, option in OPTIONS.items()}
    assert list(find_problems(values)) == []


FITTING: list[tuple[str, Any]] = [
    ("REAUTHORIZE_SECONDS", 0),
    ("REAUTHORIZE_SECONDS", 1.5),
    ("NAMESPACES", ""),
    ("NAMESPACES", "project.routing.namespaces"),
    ("PATH", "/a/b/"),
    ("TRANSPORTS", ["websocket"]),
    ("TRANSPORTS", ("polling",)),
    ("PING_INTERVAL", 0.5),
    ("PING_INTERVAL", 86_400),
    ("MAX_PAYLOAD", 1_000),
    ("ONCE_SECONDS", 60),
    ("ONCE_SECONDS", 2_592_000),
    ("CORS_ORIGINS", ["https://example.com", "http://localhost:5173", "null", "*"]),
    ("CORS_ORIGINS", (re.compile(r"https://a\.example\.com"), "https://*.example.com")),
]

WRONG: list[tuple[str, Any]] = [
    *(("REAUTHORIZE_SECONDS", value) for value in (-1, 0.5, 86_401, True, "60", None)),
    ("NAMESPACES", "namespaces"),
    ("NAMESPACES", []),
    ("NAMESPACES", None),
    ("PATH", "socket.io"),
    ("PATH", "/socket.io"),
    ("PATH", "/"),
    ("PATH", None),
    ("PLAIN_PATH", "ws/"),
    ("TRANSPORTS", []),
    ("TRANSPORTS", "polling"),
    ("TRANSPORTS", ["webtransport"]),
    ("TRANSPORTS", None),
    ("TRANSPORTS", [["polling"]]),
    ("ONCE_SECONDS", 59.9),
    ("ONCE_SECONDS", 2_592_001),
    ("ONCE_SECONDS", "1d"),
    ("ONCE_SECONDS", True),
    ("PING_INTERVAL", 0),
    ("PING_INTERVAL", -1),
    ("PING_INTERVAL", "25"),
    ("PING_INTERVAL", True),
    ("PING_INTERVAL", None),
    ("PING_TIMEOUT", float("nan")),
    ("PING_TIMEOUT", float("inf")),
    ("UPGRADE_TIMEOUT", 86_401),
    ("CONNECT_TIMEOUT", 0.0),
    ("MAX_PAYLOAD", 999),
    ("MAX_PAYLOAD", 1e6),
    ("MAX_ATTACHMENTS", 0),
    ("MAX_NAMESPACES", True),
    ("INBOX_EVENTS", -1),
    ("INBOX_BYTES", 1),
    ("OUTBOX_BYTES", "4 MB"),
    ("SYNC_HANDLERS", 0),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", ["example.com"]),
    ("CORS_ORIGINS", ["https://example.com/"]),
    ("CORS_ORIGINS", ["https://example.com/page"]),
    ("CORS_ORIGINS", [None]),
    ("CORS_ORIGINS", re.compile("https://a")),
    ("CORS_ORIGINS", [re.compile(b"https://a")]),
    ("CORS_ORIGINS", [r"https://.*\.example\.com"]),
    ("CHANNEL_LAYER", ""),
    ("CHANNEL_LAYER", None),
    ("PERMISSION", "staff"),
]


@pytest.mark.parametrize(("name", "value"), FITTING)
def test_what_fits(name: str, value: Any) -> None:
    assert list(find_problems({name: value})) == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_wrong_is_named_with_a_hint(settings: Settings, name: str, value: Any) -> None:
    (problem,) = find_problems({name: value})
    assert problem.name == name
    assert repr(name) in problem.message
    assert repr(value) in problem.message
    assert problem.hint
    settings.REALTIME = {name: value}
    with pytest.raises(ImproperlyConfigured, match=name):
        get_settings()


@pytest.mark.parametrize("text", [r"^https://a\.example$", "https://.*", "https://(a|b).example"])
def test_an_expression_that_is_no_expression_yet(text: str) -> None:
    (problem,) = find_problems({"CORS_ORIGINS": ["https://example.com", text]})
    assert problem.hint.endswith(f"compile it, as re.compile({text!r}).")


def test_an_unknown_setting_names_the_known_ones() -> None:
    (problem,) = find_problems({"PING_INTERVALL": 5})
    assert "'PING_INTERVALL'" in problem.message
    assert "PING_INTERVAL," in problem.hint


@pytest.mark.parametrize("value", [None, [], "dict", 5])
def test_a_setting_that_is_no_dict(value: Any) -> None:
    (problem,) = find_problems(value)
    assert "not a dict" in problem.message


def test_every_problem_is_found() -> None:
    names = [problem.name for problem in find_problems({"PATH": "x", "y": 1, "SYNC_HANDLERS": 0})]
    assert names == ["PATH", "y", "SYNC_HANDLERS"]
