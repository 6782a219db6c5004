"""Regular expressions in CORS_ORIGINS, and whom they let in beside those who are meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register

from ..utils.origins import Expression, Origins
from .settings import usable_settings

# Hosts that nobody can mean: the first one is nobody's (RFC 2606), the others are anybody's.
STRANGER = "stranger.invalid"
_DOMAINS = ("com", "org", "net", "io", "dev", "app", "co.uk")
_STRANGERS = (STRANGER, *(f"strangerwhomnobodyknows.{name}" for name in _DOMAINS))

# Domains as they stand in an expression, words with dots between them, escaped or not; and words.
_DOMAIN = re.compile(r"(?:[a-z0-9][a-z0-9-]*\\?\.)+[a-z][a-z0-9-]+", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9-]{3,}", re.IGNORECASE)

_PORTS = ("", ":8443")
_SUBDOMAINS = ("", "app.")


@register(Tags.security)
def check_expressions(**kwargs: Any) -> Iterator[CheckMessage]:
    """W016: an expression that matches origins of strangers."""
    settings = usable_settings()
    if settings is None:
        return
    for expression in settings.CORS_ORIGINS:
        if isinstance(expression, re.Pattern) and (found := find_stranger(expression)):
            origin, hint = found
            yield Warning(
                f"REALTIME['CORS_ORIGINS']: {expression.pattern!r} lets in {origin} as well.",
                hint=hint,
                id="realtime.W016",
            )


def find_stranger(expression: Expression) -> tuple[str, str] | None:
    """Return an origin that a stranger may have and that is let in, and what helps; or None."""
    origins = Origins([expression])
    for host, hint in _strangers(expression.pattern):
        for scheme in ("https", "http"):
            for port in _PORTS:
                if (origin := f"{scheme}://{host}{port}") in origins:
                    return origin, hint
    return None


def _strangers(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield hosts of strangers, such as those that look like an expression's, and what helps."""
    for host in _STRANGERS:
        yield host, 'Name the domain, or give "*" if every page of the web is meant.'
    for found in _DOMAIN.findall(pattern):
        domain = found.replace("\\", "").lower()
        escaped = domain.replace(".", r"\.")
        for start in _SUBDOMAINS:
            yield f"{start}{domain}.{STRANGER}", f"Let the expression end with {escaped}."
        yield f"stranger{domain}", rf"Put an escaped dot in front of the domain: \.{escaped}."
        for dot in re.finditer(r"\.", domain):
            other = f"{domain[: dot.start()]}x{domain[dot.end() :]}"
            for start in _SUBDOMAINS:
                yield start + other, rf"A dot matches any character: escape it, as in {escaped}."
    for word in _WORD.findall(pattern):
        yield f"{word.lower()}.{STRANGER}", "Let the expression end with the whole domain."
