"""What a client shows to say who it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from django.http import parse_cookie

from ..exceptions import AuthenticationFailed
from ..utils.headers import header
from ..utils.subprotocols import find_credentials
from .handshake import find_headers

# Longer tokens are nobody's: what is kept of a client has a bound.
MAX_TOKEN = 8_192


class Credentials:
    """
    What a client shows when it asks for a namespace, or later.

    `auth` is what it gives there, as it came: its keys and their types are whatever the client
    sent. `headers` and `cookies` are those of its first request; there are none with what it shows
    later. `user` is the one of its session, or of the site's own middleware.
    """

    def __init__(self, auth: dict[str, Any], namespace: str, scope: Mapping[str, Any]) -> None:
        self.auth = auth
        self.namespace = namespace
        self.scope = scope

    @property
    def user(self) -> Any:
        """The user of the client's session, or of the site's own middleware; None where is none."""
        return self.scope.get("user")

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The headers of the client's first request, by names in any case."""
        return find_headers(self.scope)

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies of the client's first request."""
        return parse_cookie(header(self.scope, b"cookie") or "")

    def token(self, *schemes: str) -> str | None:
        """
        Return the token that the client shows by one of these schemes, such as "Bearer", or None.

        The first counts that there is of: ``auth["token"]``, with its scheme in front or without
        one; the header ``Authorization``; a WebSocket's subprotocol. Raises AuthenticationFailed
        for what no token can be.
        """
        known = {scheme.lower() for scheme in schemes}
        for scheme, token in self._shown():
            if token and (not scheme or scheme.lower() in known):
                return check_token(token)
        return None

    def _shown(self) -> Iterator[tuple[str, str]]:
        """Yield schemes and tokens."""
        given = self.auth.get("token")
        if isinstance(given, str):
            yield _split(given)
        if (authorization := header(self.scope, b"authorization")) is not None:
            scheme, token = _split(authorization)
            if scheme:
                yield scheme, token
        yield from find_credentials(self.scope)

    def secret(self, key: str, header_name: str) -> str | None:
        """
        Return what stands in ``auth`` under a key, or in a header, where that is a text.

        Raises AuthenticationFailed for what no secret can be.
        """
        given = self.auth.get(key) or header(self.scope, header_name.lower().encode())
        return check_token(given) if given and isinstance(given, str) else None


def check_token(token: str) -> str:
    """Return a token. Raises AuthenticationFailed for what nobody has issued as one."""
    if len(token) > MAX_TOKEN:
        raise AuthenticationFailed(f"a token has at most {MAX_TOKEN} characters")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise AuthenticationFailed("a token has no spaces, and no characters but those of ASCII")
    return token


def _split(text: str) -> tuple[str, str]:
    """Return the scheme in front of a token, if there is one, and the token."""
    scheme, space, token = text.strip().partition(" ")
    return (scheme, token.strip()) if space else ("", scheme)
