"""Hosts and origins: who is let in, and what a browser is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from realtime.conf import get_settings
from realtime.exceptions import HandshakeError
from realtime.transports.requests import check_origin, cors_headers

from .conftest import DEFAULTS

HOST = "shop.example.com"
FRIEND = "https://app.example.org"


def check(origin: str | None, host: str | None = HOST, **headers: str) -> str | None:
    """Return the origin that is let in as a foreign one. Raises HandshakeError for a stranger."""
    given = {"host": host, "origin": origin, **headers}
    scope = {
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in given.items()
            if value is not None
        ]
    }
    return check_origin(scope, get_settings())


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = [HOST, ".friends.example"]
    allow(settings, FRIEND, "http://localhost:5173")


def allow(settings: Settings, *origins: str) -> None:
    settings.REALTIME = {**DEFAULTS, "CORS_ORIGINS": origins}


@pytest.mark.parametrize("origin", [None, f"https://{HOST}", f"http://{HOST}", f"HTTPS://{HOST}"])
def test_the_site_itself(origin: str | None) -> None:
    assert check(origin) is None


def test_the_site_itself_on_another_port() -> None:
    assert check(f"http://{HOST}:8000", f"{HOST}:8000") is None


@pytest.mark.parametrize(
    "origin",
    [FRIEND, "http://localhost:5173", "https://friends.example", "https://a.friends.example:8443"],
)
def test_who_is_named(origin: str) -> None:
    assert check(origin) == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        f"https://{HOST}.evil.example",
        f"https://evil{HOST}",
        f"https://evil.example/{HOST}",
        f"https://{HOST}@evil.example",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org.evil.example",
        "http://localhost",
        "null",
        "",
        "*",
        "file://",
        "https://",
        "https://[",
        "https://ümlaut.example",
    ],
)
def test_strangers(origin: str) -> None:
    with pytest.raises(HandshakeError) as refused:
        check(origin)
    assert refused.value.code == HandshakeError.FORBIDDEN
    assert refused.value.status == 403


@pytest.mark.parametrize("host", ["evil.example", "", None, f"{HOST}.evil.example", "a b", "[::1]"])
def test_hosts_that_are_not_ours(host: str | None) -> None:
    with pytest.raises(HandshakeError):
        check(None, host)


def test_a_refusal_is_logged_with_the_setting_that_would_let_it_in(records: list[Any]) -> None:
    for origin, host in (("https://evil.example", HOST), (None, "evil.example")):
        with pytest.raises(HandshakeError):
            check(origin, host)
    for record, setting in zip(records, ("CORS_ORIGINS", "ALLOWED_HOSTS"), strict=True):
        assert record.args[0] == "forbidden"
        assert "evil.example" in record.getMessage()
        assert setting in record.realtime["message"]


def test_all_hosts_are_no_invitation_to_all_origins(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert check("https://anything.example", "anything.example") is None
    with pytest.raises(HandshakeError):
        check("https://evil.example", "anything.example")


def test_local_hosts_while_debugging(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = []
    with pytest.raises(HandshakeError):
        check(None, "127.0.0.1:7000")
    settings.DEBUG = True
    assert check(None, "127.0.0.1:7000") is None
    assert check("http://localhost:3000", "127.0.0.1:7000") == "http://localhost:3000"
    with pytest.raises(HandshakeError):
        check("https://evil.example", "127.0.0.1:7000")


def test_a_host_that_a_proxy_forwards(settings: Settings) -> None:
    forwarded: Any = {"x_forwarded_host": f"{HOST}, proxy.internal"}
    with pytest.raises(HandshakeError):
        check(f"https://{HOST}", "127.0.0.1", **forwarded)
    settings.USE_X_FORWARDED_HOST = True
    assert check(f"https://{HOST}", "127.0.0.1", **forwarded) is None


def test_null_where_it_is_named(settings: Settings) -> None:
    allow(settings, "null")
    assert check("null") == "null"


def headers_for(origin: str | None) -> dict[str, str]:
    headers = cors_headers(origin, get_settings())
    return {name.decode(): value.decode() for name, value in headers}


def test_a_named_origin_may_send_cookies() -> None:
    assert headers_for(check(FRIEND)) == {
        "access-control-allow-origin": FRIEND,
        "access-control-allow-credentials": "true",
        "vary": "Origin",
    }


def test_the_site_itself_needs_no_headers() -> None:
    assert headers_for(check(f"https://{HOST}")) == {}


def test_everybody_may_not_send_cookies(settings: Settings) -> None:
    allow(settings, "*", FRIEND)
    assert headers_for(check("https://evil.example")) == {"access-control-allow-origin": "*"}
    assert headers_for(check(FRIEND))["access-control-allow-credentials"] == "true"
