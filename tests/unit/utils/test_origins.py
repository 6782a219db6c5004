"""Origins, and the patterns by which settings name them."""

from __future__ import annotations

import re
import time

import pytest

from realtime.utils.origins import (
    Origin,
    Origins,
    is_named,
    looks_like_expression,
    parse_origin,
    parse_pattern,
)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://example.com", Origin("https", "example.com", "443")),
        ("https://example.com:443", Origin("https", "example.com", "443")),
        ("http://example.com:0080", Origin("http", "example.com", "80")),
        ("http://example.com:443", Origin("http", "example.com", "443")),
        ("HTTPS://Example.COM:8443", Origin("https", "example.com", "8443")),
        ("http://[::1]:3000", Origin("http", "[::1]", "3000")),
        ("http://[2001:DB8::1]", Origin("http", "[2001:db8::1]", "80")),
        ("https://xn--bcher-kva.example", Origin("https", "xn--bcher-kva.example", "443")),
        ("wss://example.com", Origin("https", "example.com", "443")),
        ("ws://example.com:7000", Origin("http", "example.com", "7000")),
        ("capacitor://localhost", Origin("capacitor", "localhost", "")),
        ("chrome-extension://abcdef", Origin("chrome-extension", "abcdef", "")),
    ],
)
def test_one_form_of_each(text: str, origin: Origin) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "null",
            "*",
            "example.com",
            "//example.com",
            "https:",
            "https://",
            "https:/example.com",
        ),
        *(
            "https://example.com/",
            "https://example.com/page",
            "https://example.com?",
            "https://a#b",
        ),
        *("https://example.com@evil.example", "https://user:pass@example.com", "https://@a"),
        *(
            "https://example.com:",
            "https://example.com:x",
            "https://example.com:-1",
            "https://a:b:1",
        ),
        *("https://exa mple.com", " https://example.com", "https://example.com\n", "https://a,b"),
        *("https://example.com,https://example.com", "https://bücher.example", "https://\u0660"),
        *(
            "https://example.com:\u0661",
            "https://[",
            "https://[::1",
            "https://[g::1]",
            "https://a\\b",
        ),
        *("https://example.com%00.evil.example", "https://*.example.com", "ſ://a", "file://"),
    ],
)
def test_what_is_none(text: str) -> None:
    assert parse_origin(text) is None


def test_named_ones() -> None:
    named = Origins(["https://App.example.org:443", "http://localhost:5173", "null", "app://."])
    for origin in (
        *("https://app.example.org", "HTTPS://APP.example.org", "https://app.example.org:443"),
        *("http://localhost:5173", "null", "app://."),
    ):
        assert origin in named
    for origin in (
        *("http://app.example.org", "https://app.example.org:8443", "https://localhost:5173"),
        *("http://localhost", "NULL", "", "https://a.app.example.org", "app://a"),
    ):
        assert origin not in named


@pytest.mark.parametrize("port", ["", ":8443"])
def test_wildcards_are_djangos(port: str) -> None:
    named = Origins([f"https://*.example.com{port}"])
    for host in ("example.com", "a.example.com", "a.b.example.com", "A.Example.com"):
        assert f"https://{host}{port}" in named
        assert f"http://{host}{port}" not in named
        assert f"https://{host}:9000" not in named
    for host in ("notexample.com", "example.com.evil.example", "com", "x@a.example.com"):
        assert f"https://{host}{port}" not in named


@pytest.mark.parametrize(
    "pattern",
    [
        *("https://*", "*.example.com", "https://*example.com", "https://a.*.com", "*://a.com"),
        *("https://.example.com", "https://*.*.com", "https://*.example.com/", "https://*.a.com:*"),
    ],
)
def test_no_patterns(pattern: str) -> None:
    assert parse_pattern(pattern) is None
    assert "https://a.example.com" not in Origins([pattern])


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"https://[a-z]+\.example\.com(:8443)?", r"^https://[a-z]+\.example\.com(:8443)?$"),
        *(r"HTTPS://\w+\.Example\.com(:\d+)?", r"(?x) https://  [a-z]+ [.]example[.]com (:8443)?"),
    ],
)
def test_expressions_match_as_a_whole(pattern: str) -> None:
    named = Origins(["http://localhost:5173", re.compile(pattern)])
    for origin in (
        *("https://a.example.com", "HTTPS://APP.EXAMPLE.COM", "https://a.example.com:8443"),
        *("https://a.example.com:443", "wss://a.example.com", "http://localhost:5173"),
    ):
        assert origin in named
    for origin in (
        *("https://a.example.com.evil.com", "http://a.example.com", "https://example.com", "null"),
        *("https://a.example.com\n", "https://a.example.com/", "https://evil.com/a.example.com"),
        *("xhttps://a.example.com", "https://ſ.example.com", ""),
    ):
        assert origin not in named


@pytest.mark.parametrize("text", ["null", "", "x", "https://a/b", "https://a@b", "a\nb", "//a"])
def test_expressions_are_not_asked_of_what_is_no_origin(text: str) -> None:
    assert text not in Origins([re.compile(r"[\s\S]*")])


def test_expressions_are_not_asked_of_long_texts() -> None:
    named = Origins([re.compile(r"https://(a|a)*\.example")])
    assert "https://aaa.example" in named
    started = time.monotonic()
    assert "https://" + "a" * 5000 + ".evil" not in named
    assert time.monotonic() - started < 5


def test_what_names_origins() -> None:
    assert all(map(is_named, ["*", "null", "https://*.example.com", re.compile("x")]))
    for value in (None, 1, b"https://a", re.compile(b"x"), r"https://.*\.example\.com", []):
        assert not is_named(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((r"^https://example\.com$", True), ("https://.*.example.com", True)),
        *(("https://(a|b).example.com", True), (r"https://\w+", True), ("https://[a-z]", True)),
        *(("https://*.example.com", False), ("https://example.com", False), ("*", False)),
        *(("example.com", False), ("https://example.com/", False), ("null", False)),
        *(("https://*example.com", False), ("http://[::1]:80", False)),
    ],
)
def test_texts_that_are_meant_for_expressions(text: str, expected: bool) -> None:
    assert looks_like_expression(text) is expected
