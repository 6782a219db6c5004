"""
Origins: which page a browser's request comes from, as scheme, host and port (RFC 6454).

They stand in the header `Origin`, and in the settings that name those which are let in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from django.utils.http import is_same_domain

# No user, no path: what has them is no origin.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_WILDCARD = re.compile(r"(?<=://)\*(?=\.)")

# What a text has that is meant for a regular expression, and no origin has.
_EXPRESSION = re.compile(r"[\\^$()\[{|+?]|\.\*")

# No host is longer (RFC 1035), and no expression is to be asked of what is none.
_MAX_MATCHED = 300

Expression = re.Pattern[str]
Named = str | Expression

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

    def __str__(self) -> str:
        """The origin as browsers send it: without the port that its scheme has anyway."""
        own = self.port == _PORTS.get(self.scheme, "")
        return f"{self.scheme}://{self.host}" + ("" if own else f":{self.port}")


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


def is_named(value: Any) -> bool:
    """Tell whether a value of a setting names origins: a text, or a compiled expression."""
    if isinstance(value, re.Pattern):
        return isinstance(value.pattern, str)
    return isinstance(value, str) and (value in ("*", "null") or parse_pattern(value) is not None)


def looks_like_expression(value: Any) -> bool:
    """Tell whether a text that names no origin is meant for a regular expression."""
    return isinstance(value, str) and not is_named(value) and bool(_EXPRESSION.search(value))


class Origins:
    """
    The origins that settings name, as Django's CSRF_TRUSTED_ORIGINS does, or that an expression
    matches as a whole, as browsers send them and whatever their case.

    What is no origin, such as "null", stands for itself, and no expression is asked.
    """

    def __init__(self, named: Iterable[Named]) -> None:
        self._exact: set[Origin | str] = set()
        self._domains: list[Origin] = []
        self._expressions: list[Expression] = []
        for text in named:
            if isinstance(text, re.Pattern):
                self._expressions.append(re.compile(text.pattern, text.flags | re.IGNORECASE))
                continue
            pattern = parse_pattern(text)
            if pattern is not None and "*" in text:
                self._domains.append(pattern)
            else:
                self._exact.add(pattern or text)

    def __contains__(self, text: str) -> bool:
        origin = parse_origin(text)
        if origin is None:
            return text in self._exact
        return (
            origin in self._exact
            or any(
                (origin.scheme, origin.port) == (domain.scheme, domain.port)
                and is_same_domain(origin.host, domain.host)
                for domain in self._domains
            )
            or self._is_matched(str(origin))
        )

    def _is_matched(self, origin: str) -> bool:
        return len(origin) <= _MAX_MATCHED and any(
            expression.fullmatch(origin) for expression in self._expressions
        )


@lru_cache(maxsize=16)
def named_origins(*settings: tuple[Named, ...]) -> Origins:
    """Return the origins that some settings name together, but for "*", which is no name."""
    return Origins(text for setting in settings for text in setting if text != "*")
