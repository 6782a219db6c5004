"""What every Realtime request goes through first: its query, its host and its origin."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from django.conf import settings as django_settings
from django.http.request import split_domain_port, validate_host

from ..conf import Settings
from ..exceptions import HandshakeError
from ..protocol.engineio import PROTOCOL_VERSION
from ..utils.origins import Named, named_origins, parse_origin
from .refusals import Refused, Site, explain, sent_name

_NO_SSL_HEADER = b"", ""
_LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")

# What says where a request comes from, beside the header that SECURE_PROXY_SSL_HEADER names.
_TELLING = frozenset(
    (b"host", b"origin", b"sec-fetch-site", b"x-forwarded-host", b"x-forwarded-port")
)

# Longer ones are no names that come again: what is remembered of requests stays small.
_MAX_REMEMBERED = 300


class Query(NamedTuple):
    """The Engine.IO parameters of a request's query string."""

    transport: str
    sid: str


def parse_params(scope: dict[str, Any]) -> dict[str, str]:
    """Return a request's query parameters; the last of several with one name counts."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def drop_params(scope: dict[str, Any], names: Collection[str]) -> None:
    """Leave query parameters out of a request's scope: they are secrets."""
    kept = [
        part
        for part in scope["query_string"].split(b"&")
        if unquote_plus(part.partition(b"=")[0].decode("latin-1")) not in names
    ]
    scope["query_string"] = b"&".join(kept)


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


def retry_after(seconds: int) -> tuple[bytes, bytes]:
    """Return the header that says when a client may try again."""
    return b"retry-after", str(seconds).encode()


class Rules(NamedTuple):
    """The settings that say who is let in: ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, CORS_ORIGINS."""

    hosts: tuple[str, ...]
    trusted: tuple[str, ...]
    cors: tuple[Named, ...]


def check_origin(scope: dict[str, Any], settings: Settings) -> str | None:
    """
    Return the request's origin if it is a foreign one that is let in, None for the site's own.

    Let in are: no Origin header (not a page), the site itself (scheme, host and port, as Django
    knows them), CSRF_TRUSTED_ORIGINS and CORS_ORIGINS. Raises HandshakeError (forbidden) for all
    others, and for a Host header that ALLOWED_HOSTS does not allow.
    """
    ssl_header, ssl_value = _ssl_header()
    headers = _telling_headers(scope, ssl_header)
    rules, origin = _rules(settings), headers.get(b"origin")
    secure = _is_secure(scope, headers.get(ssl_header), ssl_value)
    host = _host(scope, headers, secure)
    is_short = len(host) + len(origin or "") <= _MAX_REMEMBERED
    try:
        if origin is None and headers.get(b"sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused("foreign fetch")
        return (_judge if is_short else _judge.__wrapped__)(secure, host, origin, rules)
    except Refused as refused:
        allows = partial(_is_allowed, patterns=rules.hosts)
        explain(refused, Site(secure, host), origin, scope, allows)
        raise HandshakeError(HandshakeError.FORBIDDEN) from None


@lru_cache(maxsize=256)
def _judge(secure: bool, host: str, origin: str | None, rules: Rules) -> str | None:
    """
    Judge an origin for `check_origin`, once for many. Raises Refused, which is not remembered.
    """
    if not _is_allowed(host, rules.hosts):
        raise Refused("host")
    if origin is None:
        return None
    theirs = parse_origin(origin)
    if theirs is not None and theirs == parse_origin(Site(secure, host).origin):
        return None
    if "*" in rules.cors or origin in named_origins(rules.trusted, rules.cors):
        return origin
    raise Refused("origin")


def find_foreign_origin(scope: dict[str, Any], settings: Settings) -> str | None:
    """Return the origin of a request that was checked elsewhere, where settings name it."""
    origin, rules = _telling_headers(scope, b"").get(b"origin"), _rules(settings)
    if origin is None or "*" in rules.cors or origin in named_origins(rules.trusted, rules.cors):
        return origin
    return None


def _rules(settings: Settings) -> Rules:
    """Return what the settings say now; hosts as Django reads them, with local ones in DEBUG."""
    hosts = tuple(django_settings.ALLOWED_HOSTS)
    if not hosts and django_settings.DEBUG:
        hosts = _LOCAL_HOSTS
    return Rules(hosts, tuple(django_settings.CSRF_TRUSTED_ORIGINS), tuple(settings.CORS_ORIGINS))


def _telling_headers(scope: dict[str, Any], ssl_header: bytes) -> dict[bytes, str]:
    """Return the headers that count here; several of one name are one, as in Django."""
    found: dict[bytes, str] = {}
    telling = _TELLING | {ssl_header} if ssl_header else _TELLING
    for name, value in scope["headers"]:
        if (key := name.lower()) in telling:
            text = value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _ssl_header() -> tuple[bytes, str]:
    """Return SECURE_PROXY_SSL_HEADER, with the name as it is sent; empty ones where it is not."""
    setting = django_settings.SECURE_PROXY_SSL_HEADER
    if not setting:
        return _NO_SSL_HEADER
    name, value = setting
    return _encode_name(name), value


@lru_cache(maxsize=16)
def _encode_name(name: str) -> bytes:
    return sent_name(name).lower().encode()


def _is_secure(scope: dict[str, Any], told: str | None, secure: str) -> bool:
    """Tell whether Django takes the request for one over HTTPS; `told` is what a proxy says."""
    if told is not None:
        told = told.split(",", 1)[0].strip()
        # Some proxies, as Traefik, name a WebSocket's own scheme.
        return told == secure or (told, secure) == ("wss", "https")
    return scope.get("scheme") in ("https", "wss")


def _host(scope: dict[str, Any], headers: dict[bytes, str], secure: bool) -> str:
    """Return the host that the request names, as Django reads it, with a port if there is one."""
    if django_settings.USE_X_FORWARDED_HOST and (forwarded := headers.get(b"x-forwarded-host")):
        return forwarded.split(",")[0].strip()
    if b"host" in headers:
        return headers[b"host"]
    name, port = scope.get("server") or ("", 0)
    if django_settings.USE_X_FORWARDED_PORT:
        port = headers.get(b"x-forwarded-port", port)
    return str(name) if str(port) == ("443" if secure else "80") else f"{name}:{port}"


def _is_allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether ALLOWED_HOSTS has a host, which may have a port."""
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, patterns)


def cors_headers(origin: str | None, settings: Settings) -> list[tuple[bytes, bytes]]:
    """Return the response headers that let a foreign page read the answer."""
    if origin is None:
        return []
    rules = _rules(settings)
    if "*" in rules.cors and origin not in named_origins(rules.trusted, rules.cors):
        return [(b"access-control-allow-origin", b"*")]
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]
