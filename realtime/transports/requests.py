"""What every Realtime request goes through first: its query, its host and its origin."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings as django_settings
from django.http.request import split_domain_port, validate_host

from ..conf import Settings
from ..exceptions import HandshakeError
from ..logs import log
from ..protocol.engineio import PROTOCOL_VERSION

_LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]


class Query(NamedTuple):
    """The Engine.IO parameters of a request's query string."""

    transport: str
    sid: str


def parse_params(scope: dict[str, Any]) -> dict[str, str]:
    """Return a request's query parameters; the last of several with one name counts."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def parse_query(scope: dict[str, Any], settings: Settings) -> Query:
    """
    Return the Engine.IO parameters.

    Raises HandshakeError for an unknown transport, and a handshake of another protocol version.
    """
    params = parse_params(scope)
    transport = params.get("transport", "")
    if transport not in settings.TRANSPORTS:
        raise HandshakeError(HandshakeError.UNKNOWN_TRANSPORT)
    sid = params.get("sid", "")
    if not sid and params.get("EIO") != PROTOCOL_VERSION:
        raise HandshakeError(HandshakeError.UNSUPPORTED_VERSION)
    return Query(transport, sid)


def header(scope: dict[str, Any], name: bytes) -> str | None:
    """Return a request's header, the first of several, or None."""
    for key, value in scope["headers"]:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    return None


def check_origin(
    scope: dict[str, Any], settings: Settings, tell: Callable[..., object] = log
) -> str | None:
    """
    Return the request's origin if it is a foreign one that is let in, None for the site's own.

    Let in are: no Origin header (not a browser), the site itself, a host of ALLOWED_HOSTS (but not
    because of "*"), and CORS_ORIGINS. Raises HandshakeError (forbidden) for all others, and for a
    Host header that ALLOWED_HOSTS does not allow; `tell` logs that.
    """
    host, origin = _host(scope), header(scope, b"origin")
    allowed = tuple(_allowed_hosts())
    if not _is_among(host, allowed):
        raise _forbidden(tell, host, origin, "ALLOWED_HOSTS does not have the host")
    if origin is None:
        return None
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        netloc = ""
    if netloc and netloc == host.lower():
        return None
    named = tuple(pattern for pattern in allowed if pattern != "*")
    if origin in settings.CORS_ORIGINS or "*" in settings.CORS_ORIGINS or _is_among(netloc, named):
        return origin
    raise _forbidden(
        tell, host, origin, "CORS_ORIGINS does not have the origin, nor ALLOWED_HOSTS its host"
    )


@lru_cache(maxsize=256)
def _is_among(host: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a host, which may have a port, matches one of the patterns of ALLOWED_HOSTS."""
    return validate_host(split_domain_port(host)[0], patterns)


def _forbidden(
    tell: Callable[..., object], host: str, origin: str | None, message: str
) -> HandshakeError:
    tell(logging.WARNING, "forbidden", host=host, origin=origin or "-", message=message)
    return HandshakeError(HandshakeError.FORBIDDEN)


def _host(scope: dict[str, Any]) -> str:
    if django_settings.USE_X_FORWARDED_HOST and (forwarded := header(scope, b"x-forwarded-host")):
        return forwarded.split(",")[0].strip()
    return header(scope, b"host") or ""


def _allowed_hosts() -> list[str]:
    """Return ALLOWED_HOSTS as Django reads it: local hosts while DEBUG, where it is empty."""
    allowed = list(django_settings.ALLOWED_HOSTS)
    return _LOCAL_HOSTS if django_settings.DEBUG and not allowed else allowed


def cors_headers(origin: str | None, settings: Settings) -> list[tuple[bytes, bytes]]:
    """Return the response headers that let a foreign page read the answer."""
    if origin is None:
        return []
    if origin not in settings.CORS_ORIGINS and "*" in settings.CORS_ORIGINS:
        return [(b"access-control-allow-origin", b"*")]
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]
