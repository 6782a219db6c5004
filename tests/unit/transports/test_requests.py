"""Hosts and origins: who is let in, and what a browser is told of it."""

from __future__ import annotations

from io import BytesIO
from itertools import product
from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from pytest_django import Settings

from realtime.conf import get_settings
from realtime.exceptions import HandshakeError
from realtime.transports.requests import check_origin, cors_headers, find_foreign_origin

from ..conftest import DEFAULTS

HOST = "shop.example.com"
FRIEND = "https://app.example.org"


def check(
    origin: str | None, host: str | None = HOST, scheme: str | None = "https", **headers: str
) -> str | None:
    """Return the origin that is let in as a foreign one. Raises HandshakeError for a stranger."""
    return check_origin(make_scope(origin, host, scheme, **headers), get_settings())


def make_scope(
    origin: str | None, host: str | None, scheme: str | None, **headers: str
) -> dict[str, Any]:
    """Return a request's scope as far as it is looked at."""
    given = {"host": host, "origin": origin, **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in given.items()
            if value is not None
        ],
    }
    if scheme:
        scope["scheme"] = scheme
    return scope


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = [HOST, ".friends.example", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example", "https://*.trust.example"]
    allow(settings, FRIEND, "http://localhost:5173", "https://*.friend.example:8443")


def allow(settings: Settings, *origins: str) -> None:
    settings.REALTIME = {**DEFAULTS, "CORS_ORIGINS": origins}


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        (None, HOST, "https"),
        (f"https://{HOST}", HOST, "https"),
        (f"https://{HOST}", HOST, "wss"),
        (f"http://{HOST}", HOST, "http"),
        (f"http://{HOST}", HOST, "ws"),
        (f"http://{HOST}", HOST, None),
        (f"HTTPS://{HOST.upper()}", HOST, "https"),
        (f"https://{HOST}", HOST.upper(), "https"),
        (f"https://{HOST}", f"{HOST}:443", "https"),
        (f"http://{HOST}:80", HOST, "http"),
        (f"http://{HOST}:8000", f"{HOST}:8000", "http"),
        ("http://[::1]:8000", "[::1]:8000", "http"),
        (f"https://{HOST}.", f"{HOST}.", "https"),
        (f"wss://{HOST}", HOST, "wss"),  # as Starscream has it, for Swift
        (f"ws://{HOST}:8000", f"{HOST}:8000", "ws"),
    ],
)
def test_the_site_itself(origin: str | None, host: str, scheme: str | None) -> None:
    assert check(origin, host, scheme) is None


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        (f"http://{HOST}", HOST, "https"),
        (f"https://{HOST}", HOST, "http"),
        (f"https://{HOST}", HOST, "ws"),
        (f"https://{HOST}", HOST, None),
        (f"ws://{HOST}", HOST, "wss"),
        (f"https://{HOST}:8443", HOST, "https"),
        (f"https://{HOST}", f"{HOST}:8443", "https"),
        (f"https://{HOST}", f"{HOST}:80", "https"),
        (f"http://{HOST}:443", HOST, "https"),
        (f"https://other.{HOST}", HOST, "https"),
        ("http://[::1]:3000", "[::1]:8000", "http"),
        (f"https://{HOST}.", HOST, "https"),
        # Hosts of ALLOWED_HOSTS that are not this request's.
        ("https://friends.example", HOST, "https"),
        ("https://a.friends.example", HOST, "https"),
        ("https://a.friends.example", "b.friends.example", "https"),
        ("https://a.friends.example", "friends.example", "https"),
    ],
)
def test_the_same_host_is_not_the_same_origin(origin: str, host: str, scheme: str) -> None:
    with pytest.raises(HandshakeError):
        check(origin, host, scheme)


@pytest.mark.parametrize(
    "origin",
    [
        *(FRIEND, "http://localhost:5173", "https://trusted.example", "https://a.trust.example"),
        *("https://trust.example", "https://x.friend.example:8443", "HTTPS://Trusted.example:443"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "wss"])
def test_who_is_named(origin: str, scheme: str) -> None:
    assert check(origin, HOST, scheme) == origin
    assert headers_for(origin)["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        f"https://{HOST}.evil.example",
        f"https://evil{HOST}",
        f"https://evil.example/{HOST}",
        f"https://{HOST}@evil.example",
        f"https://user@{HOST}",
        f"https://{HOST}/",
        f"https://{HOST}/page",
        f"https://{HOST},https://{HOST}",
        HOST,
        f"//{HOST}",
        f"ftp://{HOST}",
        "http://app.example.org",
        "http://trusted.example",
        "http://a.trust.example",
        "https://a.trust.example:8443",
        "https://a.friend.example",
        "https://nottrust.example",
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
        "https://" + "a" * 10_000,
    ],
)
def test_strangers(origin: str) -> None:
    with pytest.raises(HandshakeError) as refused:
        check(origin)
    assert refused.value.code == HandshakeError.FORBIDDEN
    assert refused.value.status == 403


def test_several_origins_are_none() -> None:
    scope = make_scope(f"https://{HOST}", HOST, "https")
    scope["headers"].append((b"Origin", b"https://evil.example"))
    with pytest.raises(HandshakeError):
        check_origin(scope, get_settings())


@pytest.mark.parametrize("setting", [None, ("HTTP_X_FORWARDED_PROTO", "https"), ("HTTP_SSL", "on")])
@pytest.mark.parametrize("forwarded_host", [False, True])
def test_what_django_lets_in_and_nothing_else(
    settings: Settings, setting: Any, forwarded_host: bool
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = setting
    settings.USE_X_FORWARDED_HOST = forwarded_host
    allow(settings)
    django = CsrfViewMiddleware(lambda request: HttpResponse())
    hosts = [HOST, f"{HOST}:8443", "a.friends.example", "evil.example"]
    origins = [f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts]
    origins += ["https://trusted.example", "http://trusted.example", "https://a.trust.example"]
    told: list[dict[str, str]] = [
        {},
        {"x_forwarded_proto": "https"},
        {"x_forwarded_proto": "https, http"},
        {"x_forwarded_proto": "http", "ssl": "on"},
        {"ssl": "off", "x_forwarded_host": HOST},
        {"x_forwarded_host": "evil.example", "x_forwarded_port": "8443"},
    ]
    let_in = 0
    for origin, host, scheme, more in product(origins, hosts[:3], ("http", "https"), told):
        scope = make_scope(origin, host, scheme, **more)
        request = ASGIRequest(scope, BytesIO())
        try:
            request.get_host()
            expected = django._origin_verified(request)
        except DisallowedHost:
            expected = False
        try:
            check_origin(scope, get_settings())
            found = True
        except HandshakeError:
            found = False
        assert found == expected, (origin, host, scheme, more)
        let_in += found
    assert let_in > 20


def test_a_websocket_whose_proxy_names_its_own_scheme(settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    proxied: Any = {"x_forwarded_proto": "wss"}
    assert check(f"https://{HOST}", HOST, "ws", **proxied) is None
    with pytest.raises(HandshakeError):
        check(f"https://{HOST}", HOST, "ws", x_forwarded_proto="ws")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_foreign_page_fetches_without_an_origin(site: str) -> None:
    """As an image, or by navigating there: scripts' requests and WebSockets have an origin."""
    foreign: Any = {"sec_fetch_site": site}
    with pytest.raises(HandshakeError):
        check(None, **foreign)
    assert check(FRIEND, **foreign) == FRIEND
    for harmless in ("same-origin", "none"):
        assert check(None, sec_fetch_site=harmless) is None


@pytest.mark.parametrize("host", ["evil.example", "", None, f"{HOST}.evil.example", "a b", "[::2]"])
def test_hosts_that_are_not_ours(host: str | None) -> None:
    with pytest.raises(HandshakeError):
        check(None, host)
    with pytest.raises(HandshakeError):
        check(f"https://{host}", host)


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
    assert check("http://127.0.0.1:7000", "127.0.0.1:7000", "http") is None
    for origin in ("http://localhost:3000", "http://localhost:7000", "http://127.0.0.1:3000"):
        with pytest.raises(HandshakeError):
            check(origin, "127.0.0.1:7000", "http")
    allow(settings, "http://localhost:3000")
    assert check("http://localhost:3000", "127.0.0.1:7000", "http") == "http://localhost:3000"


def test_a_host_that_a_proxy_forwards(settings: Settings) -> None:
    forwarded: Any = {"x_forwarded_host": f"{HOST}, proxy.internal"}
    with pytest.raises(HandshakeError):
        check(f"https://{HOST}", "127.0.0.1", **forwarded)
    settings.USE_X_FORWARDED_HOST = True
    assert check(f"https://{HOST}", "127.0.0.1", **forwarded) is None


def test_a_request_without_a_host_went_to_the_server(settings: Settings) -> None:
    scope = make_scope(f"http://{HOST}:8000", None, "http")
    with pytest.raises(HandshakeError):
        check_origin(scope, get_settings())
    assert check_origin(scope | {"server": (HOST, 8000)}, get_settings()) is None
    scope["headers"].append((b"x-forwarded-port", b"80"))
    settings.USE_X_FORWARDED_PORT = True
    with pytest.raises(HandshakeError):
        check_origin(scope | {"server": (HOST, 8000)}, get_settings())


def test_hosts_that_a_site_finds_as_it_goes(settings: Settings) -> None:
    class Hosts(list[str]):
        """As sites have them whose hosts stand in the database."""

    settings.ALLOWED_HOSTS = hosts = Hosts()
    with pytest.raises(HandshakeError):
        check(f"https://{HOST}")
    hosts.append(HOST)
    assert check(f"https://{HOST}") is None
    hosts.clear()
    with pytest.raises(HandshakeError):
        check(f"https://{HOST}")


def test_a_request_that_was_checked_elsewhere() -> None:
    def find(origin: str | None) -> str | None:
        return find_foreign_origin(make_scope(origin, None, None), get_settings())

    assert find(FRIEND) == FRIEND
    assert find("https://trusted.example") == "https://trusted.example"
    assert find(f"https://{HOST}") is find(None) is None


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
