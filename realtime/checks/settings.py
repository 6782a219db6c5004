"""The ``REALTIME`` dict, and the routes that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from ..conf import Settings, find_problems, get_settings
from ..routing import check_routes


def usable_settings() -> Settings | None:
    """Return the settings, or None where E001 says what is wrong with them."""
    if any(find_problems(_given())):
        return None
    return get_settings()


def _given() -> Any:
    return getattr(django_settings, "REALTIME", {})


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: a wrong value in ``REALTIME``; E002: namespaces that cannot be loaded."""
    errors: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint, obj="REALTIME", id="realtime.E001")
        for problem in find_problems(_given())
    ]
    return errors or list(_check_namespaces())


def _check_namespaces() -> Iterator[CheckMessage]:
    try:
        check_routes()
    except (ImportError, ImproperlyConfigured) as error:
        yield Error(
            f"The namespaces cannot be loaded: {error}",
            hint='Set REALTIME["NAMESPACES"] to the dotted path of a list of routes.',
            obj="REALTIME",
            id="realtime.E002",
        )
