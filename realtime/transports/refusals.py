"""What the log says of requests that are refused for where they come from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from django.conf import settings as django_settings

from ..logs import write
from ..utils.limits import Bucket, Rate
from ..utils.origins import Origin, parse_origin

Cause = Literal["host", "origin", "foreign fetch"]

# Lines at once, and then one a second.
_RATE = Rate(10, 10.0)


class Refused(Exception):
    """A request is refused: its host is not allowed, or its origin."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


class Site(NamedTuple):
    """Where a request went to, as Django knows it."""

    secure: bool
    host: str

    @property
    def origin(self) -> str:
        """The site's own origin."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


class Log:
    """The lines of this process about refused requests: a flood of these is none of those."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bucket = Bucket(_RATE, clock())
        self._untold = 0

    def note(self, **fields: Any) -> None:
        """Take note of a refusal; the next line says how many there were since the last one."""
        self._untold += 1
        if self._bucket.consume(self._clock()):
            write(logging.WARNING, "forbidden", **fields, times=self._untold)
            self._untold = 0


lines = Log()


def explain(
    refused: Refused,
    site: Site,
    origin: str | None,
    scope: dict[str, Any],
    allows: Callable[[str], bool],
) -> None:
    """
    Log a refusal, and which setting would most probably let the request in.

    `allows` tells whether ALLOWED_HOSTS has a host.
    """
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    forwarded = headers.get(b"x-forwarded-host", "").split(",")[0].strip()
    if refused.cause == "foreign fetch":
        message = "a page of another site fetched this as it would an image, which no client does"
    elif refused.cause == "host":
        message = _about_host(bool(forwarded) and allows(forwarded))
    else:
        theirs = parse_origin(origin or "")
        message = _about_origin(theirs, site, forwarded, headers) if theirs else _OTHERWISE
    lines.note(host=site.host, origin=origin or "-", message=message)


def _about_host(forwarded_is_allowed: bool) -> str:
    if forwarded_is_allowed and not django_settings.USE_X_FORWARDED_HOST:
        return (
            "ALLOWED_HOSTS does not have the host, but that of X-Forwarded-Host: set "
            "USE_X_FORWARDED_HOST = True, or let the proxy pass Host on"
        )
    return "ALLOWED_HOSTS does not have the host"


_OTHERWISE = "REALTIME['CORS_ORIGINS'] does not have the origin, nor CSRF_TRUSTED_ORIGINS"


def _about_origin(theirs: Origin, site: Site, forwarded: str, headers: dict[bytes, str]) -> str:
    """Tell what would let an origin in; proxies that hide the site's own are the likeliest."""
    if not django_settings.USE_X_FORWARDED_HOST and _has(theirs, forwarded):
        return (
            "the origin's host is that of X-Forwarded-Host: set USE_X_FORWARDED_HOST = True, or "
            "let the proxy pass Host on"
        )
    if theirs.scheme == "https" and not site.secure and _has(theirs, site.host):
        return _about_scheme()
    own = parse_origin(site.origin)
    port = headers.get(b"x-forwarded-port", "").split(",")[0].strip()
    if own and own.host == theirs.host and port == theirs.port and port != own.port:
        return (
            "the proxy passes Host without the port that X-Forwarded-Port has: let it pass both "
            "(nginx: $http_host), or name the origin in CSRF_TRUSTED_ORIGINS"
        )
    if own and own.host == theirs.host and theirs.scheme == own.scheme:
        return _OTHERWISE + ": the same host on another port is another origin"
    return _OTHERWISE


@lru_cache(maxsize=16)
def sent_name(name: str) -> str:
    """Return the name of a header as it is sent, for the one that Django has in META."""
    return name.removeprefix("HTTP_").replace("_", "-").title()


def _has(theirs: Origin, host: str) -> bool:
    """Tell whether a host, with the port if there is one, is an origin's but for the scheme."""
    return bool(host) and any(
        parse_origin(f"{scheme}://{host}") == (scheme, theirs.host, theirs.port)
        for scheme in ("http", "https")
    )


def _about_scheme() -> str:
    setting = django_settings.SECURE_PROXY_SSL_HEADER
    if setting:
        name, secure = setting
        return (
            "the request is not over HTTPS, as far as Django knows: the proxy does not send "
            f"{sent_name(name)}: {secure}, as SECURE_PROXY_SSL_HEADER has it"
        )
    return (
        "the request is not over HTTPS, as far as Django knows: behind a proxy that ends TLS set "
        "SECURE_PROXY_SSL_HEADER"
    )
