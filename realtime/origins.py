"""
Origins: which page a browser's request comes from, as scheme, host and port (RFC 6454).

They stand in the header `Origin`, and in the settings that name those which are let in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from django.utils.http import is_same_domain

# No user, no path: what has them is no origin.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_WILDCARD = re.compile(r"(?<=://)\*(?=\.)")

# Some programs name a WebSocket's scheme where browsers name the page's.
_SCHEMES = {"ws": "http", "wss": "https"}
_PORTS = {"http": "80", "https": "443"}


class Origin(NamedTuple):
    """
    An origin in one form: in lower case, with the port that its scheme has where none is given.

    As a pattern its host starts with a dot: the domain and all that is below it.
    """

    scheme: str
    host: str
    port: str


def parse_origin(text: str) -> Origin | None:
    """Return the origin that a text is; None for one that is none, such as "null"."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port = match.groups(default="")
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    return Origin(scheme, host.lower(), str(int(port)) if port else _PORTS.get(scheme, ""))


def parse_pattern(text: str) -> Origin | None:
    """
    Return the origin that a setting names, or the pattern: "https://*.example.com" is Django's
    form. None for what is neither.
    """
    if re.search(r"://\..", text):
        return None
    return parse_origin(_WILDCARD.sub("", text))


class Origins:
    """
    The origins that settings name, as Django's CSRF_TRUSTED_ORIGINS does.

    What is no origin, such as "null", stands for itself.
    """

    def __init__(self, named: Iterable[str]) -> None:
        self._exact: set[Origin | str] = set()
        self._domains: list[Origin] = []
        for text in named:
            pattern = parse_pattern(text)
            if pattern is not None and "*" in text:
                self._domains.append(pattern)
            else:
                self._exact.add(pattern or text)

    def __contains__(self, text: str) -> bool:
        origin = parse_origin(text)
        if origin is None:
            return text in self._exact
        return origin in self._exact or any(
            (origin.scheme, origin.port) == (domain.scheme, domain.port)
            and is_same_domain(origin.host, domain.host)
            for domain in self._domains
        )


@lru_cache(maxsize=16)
def named_origins(*settings: tuple[str, ...]) -> Origins:
    """Return the origins that some settings name together, but for "*", which is no name."""
    return Origins(text for setting in settings for text in setting if text != "*")
